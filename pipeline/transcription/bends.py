"""How the pitch of a note moves, from the pitch that was followed through it."""

import numpy as np
from numpy.typing import NDArray

from pipeline.notes import BENDS_PER_S, BENDS_PER_SEMITONE


def bends(
    times_s: NDArray[np.float64], midi: NDArray[np.float32], start_s: float, end_s: float, pitch: int, reach: float
) -> tuple[int, ...]:
    """:attr:`pipeline.notes.Note.bends` of a note.

    Args:
        times_s: rising moments at which the pitch is known, shape (n,); in between it moves evenly, and before the
            first and after the last inside the note it stands still.
        midi: the pitch then, as fractional MIDI note numbers, shape (n,).
        start_s: when the note starts.
        end_s: when it ends.
        pitch: its MIDI note number.
        reach: semitones; what is further from ``pitch`` is another voice, or the tracker in another octave.

    Returns:
        As :attr:`pipeline.notes.Note.bends`; empty where the pitch is known at no moment of the note.
    """
    inside = slice(*np.searchsorted(times_s, (start_s, end_s)).tolist())
    heard_s, bend = times_s[inside], midi[inside] - np.float32(pitch)
    near = np.abs(bend) <= reach
    if not near.any():
        return ()
    moments_s = np.linspace(start_s, end_s, max(round((end_s - start_s) * BENDS_PER_S), 1))
    followed = np.interp(moments_s, heard_s[near], bend[near])
    return tuple(np.rint(followed * BENDS_PER_SEMITONE).astype(np.int64).tolist())
