"""What the files beside the MIDI cost, for a song of three minutes.

Run from the repository root::

    OMP_NUM_THREADS=1 python tests/bench/bench_artefacts.py
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.analysis.beats import estimate_beats
from pipeline.artefacts.piano_roll import write_piano_roll
from pipeline.artefacts.preview import write_preview
from pipeline.artefacts.score import write_score
from pipeline.models.soundfonts import installed_soundfont
from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline
from support.composed import composed_song

DURATION_S = 180.0
RUNS = 5


def main() -> None:
    song = composed_song(140, duration_s=DURATION_S)
    beats = estimate_beats(song)
    n_notes = sum(len(instrument.notes) for instrument in song)
    store = ModelStore(Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root()))
    pipeline, soundfont = SongPipeline(store), installed_soundfont(store)
    print(f"{DURATION_S:.0f} s, {n_notes} notes; medians of {RUNS} runs, seconds of processor time")
    print(f"sonified.wav: played with {soundfont.name if soundfont else 'the plain synthesiser'}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps: dict[str, Callable[[], object]] = {
            "beats": lambda: estimate_beats(song),
            "score.musicxml": lambda: write_score(song, folder / "score.musicxml", beats=beats),
            "piano-roll.svg": lambda: write_piano_roll(song, DURATION_S, folder / "piano-roll.svg"),
            "preview.mp3": lambda: write_preview(song, DURATION_S, folder / "preview.mp3"),
            "sonified.wav": lambda: pipeline.sonify(song, DURATION_S, folder / "sonified.wav"),
        }
        for step, work in steps.items():
            path = folder / step
            cost_s = statistics.median(_timed(work) for _ in range(RUNS))
            size = f"{path.stat().st_size / 1000:8.0f} kB" if path.exists() else ""
            print(f"{step:16} {cost_s:6.3f} {size}")


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
