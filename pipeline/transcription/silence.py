"""Where a stem is silent: a separator returns every stem of every song, played or not."""

import numpy as np
from numpy.typing import NDArray

from pipeline.notes import Note

# Basic Pitch normalises what it hears: a minute of generated music gave 1139 notes, and still 433 scaled down by
# 80 dB.  A separator leaves such a residue wherever an instrument pauses.  60 dB below full scale is the
# quietest that anyone would still call played, yet 36 dB above the noise of 16-bit audio.
SILENCE_DBFS = -60.0
FRAME_S = 0.05  # shorter than the shortest note, long enough for a whole period of the lowest pitch (27.5 Hz)


class Audibility:
    """Which parts of a recording are loud enough to hold notes: its RMS level in frames of 50 ms.

    Args:
        samples: float32 mono, shape (n_samples,), full scale 1.0.
        rate_hz: sample rate in Hz.
    """

    def __init__(self, samples: NDArray[np.float32], rate_hz: int) -> None:
        frame_samples = round(FRAME_S * rate_hz)
        n_frames = len(samples) // frame_samples
        frames = samples[: n_frames * frame_samples].reshape(n_frames, frame_samples)
        offset = frames.mean(axis=1, dtype=np.float64)  # a constant is not heard
        power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / frame_samples - offset**2
        self._audible = power >= 10 ** (SILENCE_DBFS / 10)
        self._frame_s = frame_samples / rate_hz

    @property
    def silent(self) -> bool:
        """Whether no frame is audible; audio shorter than one frame counts as silent."""
        return not self._audible.any()

    def hears(self, note: Note) -> bool:
        """Whether any frame that the note touches is audible."""
        last = len(self._audible) - 1  # what is left after the last whole frame counts as part of it
        first_frame = min(int(note.start_s / self._frame_s), last)
        last_frame = min(int(note.end_s / self._frame_s), last)
        return bool(self._audible[first_frame : last_frame + 1].any())
