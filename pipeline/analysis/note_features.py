"""What the notes of a song tell of its beats, frame by frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.notes import Instrument, Note

FloatArray = NDArray[np.float64]
FRAMES_PER_S = 50

_KINDS = {
    35: 0,
    36: 0,
    37: 1,
    38: 1,
    39: 1,
    40: 1,
    41: 2,
    43: 2,
    45: 2,
    47: 2,
    48: 2,
    50: 2,
    49: 4,
    52: 4,
    55: 4,
    57: 4,
}
_KINDS |= {51: 5, 53: 5, 59: 5}
_HAT = 3  # and every other percussion instrument: what keeps time
_BASS, _BASS_CHANGE, _LOW, _PITCHED, _LONG, _TUNE, _HARMONY, _BASS_HARMONY = range(6, 14)
N_CHANNELS = 14
_BASS_PROGRAMS = range(32, 40)
_TUNE_PROGRAMS = range(52, 55)
_LOW_BELOW = 50  # D3: below it a left hand or a bass plays
_LASTING_S = 0.35
# Chords are compared over this much before and after a frame, in seconds.
_HARMONY_S = 0.7
_SHORTEST_S, _LONGEST_S = 0.2, 1.5  # how long a note is taken to sound: its end is heard less surely than its start


def note_features(instruments: Sequence[Instrument], n_frames: int) -> NDArray[np.float32]:
    """Onsets by kind and changes of harmony at :data:`FRAMES_PER_S`: float32, shape (n_frames, N_CHANNELS).

    An onset between two frames is shared between them.
    """
    out = np.zeros((n_frames + 1, N_CHANNELS))
    chroma, bass_chroma = np.zeros((n_frames + 1, 12)), np.zeros((n_frames + 1, 12))
    for instrument in instruments:
        notes = [note for note in instrument.notes if note.start_s * FRAMES_PER_S < n_frames - 1]
        if not notes:
            continue
        if instrument.is_drum:
            _strike(out, notes, np.array([_KINDS.get(note.pitch, _HAT) for note in notes]))
            continue
        is_bass = instrument.program in _BASS_PROGRAMS or instrument.stem == "bass"
        pitches = np.array([note.pitch for note in notes])
        lasting = np.array([min((note.end_s - note.start_s) / _LASTING_S, 2.0) for note in notes])
        if is_bass:
            _strike(out, notes, _BASS)
            changes = np.concatenate([[True], pitches[1:] % 12 != pitches[:-1] % 12])
            _strike(out, notes, _BASS_CHANGE, changes)
        else:
            _strike(out, notes, _TUNE if instrument.program in _TUNE_PROGRAMS else _PITCHED)
            _strike(out, notes, _LOW, pitches < _LOW_BELOW)
        _strike(out, notes, _LONG, lasting * (lasting > 1))
        _sound(chroma, notes)
        if is_bass:
            _sound(bass_chroma, notes)
    out[:, :_HARMONY] = np.log1p(2 * out[:, :_HARMONY])
    out[:, _HARMONY] = _novelty(chroma)
    out[:, _BASS_HARMONY] = _novelty(bass_chroma)
    return out[:n_frames].astype(np.float32)


def _strike(
    out: FloatArray,
    notes: Sequence[Note],
    channels: "NDArray[np.int64] | int",
    factors: "NDArray[np.generic] | None" = None,
) -> None:
    starts = np.array([note.start_s for note in notes]) * FRAMES_PER_S
    loud = np.array([(0.3 + 0.7 * note.velocity) * note.confidence for note in notes])
    if factors is not None:
        loud = loud * factors
    frames = starts.astype(np.int64)
    part = starts - frames
    columns = np.broadcast_to(np.asarray(channels), frames.shape)
    np.add.at(out, (frames, columns), loud * (1 - part))
    np.add.at(out, (frames + 1, columns), loud * part)


def _sound(chroma: FloatArray, notes: Sequence[Note]) -> None:
    """Add the notes to the pitch classes that sound, for now as steps up and down; summed up in :func:`_novelty`."""
    starts = np.array([note.start_s for note in notes])
    lengths = np.clip([note.end_s - note.start_s for note in notes], _SHORTEST_S, _LONGEST_S)
    loud = np.array([(0.3 + 0.7 * note.velocity) * note.confidence for note in notes])
    classes = np.array([note.pitch % 12 for note in notes])
    first = np.rint(starts * FRAMES_PER_S).astype(np.int64)
    last = np.minimum(np.rint((starts + lengths) * FRAMES_PER_S).astype(np.int64), len(chroma) - 1)
    np.add.at(chroma, (first, classes), loud)
    np.add.at(chroma, (last, classes), -loud)


def _novelty(steps: FloatArray) -> FloatArray:
    """How unlike the pitch classes after each frame are to those before it, 0-1."""
    span = int(_HARMONY_S * FRAMES_PER_S)
    sounding = np.sqrt(np.maximum(np.cumsum(steps, axis=0), 0.0))
    sums = np.cumsum(np.pad(sounding, ((span + 1, span), (0, 0))), axis=0)
    before, after = sums[span:-span] - sums[: -2 * span], sums[2 * span :] - sums[span:-span]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    alike = np.divide((before * after).sum(axis=1), norms, out=np.ones(len(norms)), where=norms > 1e-6)
    return np.asarray(1.0 - alike[: len(steps)], dtype=np.float64)
