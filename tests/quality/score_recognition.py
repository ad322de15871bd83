"""How often a recording is rightly taken for a song, one instrument or a voice, and what it is worth to know.

Run from the repository root::

    python tests/quality/score_recognition.py FOLDER [--sets a,b] [--transcribe]

``FOLDER`` has the layout that bench_songs.py describes.  Songs of one stem are solos, all others are songs.  Times are
relative to the length of the recording.  With ``--transcribe`` every solo is also written down in three ways: separated
first, as the stem it is, and as what it is taken for; F of onsets, over all its pitched notes, or drums.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.audio.decode import decode
from pipeline.models.store import ModelStore, default_root
from pipeline.notes import Instrument
from pipeline.recognition import FAMILIES, OTHER
from pipeline.song import SongPipeline
from pipeline.transcription.routing import Transcription
from quality.bench_songs import Song, load_bench
from quality.listening import SEPARATED, Heard, Listener, _sum_of
from quality.metrics import score_song

SONG = "song"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", type=lambda text: text.split(","), default=[])
    parser.add_argument("--transcribe", action="store_true")
    arguments = parser.parse_args()
    weights = ModelStore(default_root())
    pipeline = SongPipeline(weights)
    pairs: Counter[tuple[str, str]] = Counter()
    for song in load_bench(arguments.folder, arguments.sets):
        true = truth(song)
        with tempfile.TemporaryDirectory() as scratch:
            path = recording(song, Path(scratch))
            begun = time.perf_counter()
            found = pipeline.recognise(path)
            share = (time.perf_counter() - begun) / song.duration_s
            taken = found.stem or SONG
            pairs[true, taken] += 1
            line = f"{song.set_name:15}{song.name[:32]:34}{true:8}{taken:8}{found.confidence:5.2f}  time {share:.2f}"
            if arguments.transcribe and true != SONG:
                line += "  F " + " ".join(f"{how} {f:.3f}" for how, f in worth(song, path, true, taken).items())
            print(line, flush=True)
    print("\ntrue    " + "".join(f"{taken:>9}" for taken in (SONG, *FAMILIES)))
    for true in (SONG, *FAMILIES):
        print(f"{true:8}" + "".join(f"{pairs[true, taken]:9}" for taken in (SONG, *FAMILIES)))


def truth(song: Song) -> str:
    """What it should be taken for."""
    if song.is_mix:
        return SONG
    (stem,) = song.stems
    return stem if stem in FAMILIES else OTHER


def recording(song: Song, scratch: Path) -> Path:
    """The file to recognise: the mix, the sum of the stems or the only stem."""
    if song.mix is not None:
        return song.mix
    if not song.is_mix:
        (path,) = song.stems.values()
        return path
    samples, rate_hz = _sum_of(song.stems)
    soundfile.write(scratch / "mix.wav", samples / max(float(np.abs(samples).max()), 1.0), rate_hz, subtype="PCM_24")
    return scratch / "mix.wav"


def worth(song: Song, path: Path, true: str, taken: str) -> dict[str, float]:
    """F of onsets by the way a solo is written down."""
    listener = Listener(transcriber="auto", separation_model="htdemucs", separated=SEPARATED)
    transcription = Transcription(ModelStore(default_root()))
    found: dict[str, tuple[Instrument, ...]] = {"separated": listener.hear_mix(song).instruments}
    with tempfile.TemporaryDirectory() as scratch:
        audio = decode(path, Path(scratch))
        found["as it is"] = transcription.transcribe({true: audio})
        found["as taken"] = found["separated"] if taken == SONG else transcription.transcribe({taken: audio})
    return {how: onset_f(song, instruments) for how, instruments in found.items()}


def onset_f(song: Song, instruments: tuple[Instrument, ...]) -> float:
    """Of drums for drums, else of all pitched notes, in whatever stem."""
    notes: Mapping = Heard(instruments, frozenset(), 0.0, 0.0).notes
    scores = score_song(song.true, notes, annotated=song.annotated, complete=True, velocities=False)
    return scores["drums"]["five"] if "drums" in scores else scores["all pitched"]["onset_f"]


if __name__ == "__main__":
    main()
