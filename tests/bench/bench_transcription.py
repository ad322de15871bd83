"""What writing a song down costs: the notes of each stem alone, and a whole song, as a share of its length.

    python tests/bench/bench_transcription.py [SONG] [--seconds S] [--rounds N]

The song (the demo's, where none is named) is separated once and its stems are repeated up to the length that is asked
for.  The first round, which loads the networks, is not counted; medians of the others.  Beside the elapsed time, which
says little on a busy machine, stands that of the processors.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.analysis.beats import estimate_beats
from pipeline.analysis.key import estimate_keys
from pipeline.audio.decode import DecodeLimits, decode
from pipeline.memory import keep_freed_memory
from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline
from pipeline.transcription.choices import BASIC_PITCH
from pipeline.transcription.routing import Transcription

DEMO = Path("service/demo/song/harbour-lights.ogg")
LIMIT = 0.08  # of the song's length on two cores: the frame that transcription keeps to


def repeated(stem: Path, out: Path, duration_s: float) -> Path:
    """A stem over and over, up to a length, as FLAC."""
    samples, rate_hz = sf.read(stem, dtype="int16", always_2d=True)
    n_samples = round(duration_s * rate_hz)
    times = -(-n_samples // len(samples))
    sf.write(out, np.tile(samples, (times, 1))[:n_samples], rate_hz)
    return out


def median_s(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds, elapsed and of processors, of some rounds after one that is not counted."""
    work()
    elapsed_s, processors_s = [], []
    for _ in range(rounds):
        start_s, processor_start_s = time.perf_counter(), time.process_time()
        work()
        elapsed_s.append(time.perf_counter() - start_s)
        processors_s.append(time.process_time() - processor_start_s)
    return statistics.median(elapsed_s), statistics.median(processors_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the stems")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    keep_freed_memory()  # as the command line and the worker do
    store = ModelStore(default_root())
    pipeline, transcription = SongPipeline(store), Transcription(store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        separated = pipeline.separate(asked.song, folder / "separated")
        stems = {stem.name: repeated(stem.path, folder / f"{stem.name}.flac", asked.seconds) for stem in separated}
        print(f"{'':12}{'seconds':>9}{'of the song':>13}{'processors':>12}{'of the song':>13}", flush=True)

        def show(name: str, work: Callable[[], object]) -> None:
            elapsed_s, processors_s = median_s(work, asked.rounds)
            print(
                f"{name:12}{elapsed_s:9.2f}{elapsed_s / asked.seconds:13.4f}"
                f"{processors_s:12.2f}{processors_s / asked.seconds:13.4f}",
                flush=True,
            )

        audio = {stem: decode(path, folder, DecodeLimits()) for stem, path in stems.items()}

        def notes_and_time() -> None:
            instruments = transcription.transcribe(audio)
            estimate_beats(instruments)
            estimate_keys(instruments)

        for stem, source in audio.items():
            show(stem, partial(transcription.transcribe, {stem: source}))
        show("all", notes_and_time)
        show("with files", lambda: pipeline.transcribe(stems, folder / "notes"))
        show("basic-pitch", lambda: pipeline.transcribe(stems, folder / "notes", transcriber=BASIC_PITCH))
        print(
            f"The frame is {LIMIT} of the song's length on two cores for all, phantoms, beats and key included; "
            "the last two rows have decoding and the files of the notes too."
        )


if __name__ == "__main__":
    main()
