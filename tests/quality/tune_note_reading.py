"""How sure the note network must be, and how long it holds keys: F on rendered songs for a grid of reading settings.

Run from the repository root, with songs that the weights were not trained on::

    python tests/quality/tune_note_reading.py SONGS [--weights FILE]

Every part on its own, all parts of a song as one, and as one after separation where songs are separated; means over
each.  With ``--fit``, on other songs than those, what note_reading.py weighs the evidence of an onset with.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import mir_eval
import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.training.dataset import RenderedSong, rendered_songs
from pipeline.training.evaluate import TOLERANCE_S, scored
from pipeline.transcription.note_listening import WEIGHTS_PATH, NoteEvidence, NoteListener
from pipeline.transcription.note_network import STEP_S
from pipeline.transcription.note_reading import ReadingSettings, onset_evidence, onset_peaks, read_notes
from pipeline.transcription.spectrum import FIRST_PITCH

LEAST_ONSETS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
LEAST_ONSETS_SHORT = (0.0, 0.6, 0.7, 0.8)
HELD_BIASES = (-0.5, 0.0, 0.5)
WHOLE_SONG_WEIGHT = 2.0  # of their notes in the fit: there are fewer such recordings, and they are what is hard

Recording = tuple[str, RenderedSong, NDArray[np.float32], NoteEvidence]  # with its true notes


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS_PATH)
    parser.add_argument("--fit", action="store_true", help="fit the weights of an onset's evidence")
    arguments = parser.parse_args()
    heard = _recordings(arguments.songs, NoteListener(arguments.weights))
    if arguments.fit:
        _fit(heard)
    else:
        _grid(heard)


def _recordings(songs: Path, network: NoteListener) -> Iterator[Recording]:
    for path in rendered_songs([songs]):
        song = RenderedSong.open(path)
        audio = song.audio().astype(np.float32) / 32768
        for part in range(len(audio)):
            yield "alone", song, song.notes[song.notes[:, 0] == part], network.hear(audio[part])
        yield "as one", song, song.notes, network.hear(audio.sum(axis=0))
        if song.is_separated():
            pitched = song.separated()[1:].astype(np.float32).sum(axis=0) / 32768
            yield "separated", song, song.notes, network.hear(pitched)


def _grid(recordings: Iterable[Recording]) -> None:
    grid = list(itertools.product(LEAST_ONSETS, LEAST_ONSETS_SHORT, HELD_BIASES))
    scores: dict[tuple[str, float, float, float], list[tuple[float, float]]] = {}
    for kind, song, notes, evidence in recordings:
        for least, short, bias in grid:
            settings = replace(ReadingSettings(), least_onset=least, least_onset_short=short, held_bias=bias)
            found = scored(notes, read_notes(evidence, settings), song.families)
            scores.setdefault((kind, least, short, bias), []).append((found["onset F"], found["onset+offset F"]))
    kinds = list(dict.fromkeys(kind for kind, *_ in scores))
    print(f"least onset, of short notes, held bias: onset F and onset+offset F {', '.join(kinds)}")
    for least, short, bias in grid:
        means = [np.mean(scores[kind, least, short, bias], axis=0) for kind in kinds]
        figures = "; ".join(f"{onset:.3f} {both:.3f}" for onset, both in means)
        print(f"{least:.2f} {short:.1f} {bias:+.1f}: {figures}")


def _fit(recordings: Iterable[Recording]) -> None:
    """Logistic regression: whether a note is there, by what :func:`onset_evidence` says of it."""
    evidence, right, weights = [], [], []
    for kind, _, notes, heard in recordings:
        steps, columns = onset_peaks(heard.onset, ReadingSettings().apart_steps)
        evidence.append(onset_evidence(heard.onset, steps, columns))
        right.append(is_note(steps, columns, notes))
        weights.append(np.full(len(steps), 1.0 if kind == "alone" else WHOLE_SONG_WEIGHT))
    inputs = np.concatenate(evidence)
    inputs = np.hstack([np.ones((len(inputs), 1)), inputs])
    signs, weight = 2.0 * np.concatenate(right) - 1, np.concatenate(weights)

    def loss(by: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        against = -signs * (inputs @ by)
        slope = inputs.T @ (weight * -signs * scipy.special.expit(against))
        return float((weight * np.logaddexp(0, against)).sum()), slope

    by = scipy.optimize.minimize(loss, np.zeros(inputs.shape[1]), jac=True).x
    print(
        f"{len(signs)} peaks, {np.mean(signs > 0):.2f} of them notes; constant, peak, hill: {np.round(by, 2).tolist()}"
    )


def is_note(steps: NDArray[np.intp], columns: NDArray[np.intp], notes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which peaks are onsets of true notes, each of which has one at most, within 50 ms."""
    true_s, pitches = notes[:, 1].astype(np.float64), notes[:, 3].astype(np.int64)
    pairs = mir_eval.util.match_events(
        true_s + 1000.0 * pitches, steps * STEP_S + 1000.0 * (columns + FIRST_PITCH), TOLERANCE_S
    )
    right = np.zeros(len(steps), dtype=np.bool_)
    right[[index for _, index in pairs]] = True
    return right


if __name__ == "__main__":
    main()
