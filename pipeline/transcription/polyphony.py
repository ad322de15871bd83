"""Whether a stem is several voices at once, told by the notes that the note network hears in it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.notes import Note

SURE = 0.7
# Of 22 rendered bass lines all but two with echo lie below .1, 22 synthetic singers all; 21 parts of several voices in
# the range of a bass all lie above .5 (tests/quality/NOTES.md).
MOST_TOGETHER = 0.15
LEAST_TOGETHER_S = 1.0  # less may be two wrong notes
_FRAME_S = 0.01
# One voice's notes may overlap by this: strings ring on, ends are heard a little late
_LEGATO_S = 0.05


def several_voices(notes: Sequence[Note]) -> bool:
    """Whether sure notes sound together for more than a bass or a singer alone would make it seem."""
    together_s, sounding_s = together(notes)
    return together_s >= LEAST_TOGETHER_S and together_s > MOST_TOGETHER * sounding_s


def together(notes: Sequence[Note]) -> tuple[float, float]:
    """For how long several sure notes sound, and for how long any do, sure or not, in s."""
    several = (_sounding([note for note in notes if note.confidence >= SURE]) > 1).sum()
    return float(several * _FRAME_S), float((_sounding(notes) > 0).sum() * _FRAME_S)


def _sounding(notes: Sequence[Note]) -> NDArray[np.int64]:
    """How many notes sound in each frame."""
    if not notes:
        return np.zeros(0, np.int64)
    spans = np.array([(note.start_s, max(note.end_s - _LEGATO_S, note.start_s)) for note in notes])
    begun, ended = np.rint(spans / _FRAME_S).astype(np.int64).T
    size = int(ended.max()) + 1
    return np.asarray(np.cumsum(np.bincount(begun, minlength=size) - np.bincount(ended, minlength=size)))
