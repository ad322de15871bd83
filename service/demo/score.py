"""How well found notes match known ones: note onset precision, recall and F, stem by stem.

Conventions (as ``mir_eval.transcription`` with ``offset_ratio=None``): a found note matches a true one when their
onsets are at most 50 ms apart and their pitches are equal; each note matches at most one, and the matching is the
largest possible.  Drums match by class (kick, snare, hi-hat, tom, cymbal) instead of by pitch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

ONSET_TOLERANCE_S = 0.05

Notes = Sequence[Mapping[str, Any]]

# General MIDI percussion keys by class; a key that is in none is compared as itself.
DRUM_CLASSES = {
    "kick": (35, 36),
    "snare": (37, 38, 40),
    "hi-hat": (42, 44, 46),
    "tom": (41, 43, 45, 47, 48, 50),
    "cymbal": (49, 51, 52, 53, 55, 57, 59),
}
_CLASS_OF_KEY = {key: number for number, keys in enumerate(DRUM_CLASSES.values(), 1000) for key in keys}


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one comparison, and what follows from them (0 where undefined)."""

    n_found: int
    n_true: int
    n_matched: int

    @property
    def precision(self) -> float:
        """Share of the found notes that are true."""
        return self.n_matched / self.n_found if self.n_found else 0.0

    @property
    def recall(self) -> float:
        """Share of the true notes that were found."""
        return self.n_matched / self.n_true if self.n_true else 0.0

    @property
    def f_measure(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.n_found + self.n_true
        return 2 * self.n_matched / total if total else 0.0


def score_notes(found: Notes, true: Notes, *, drums: bool) -> Score:
    """Compare two note lists of ``{"pitch", "start", ...}`` (MIDI number, seconds)."""
    if not found or not true:
        return Score(len(found), len(true), 0)
    onsets_close = np.abs(_column(found, "start")[:, None] - _column(true, "start")[None, :]) <= ONSET_TOLERANCE_S
    pitches_equal = _pitches(found, drums)[:, None] == _pitches(true, drums)[None, :]
    matching = maximum_bipartite_matching(csr_array(onsets_close & pitches_equal), perm_type="column")
    return Score(len(found), len(true), int((matching >= 0).sum()))


def _column(notes: Notes, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([note[name] for note in notes], dtype=np.float64)


def _pitches(notes: Notes, drums: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not drums:
        return _column(notes, "pitch")
    return np.array([_CLASS_OF_KEY.get(note["pitch"], note["pitch"]) for note in notes], dtype=np.float64)
