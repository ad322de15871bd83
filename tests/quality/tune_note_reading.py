"""How sure the note network must be, and how long it holds keys: F on rendered songs for a grid of reading settings.

Run from the repository root, with songs that the weights were not trained on::

    python tests/quality/tune_note_reading.py --fit OTHER_SONGS [--weights FILE]
    python tests/quality/tune_note_reading.py SONGS [--weights FILE]

Every part on its own, all parts of a song as one, and everything but drums and bass after separation where songs are
separated; means over each.  Then how far confidences can be believed.  With ``--fit``, what note_reading.py makes
confidences by.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.training.dataset import SEPARATED_STEMS, RenderedSong, rendered_songs
from pipeline.training.evaluate import TOLERANCE_S, distinct_notes, scored
from pipeline.transcription.note_listening import WEIGHTS_PATH, NoteEvidence, NoteListener
from pipeline.transcription.note_network import STEP_S
from pipeline.transcription.note_reading import ReadingSettings, onset_evidence, onset_peaks, read_notes
from pipeline.transcription.spectrum import FIRST_PITCH

LEAST_ONSETS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
HELD_BIASES = (-0.5, 0.0, 0.5)
BINS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Recording = tuple[str, RenderedSong, NDArray[np.float32], NoteEvidence]  # with its true notes


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS_PATH)
    parser.add_argument("--fit", action="store_true", help="fit what makes an onset sure")
    arguments = parser.parse_args()
    heard = _recordings(arguments.songs, NoteListener(arguments.weights))
    if arguments.fit:
        _fit(heard)
    else:
        _grid(heard)


def _recordings(songs: Path, network: NoteListener) -> Iterator[Recording]:
    rest = [SEPARATED_STEMS.index(stem) for stem in ("other", "vocals")]
    for path in rendered_songs([songs]):
        song = RenderedSong.open(path)
        audio = song.audio().astype(np.float32) / 32768
        for part in range(len(audio)):
            yield "alone", song, song.notes[song.notes[:, 0] == part], network.hear(audio[part])
        yield "as one", song, song.notes, network.hear(audio.sum(axis=0))
        if song.is_separated():
            notes = song.notes[~song.is_bass()[song.notes[:, 0].astype(np.int64)]]
            yield "separated", song, notes, network.hear(song.separated()[rest].astype(np.float32).sum(axis=0) / 32768)


def _grid(recordings: Iterable[Recording]) -> None:
    grid = list(itertools.product(LEAST_ONSETS, HELD_BIASES))
    scores: dict[tuple[str, float, float], list[tuple[float, float]]] = {}
    sure: dict[str, list[tuple[float, bool]]] = {}
    for kind, song, notes, evidence in recordings:
        for least, bias in grid:
            settings = replace(ReadingSettings(), least_onset=least, held_bias=bias)
            found = scored(notes, read_notes(evidence, settings), song.families)
            scores.setdefault((kind, least, bias), []).append((found["onset F"], found["onset+offset F"]))
        everything = [one.note for one in read_notes(evidence, replace(ReadingSettings(), least_onset=0.0))]
        right = _are_notes(
            np.array([note.start_s for note in everything]), np.array([note.pitch for note in everything]), notes
        )
        sure.setdefault(kind, []).extend(zip((note.confidence for note in everything), right.tolist(), strict=True))
    kinds = list(sure)
    print(f"least onset, held bias: onset F and onset+offset F {', '.join(kinds)}")
    for least, bias in grid:
        means = [np.mean(scores[kind, least, bias], axis=0) for kind in kinds]
        figures = "; ".join(f"{onset:.3f} {both:.3f}" for onset, both in means)
        print(f"{least:.2f} {bias:+.1f}: {figures}")
    print("confidence: how many are there, and what share of them is right")
    for low, high in itertools.pairwise(BINS):
        shares = []
        for kind in kinds:
            inside = [right for confidence, right in sure[kind] if low <= confidence < high]
            shares.append(f"{kind} {len(inside):5} {np.mean(inside) if inside else float('nan'):.2f}")
        print(f"{low:.1f}-{high:.1f}: {'; '.join(shares)}")


def _fit(recordings: Iterable[Recording]) -> None:
    """Logistic regression: whether a note is there, by its :func:`onset_evidence`; each kind counts alike."""
    inputs: dict[str, list[NDArray[np.float64]]] = {}
    for kind, _, notes, heard in recordings:
        steps, columns = onset_peaks(heard.onset, ReadingSettings().apart_steps)
        right = _are_notes(steps * STEP_S, columns + FIRST_PITCH, notes)
        peak, hill = onset_evidence(heard.onset, steps, columns)
        inputs.setdefault(kind, []).append(np.stack([np.where(right, 1.0, -1.0), np.ones_like(peak), peak, hill], 1))
    rows = {kind: np.concatenate(some) for kind, some in inputs.items()}
    weight = np.concatenate([np.full(len(some), 1 / len(rows) / len(some)) for some in rows.values()])
    signs, evidence = np.split(np.concatenate(list(rows.values())), [1], axis=1)
    signs = signs[:, 0]

    def loss(coefficients: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        against = -signs * (evidence @ coefficients)
        slope = evidence.T @ (weight * -signs * scipy.special.expit(against))
        return float((weight * np.logaddexp(0, against)).sum()), slope

    fit = scipy.optimize.minimize(loss, np.zeros(evidence.shape[1]), jac=True)
    if not fit.success:
        raise SystemExit(f"the fit did not converge: {fit.message}")
    alone, _ = loss(np.array([0.0, 1.0, 0.0]))
    print(f"{len(signs)} peaks, {np.mean(signs > 0):.2f} of them notes; loss {fit.fun:.4f}, by peaks alone {alone:.4f}")
    print(f"intercept, weights of peak and hill: {np.round(fit.x, 2).tolist()}")


def _are_notes(
    onsets_s: NDArray[np.float64], pitches: NDArray[np.int64], true: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Which onsets are those of true notes, each of which has one at most: the nearest that is free, within 50 ms."""
    notes = distinct_notes(true)
    pairs = []
    for index, (onset_s, pitch) in enumerate(zip(notes[:, 1].tolist(), notes[:, 3].tolist(), strict=True)):
        near = np.flatnonzero((pitches == int(pitch)) & (np.abs(onsets_s - onset_s) <= TOLERANCE_S))
        pairs += [(abs(float(onsets_s[found]) - onset_s), index, found) for found in near.tolist()]
    right, taken = np.zeros(len(onsets_s), dtype=np.bool_), set()
    for _, index, found in sorted(pairs):
        if index not in taken and not right[found]:
            right[found] = True
            taken.add(index)
    return right


if __name__ == "__main__":
    main()
