"""What writing a song down costs: the time of each stem, and of all together, as a share of the song's length.

    python tests/bench/bench_transcription.py [SONG] [--seconds S] [--rounds N]

The song (the demo's, where none is named) is separated once and its stems are repeated up to the length that is asked
for.  The first round, which loads the networks, is not counted; medians of the others.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.memory import keep_freed_memory
from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline

DEMO = Path("service/demo/song/harbour-lights.ogg")
LIMIT = 0.08  # of the song's length on two cores: the frame that transcription keeps to


def repeated(stem: Path, out: Path, duration_s: float) -> Path:
    """A stem over and over, up to a length, as FLAC."""
    samples, rate_hz = sf.read(stem, dtype="int16", always_2d=True)
    n_samples = round(duration_s * rate_hz)
    times = -(-n_samples // len(samples))
    sf.write(out, np.tile(samples, (times, 1))[:n_samples], rate_hz)
    return out


def median_s(work: Callable[[], object], rounds: int) -> float:
    """Median seconds of some rounds after one that is not counted."""
    work()
    times_s = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - start)
    return statistics.median(times_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the stems")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    keep_freed_memory()  # as the command line and the worker do
    pipeline = SongPipeline(ModelStore(default_root()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        separated = pipeline.separate(asked.song, folder / "separated")
        stems = {stem.name: repeated(stem.path, folder / f"{stem.name}.flac", asked.seconds) for stem in separated}
        print(f"{'':12}{'seconds':>9}{'of the song':>13}", flush=True)

        def show(name: str, wanted: list[str] | None, transcriber: str = "auto") -> None:
            def work() -> object:
                return pipeline.transcribe(stems, folder / "notes", wanted=wanted, transcriber=transcriber)

            taken_s = median_s(work, asked.rounds)
            print(f"{name:12}{taken_s:9.2f}{taken_s / asked.seconds:13.4f}", flush=True)

        for stem in stems:
            show(stem, [stem])
        show("all", None)
        show("basic-pitch", None, "basic-pitch")
        print(
            f"The frame is {LIMIT} of the song's length on two cores; decoding and the files of the notes are included."
        )


if __name__ == "__main__":
    main()
