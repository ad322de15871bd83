"""Whether a stem is several voices at once, told by the notes that the note network hears in it."""

from collections.abc import Iterable

import numpy as np

from pipeline.notes import Note

SURE = 0.7
# Of 30 rendered bass lines, some with echo, all but two lie below .1, of 22 synthetic singers all; of 24 parts of
# several voices in the range of a bass all lie above .4 (tests/quality/NOTES.md).
MOST_TOGETHER = 0.15
_FRAME_S = 0.01
# One voice's notes may overlap by this: strings ring on, ends are heard a little late
_LEGATO_S = 0.05


def several_voices(notes: Iterable[Note]) -> bool:
    """Whether sure notes sound together for more than a bass or a singer alone would make it seem."""
    return together(notes) > MOST_TOGETHER


def together(notes: Iterable[Note]) -> float:
    """Share of the time that sure notes sound in which several of them do, 0-1; 0 where there are none."""
    spans = [(note.start_s, max(note.end_s - _LEGATO_S, note.start_s)) for note in notes if note.confidence >= SURE]
    if not spans:
        return 0.0
    frames = np.rint(np.array(spans) / _FRAME_S).astype(np.int64)
    begun, ended = np.bincount(frames[:, 0]), np.bincount(frames[:, 1])
    size = max(len(begun), len(ended))
    sounding = np.cumsum(np.pad(begun, (0, size - len(begun))) - np.pad(ended, (0, size - len(ended))))
    return float((sounding > 1).sum() / max((sounding > 0).sum(), 1))
