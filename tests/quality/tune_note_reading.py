"""How sure the note network must be, and how long it holds keys: F on rendered songs for a grid of reading settings.

Run from the repository root, with songs that the weights were not trained on::

    python tests/quality/tune_note_reading.py SONGS [--weights FILE]

Every part on its own and all parts of a song as one, means over both; the settings are in note_reading.py.
"""

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.training.dataset import RenderedSong, rendered_songs
from pipeline.training.evaluate import scored
from pipeline.transcription.note_listening import WEIGHTS_PATH, NoteListener
from pipeline.transcription.note_reading import ReadingSettings, read_notes

LEAST_ONSETS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
HELD_BIASES = (-0.5, 0.0, 0.5, 1.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS_PATH)
    arguments = parser.parse_args()
    network = NoteListener(arguments.weights)
    grid = list(itertools.product(LEAST_ONSETS, HELD_BIASES))
    scores: dict[tuple[str, float, float], list[tuple[float, float]]] = {}
    for path in rendered_songs([arguments.songs]):
        song = RenderedSong.open(path)
        audio = song.audio().astype(np.float32) / 32768
        recordings = [
            *(("alone", audio[part], song.notes[song.notes[:, 0] == part]) for part in range(len(audio))),
            ("as one", audio.sum(axis=0), song.notes),
        ]
        for kind, samples, notes in recordings:
            evidence = network.hear(samples)
            for least_onset, held_bias in grid:
                settings = replace(ReadingSettings(), least_onset=least_onset, held_bias=held_bias)
                found = scored(notes, read_notes(evidence, settings), song.families)
                kept = scores.setdefault((kind, least_onset, held_bias), [])
                kept.append((found["onset F"], found["onset+offset F"]))
    print("least onset, held bias: alone, onset F and onset+offset F; as one")
    for least_onset, held_bias in grid:
        means = [np.mean(scores[kind, least_onset, held_bias], axis=0) for kind in ("alone", "as one")]
        print(f"{least_onset:.2f} {held_bias:+.1f}: " + "; ".join(f"{onset:.3f} {both:.3f}" for onset, both in means))


if __name__ == "__main__":
    main()
