"""What speaks for a note: the numbers that :mod:`pipeline.transcription.polyphonic`'s small networks read.

All arrays share one grid of frames, 256 samples at 22 050 Hz apart: the activations of Basic Pitch's network, and the
levels of semitone bands, from which a note's partials are read.  Numbers are gathered for many notes at once.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from pipeline.transcription.basic_pitch import HOP_SAMPLES as WINDOW_HOP_SAMPLES
from pipeline.transcription.basic_pitch import KEPT_FRAMES, Activations
from pipeline.transcription.note_decoding import N_PITCHES
from pipeline.transcription.partials import FLOOR_DB, HOP_SAMPLES

FloatArray = NDArray[np.float32]
HalfArray = NDArray[np.float16]
IntArray = NDArray[np.int64]

PARTIALS = (0, 12, 19, 24, 28, 31, 34, 36, 38, 40)  # semitones above the fundamental
# Where a ghost of this note, or the note of which this is a ghost, would be; and what smears into it.
RELATED = (-31, -28, -24, -19, -16, -12, -9, -7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 7, 9, 12, 16, 19, 24, 28, 31)
BELOW = (-24, -19, -12)
BESIDE = (-2, -1, 1, 2, 11, 13)
ONSET_FRAMES = tuple(range(-5, 8))
NOTE_FRAMES = (-12, -8, -5, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 36)
LEVEL_FRAMES = (-14, -7, -4, -2, 0, 2, 4, 7, 12, 20, 32)
FEW_LEVEL_FRAMES = (-7, 0, 5, 12)
HOLD_NOTE_FRAMES = (-16, -10, -6, -3, -1, 0, 1, 3, 6, 10, 16, 24)
HOLD_LEVEL_FRAMES = (-20, -12, -7, -4, -2, 0, 2, 4, 7, 12, 20)
HOLD_PARTIALS = PARTIALS[:6]
ATTACK_FRAMES = tuple(range(0, 13, 2))
STRUCK_FRAMES = (0, 2, 4, 7, 12)
UNSTRUCK_FRAMES = (-7, -4)
RINGING_FRAMES = (12, 20, 32)
LEAST_OWN_SHARE = 0.03  # of a partial's power that counts as the note's own, however loud it was before
HOLD_RELATED = (-24, -19, -12, -1, 1, 12, 19, 24)

PAD_FRAMES = 48
PAD_LOW = 31
PAD_HIGH = 44
RANGE_DB = 70.0  # quieter than this below the stem's loud parts is silence
DB_PER_UNIT = 20.0
LOUD_PERCENTILE = 95.0
AROUND_FRAMES = 43  # half a second to each side: what a note is as loud as, or quieter than


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of a stem on one grid, padded by PAD_FRAMES in time, by PAD_LOW and PAD_HIGH in pitch.

    In half precision, which is finer than anything heard and takes a quarter of a gigabyte for half an hour.

    Attributes:
        onsets, notes: activations, shape (n_frames + 2 * PAD_FRAMES, PAD_LOW + 88 + PAD_HIGH).
        near_onsets: the largest onset activation within two frames.
        near_notes: the mean note activation of seven frames.
        levels: of the bands in units of 20 dB below the stem's loud parts, -3.5 and up; same shape.
        around: the loudest band within half a second, same units; shape (n_frames + 2 * PAD_FRAMES,).
        n_frames: frames of the audio.
    """

    onsets: HalfArray
    notes: HalfArray
    near_onsets: HalfArray
    near_notes: HalfArray
    levels: HalfArray
    around: FloatArray
    n_frames: int


def on_grid(values: FloatArray, n_frames: int) -> FloatArray:
    """Activations of the network's frames, which are counted anew in every window, on even ones: the nearest frame.

    Args:
        values: shape (n, 88).
        n_frames: how many frames to return.
    """
    window, sample = np.divmod(np.arange(n_frames) * HOP_SAMPLES, WINDOW_HOP_SAMPLES)
    frames = window * KEPT_FRAMES + np.rint(sample / HOP_SAMPLES).astype(np.int64)
    nearest: FloatArray = values[np.minimum(frames, len(values) - 1)]
    return nearest


def gather(heard: Activations, levels_db: FloatArray) -> Evidence:
    """Put a stem's activations and band levels, (n_frames, 104) in dB, on one grid."""
    n_frames = len(levels_db)
    onsets, notes = on_grid(heard.onsets, n_frames), on_grid(heard.notes, n_frames)
    loudest = levels_db.max(axis=1)
    sounding = loudest[loudest > FLOOR_DB + 1]
    loud_db = np.percentile(sounding, LOUD_PERCENTILE) if len(sounding) else 0.0
    levels = np.maximum(levels_db - np.float32(loud_db), -RANGE_DB) / DB_PER_UNIT
    silence = -RANGE_DB / DB_PER_UNIT
    loudest = np.pad(levels.max(axis=1), PAD_FRAMES, constant_values=silence)
    return Evidence(
        _padded(onsets, 0.0),
        _padded(notes, 0.0),
        _padded(scipy.ndimage.maximum_filter1d(onsets, 5, axis=0, mode="constant"), 0.0),
        _padded(scipy.ndimage.uniform_filter1d(notes, 7, axis=0, mode="constant"), 0.0),
        _padded(levels, silence),
        scipy.ndimage.maximum_filter1d(loudest, 2 * AROUND_FRAMES + 1),
        n_frames,
    )


def _padded(values: FloatArray, outside: float) -> HalfArray:
    """In half precision, with PAD_FRAMES around it in time; PAD_LOW bands below band 0, PAD_HIGH above band 88."""
    n_frames, width = values.shape
    padded = np.full((n_frames + 2 * PAD_FRAMES, PAD_LOW + N_PITCHES + PAD_HIGH), outside, np.float16)
    padded[PAD_FRAMES : PAD_FRAMES + n_frames, PAD_LOW : PAD_LOW + width] = values
    return padded


def candidates(evidence: Evidence, least_onset: float) -> tuple[IntArray, IntArray]:
    """Where notes may start: (frames, columns 0-87), in time order, then by column.

    Peaks in time of the onset activation or of the rise of the note activation over four frames, at ``least_onset`` or
    above; two of one pitch are at least three frames apart.
    """
    onsets, notes = (
        values[:, PAD_LOW : PAD_LOW + N_PITCHES].astype(np.float32) for values in (evidence.onsets, evidence.notes)
    )
    rise = np.zeros_like(notes)
    rise[2:-2] = notes[4:] - notes[:-4]
    strength = np.maximum(onsets, 0.7 * rise)
    peak = (strength >= least_onset) & (strength >= scipy.ndimage.maximum_filter1d(strength, 5, axis=0))
    frames, columns = np.nonzero(peak[PAD_FRAMES : PAD_FRAMES + evidence.n_frames])
    return frames, columns


def _at(
    values: HalfArray, frames: IntArray, columns: IntArray, steps: tuple[int, ...], rows: tuple[int, ...]
) -> FloatArray:
    """``values`` at every step in time and in pitch from each note; shape (n_notes, n_rows * n_steps)."""
    width = values.shape[1]
    flat = (frames + PAD_FRAMES) * width + columns + PAD_LOW
    offsets = (np.array(rows)[:, None] + width * np.array(steps)[None, :]).ravel()
    found: FloatArray = values.ravel()[flat[:, None] + offsets].astype(np.float32)
    return found


def note_features(evidence: Evidence, frames: IntArray, columns: IntArray) -> FloatArray:
    """What speaks for a note starting in each (frame, column): float32, shape (n, n_features)."""
    around = evidence.around[frames + PAD_FRAMES][:, None]
    partials = _at(evidence.levels, frames, columns, LEVEL_FRAMES, PARTIALS)
    beside = _at(evidence.levels, frames, columns, FEW_LEVEL_FRAMES, BELOW + BESIDE)
    active = (evidence.near_notes[frames + PAD_FRAMES + 3] > 0.3).sum(axis=1)[:, None] / 10
    return np.concatenate(
        [
            _at(evidence.onsets, frames, columns, ONSET_FRAMES, (0,)),
            _at(evidence.notes, frames, columns, NOTE_FRAMES, (0,)),
            _at(evidence.near_onsets, frames, columns, (0,), RELATED),
            _at(evidence.near_notes, frames, columns, (-6, 3), RELATED),
            partials - around,
            beside - around,
            around,
            columns[:, None] / 44 - 1,
            np.abs(columns[:, None] / 44 - 1),
            active,
        ],
        axis=1,
        dtype=np.float32,
    )


def velocity_features(evidence: Evidence, frames: IntArray, columns: IntArray) -> FloatArray:
    """What tells how hard notes that start in each (frame, column) were struck: float32, shape (n, n_features).

    First the level of the attack, of all partials together; then what it must be corrected for: how much of it was
    there before, pitch, the tone, and the notes that share its partials.
    """
    after = _partial_peaks(evidence, frames, columns, STRUCK_FRAMES)
    before = _partial_peaks(evidence, frames, columns, UNSTRUCK_FRAMES)
    power, former = 10 ** (2 * after), 10 ** (2 * before)
    pitch = columns[:, None] / 44 - 1
    return np.concatenate(
        [
            np.log10(power.sum(axis=1, keepdims=True)),
            np.log10(np.maximum(power - former, LEAST_OWN_SHARE * power).sum(axis=1, keepdims=True)),
            pitch,
            pitch**2,
            after,
            np.maximum(after - before, -1.0),
            evidence.around[frames + PAD_FRAMES][:, None],
            _at(evidence.levels, frames, columns, RINGING_FRAMES, PARTIALS[:3]),
            _at(evidence.near_notes, frames, columns, (3,), RELATED),
            _at(evidence.near_onsets, frames, columns, (0,), RELATED),
        ],
        axis=1,
        dtype=np.float32,
    )


def hold_features(
    evidence: Evidence, frames: IntArray, columns: IntArray, starts: IntArray, attack: FloatArray
) -> FloatArray:
    """What tells whether the key of a note is still held in each frame: float32, shape (n, n_features).

    Args:
        frames, columns: where to look.
        starts: frame in which the note started.
        attack: level of each of HOLD_PARTIALS at the note's attack, shape (n, 6), as :func:`attack_levels` gives it.
    """
    levels = _at(evidence.levels, frames, columns, HOLD_LEVEL_FRAMES, HOLD_PARTIALS)
    now = levels.reshape(len(frames), len(HOLD_PARTIALS), len(HOLD_LEVEL_FRAMES))
    age = (frames - starts)[:, None].astype(np.float32)
    return np.concatenate(
        [
            _at(evidence.notes, frames, columns, HOLD_NOTE_FRAMES, (0,)),
            _at(evidence.near_onsets, frames, columns, (-6, 0, 6), (0,)),
            _at(evidence.near_onsets, frames, columns, (0,), HOLD_RELATED),
            _at(evidence.near_notes, frames, columns, (-4, 4), HOLD_RELATED),
            (now - attack[:, :, None]).reshape(levels.shape),
            attack - attack.max(axis=1, keepdims=True),
            attack.max(axis=1, keepdims=True),
            evidence.around[frames + PAD_FRAMES][:, None],
            np.log(age + 4) - 3,
            np.exp(-age / 8),
            columns[:, None] / 44 - 1,
        ],
        axis=1,
        dtype=np.float32,
    )


def attack_levels(evidence: Evidence, frames: IntArray, columns: IntArray) -> FloatArray:
    """The largest level of each of HOLD_PARTIALS in the first 12 frames of notes: float32, shape (n, 6)."""
    return _partial_peaks(evidence, frames, columns, ATTACK_FRAMES)[:, : len(HOLD_PARTIALS)]


def _partial_peaks(evidence: Evidence, frames: IntArray, columns: IntArray, steps: tuple[int, ...]) -> FloatArray:
    """The largest level of each of PARTIALS in some frames, counted from each note's: float32, shape (n, 10)."""
    levels = _at(evidence.levels, frames, columns, steps, PARTIALS)
    peaks: FloatArray = levels.reshape(len(frames), len(PARTIALS), len(steps)).max(axis=2)
    return peaks
