"""From note and onset activations to notes: the decoding of Basic Pitch, fast.

The rules are those of ``output_to_notes_polyphonic`` in basic-pitch 0.4.0 (Bittner et al., "A Lightweight
Instrument-Agnostic Model for Polyphonic Note Transcription and Multipitch Estimation", ICASSP 2022), and the notes
are the same.  That function scans frame by frame in Python and searches the whole matrix anew for every note of its
second pass.  Here two observations make it quick:

* Energy is only ever set to zero.  So "take the strongest cell that is left, again and again" is one walk through
  the cells sorted once, passing over those that are gone by then.
* A scan only asks where the first ``ENERGY_TOLERANCE_FRAMES`` frames in a row lie below the threshold.  With one
  byte per cell (1 = sounding) that is a substring search.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOWEST_PITCH = 21  # MIDI number of column 0 (A0, 27.5 Hz)
N_PITCHES = 88

# Defaults of basic_pitch.inference.predict 0.4.0.  (Its command line and web site differ; these are what papers use.)
ONSET_THRESHOLD = 0.5
FRAME_THRESHOLD = 0.3
MIN_NOTE_FRAMES = 11  # 127.70 ms at 86.13 frames per second; a note must be longer than this
ENERGY_TOLERANCE_FRAMES = 11  # a gap of this many frames below the threshold ends a note (``energy_tol``)

_GAP = bytes(ENERGY_TOLERANCE_FRAMES)
_SOUNDING = b"\x01"


class FrameNote(NamedTuple):
    """A note in frames: sounding in ``[start, end)``; ``amplitude`` is its mean note activation, 0-1."""

    start: int
    end: int
    pitch: int
    amplitude: float


def decode_notes(
    frames: NDArray[np.float32],
    onsets: NDArray[np.float32],
    onset_threshold: float = ONSET_THRESHOLD,
    frame_threshold: float = FRAME_THRESHOLD,
    min_note_frames: int = MIN_NOTE_FRAMES,
) -> list[FrameNote]:
    """Decode the network's activations to notes.

    Args:
        frames: float32, shape (n_frames, 88): how surely a pitch sounds, 0-1.
        onsets: float32, shape (n_frames, 88): how surely a pitch starts, 0-1.
        onset_threshold: least onset strength that starts a note.
        frame_threshold: least note activation of a sounding frame; above 0.
        min_note_frames: notes of this many frames or fewer are dropped.

    Returns:
        Notes sorted by start, then pitch.  Neither array is changed.

    The reference returns no note that starts with an onset when no activation ever rises (it divides 0 by 0);
    here the network's own onsets count then.  All other notes are identical.
    """
    sounding = _Sounding(frames, frame_threshold)
    spans = _notes_from_onsets(sounding, _onset_peaks(frames, onsets, onset_threshold), min_note_frames)
    spans += _notes_from_peaks(sounding, frames, frame_threshold, min_note_frames)
    return sorted(
        FrameNote(start, end, LOWEST_PITCH + column, amplitude)
        for (start, end, column), amplitude in zip(spans, _mean_activations(frames, spans), strict=True)
    )


class _Sounding:
    """Which cells still sound: per pitch one byte string over time, 1 where at or above the threshold."""

    def __init__(self, frames: NDArray[np.float32], frame_threshold: float) -> None:
        # float64, so that a threshold between two float32 values falls on the same side as in the reference
        above = (frames >= np.float64(frame_threshold)).T
        self.rows = [bytearray(row.tobytes()) for row in above]
        self.n_frames = len(frames)

    def left(self) -> NDArray[np.bool_]:
        """The cells that still sound: shape (n_frames, 88)."""
        return np.frombuffer(b"".join(self.rows), dtype=np.bool_).reshape(N_PITCHES, self.n_frames).T

    def take(self, column: int, start: int, stop: int) -> None:
        """Silence frames ``[start, stop)`` of a pitch and of its two neighbours, where its overtones smear."""
        silence = bytes(stop - start)
        for row in self.rows[max(0, column - 1) : column + 2]:
            row[start:stop] = silence


def _onset_peaks(frames: NDArray[np.float32], onsets: NDArray[np.float32], threshold: float) -> list[tuple[int, int]]:
    """(frame, column) of local maxima in time of the onset strength, in time order, then by column.

    Onset strength is the larger of the network's onset activation and the rise of the note activation over the
    last two frames, scaled to the same maximum.
    """
    if len(frames) < 3:
        return []  # a peak has a neighbour on either side
    strength = np.zeros(frames.shape, dtype=np.float64)
    np.subtract(frames[2:], np.maximum(frames[1:-1], frames[:-2]), out=strength[2:], dtype=np.float64)
    steepest = strength.max()
    if steepest > 0:
        strength *= onsets.max()  # multiplied, then divided: the order of the reference, to the last bit
        strength /= steepest
    np.maximum(strength, onsets, out=strength)
    inner = strength[1:-1]
    time, column = np.nonzero(inner >= threshold)
    value = inner[time, column]
    peak = (value > strength[time, column]) & (value > strength[time + 2, column])
    return list(zip((time[peak] + 1).tolist(), column[peak].tolist(), strict=True))


def _notes_from_onsets(
    sounding: _Sounding, peaks: list[tuple[int, int]], min_note_frames: int
) -> list[tuple[int, int, int]]:
    """First pass: from each onset, latest first, to the next gap; (start, end, column) of each note."""
    last = sounding.n_frames - 1  # the reference never looks at the last frame
    spans = []
    for start, column in reversed(peaks):
        row = sounding.rows[column]
        end = row.find(_GAP, start + 1, last)
        if end < 0:
            end = max(row.rfind(_SOUNDING, start + 1, last), start) + 1
        if end - start > min_note_frames:
            sounding.take(column, start, end)
            spans.append((start, end, column))
    return spans


def _notes_from_peaks(
    sounding: _Sounding, frames: NDArray[np.float32], frame_threshold: float, min_note_frames: int
) -> list[tuple[int, int, int]]:
    """Second pass ("melodia trick"): from the strongest cell left, both ways to the next gap, until none is left.

    (start, end, column) of each note.  The end is the last sounding frame, which is itself left out, the last
    frame of the audio never counts and neither does the first: so the reference has it.
    """
    last = sounding.n_frames - 1
    cells = np.flatnonzero(sounding.left() & (frames > np.float64(frame_threshold)))
    strongest_first = cells[np.argsort(-frames.ravel()[cells], kind="stable")].tolist()
    spans = []
    for cell in strongest_first:
        middle, column = divmod(cell, N_PITCHES)
        row = sounding.rows[column]
        if not row[middle]:
            continue
        row[middle] = 0

        gap = row.find(_GAP, middle + 1, last)
        if gap < 0:
            end = max(row.rfind(_SOUNDING, middle + 1, last), middle)
            sounding.take(column, middle + 1, max(last, middle + 1))
        else:
            end = gap - 1
            sounding.take(column, middle + 1, gap + ENERGY_TOLERANCE_FRAMES)

        gap = row.rfind(_GAP, 1, middle)
        if gap < 0:
            start = row.find(_SOUNDING, 1, middle)
            start = middle if start < 0 else start
            sounding.take(column, min(1, middle), middle)
        else:
            start = gap + ENERGY_TOLERANCE_FRAMES
            sounding.take(column, gap, middle)

        if end - start > min_note_frames:
            spans.append((start, end, column))
    return spans


def _mean_activations(frames: NDArray[np.float32], spans: list[tuple[int, int, int]]) -> list[float]:
    """Mean note activation of each (start, end, column): all cells gathered once, then summed by note."""
    if not spans:
        return []
    start, end, column = np.array(spans).T
    length = end - start
    first = np.cumsum(length) - length
    time = np.arange(length.sum()) + np.repeat(start - first, length)
    sums = np.add.reduceat(frames[time, np.repeat(column, length)], first, dtype=np.float64)
    means: list[float] = (sums / length).tolist()
    return means
