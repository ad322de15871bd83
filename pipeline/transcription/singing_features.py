"""What the vocals transcriber looks at, 100 times a second: the spectrum, the pitch and what Basic Pitch hears there.

All of it is relative: levels to the loudness of the recording, pitches to the pitch of the moment.  So neither the
singer's range nor the level of the recording matters.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr
from numpy.typing import NDArray

from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.basic_pitch import Activations, frame_times_s
from pipeline.transcription.note_decoding import LOWEST_PITCH, N_PITCHES
from pipeline.transcription.pitch_track import PitchTrack

FloatArray = NDArray[np.float32]

RATE_HZ = 16_000
HOP = 160
FRAMES_PER_S = RATE_HZ // HOP
WINDOW = 512  # 32 ms: short enough to place a consonant, long enough to be steady over a low voice's periods
N_BANDS = 32
LOWEST_HZ, HIGHEST_HZ = 120.0, 7_600.0
FRAMES_PER_BLOCK = 3000  # bounds memory
TINY_POWER = 1e-12
FLOOR_DB, CEILING_DB, DB_PER_UNIT = -60.0, 20.0, 20.0

VOICED = 0.3  # confidence from which a frame's pitch is believed; the network's own boundary of 0.5 cuts vowels short
STEPS = (-16, -8, -4, -2, -1, 1, 2, 4, 8, 16)  # frames between which pitches are compared
SPANS = (4, 8, 16, 32)  # frames over which the mean pitch before is compared with that after
LARGEST_STEP = 4.0  # semitones; a larger leap is a leap all the same
# The network hears groups of bands, each relative to its own loudest nearby: a consonant is a dip whatever the voice,
# the microphone or the equalizer.  With single bands and absolute levels it learned the synthetic singer's timbre.
N_GROUPS = 8
NEARBY_FRAMES = 81
DEEPEST_DB = -40.0
N_FEATURES = N_GROUPS + 3 + len(STEPS) + len(SPANS) + 6

OCTAVE = 12.0
OCTAVE_SHIFT_COST = 0.45  # per frame of 16 ms: an octave that lasts less than half a second between equals is an error
LARGEST_JUMP = 14.0


@dataclass(frozen=True, slots=True)
class Voice:
    """A stem as the network sees it; frame ``t`` is centred on ``t * 10`` ms.

    Attributes:
        features: float32, shape (n_frames, N_FEATURES).
        midi: float32, shape (n_frames,), fractional MIDI pitch; meaningless where not voiced.
        confidence: float32, shape (n_frames,), how surely the frame is voiced, 0-1.
        level_db: float32, shape (n_frames,), level relative to the loud parts of the recording.
    """

    features: FloatArray
    midi: FloatArray
    confidence: FloatArray
    level_db: FloatArray


@cache
def _filterbank() -> FloatArray:
    """Triangular bands evenly spaced in mel, shape (WINDOW // 2 + 1, N_BANDS)."""
    mel_edges = np.linspace(np.log1p(LOWEST_HZ / 700.0), np.log1p(HIGHEST_HZ / 700.0), N_BANDS + 2)
    edges = 700.0 * np.expm1(mel_edges)
    bins_hz = np.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    rising = (bins_hz[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins_hz[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.clip(np.minimum(rising, falling), 0.0, None)
    return np.asarray(weights / (WINDOW / 2) ** 2, dtype=np.float32)


def band_powers(samples: FloatArray, on_progress: OnProgress = unheard) -> FloatArray:
    """Powers in :data:`N_BANDS` bands of 16 kHz mono samples, float32, shape (len(samples) // 160 + 1, N_BANDS).

    Before every half minute ``on_progress`` is told how much is done.
    """
    n_frames = len(samples) // HOP + 1
    padded = np.pad(samples, (WINDOW // 2, WINDOW // 2 + HOP))
    taper = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    powers = np.empty((n_frames, N_BANDS), dtype=np.float32)
    for start in range(0, n_frames, FRAMES_PER_BLOCK):
        on_progress(start / n_frames)
        spectra = scipy.fft.rfft(frames[start : min(start + FRAMES_PER_BLOCK, n_frames)] * taper, axis=1)
        powers[start : start + len(spectra)] = (spectra.real**2 + spectra.imag**2) @ _filterbank()
    return powers


def relative_bands(bands_db: FloatArray) -> FloatArray:
    """Levels of groups of bands below their loudest nearby, shape (n_frames, N_GROUPS), in units of 20 dB."""
    clipped = np.clip(bands_db, FLOOR_DB, CEILING_DB)
    groups = clipped.reshape(len(clipped), N_GROUPS, -1).mean(axis=2)
    loudest = scipy.ndimage.maximum_filter1d(groups, NEARBY_FRAMES, axis=0, mode="nearest")
    return np.asarray(np.maximum(groups - loudest, DEEPEST_DB) / DB_PER_UNIT, dtype=np.float32)


def without_octave_errors(track: PitchTrack, on_progress: OnProgress = unheard) -> FloatArray:
    """The track's pitch with short leaps of an octave to and fro undone, float32, shape (n_frames,).

    The cheapest course of shifts by -1, 0 or 1 octave, where leaps and shifts cost; unvoiced frames are passed over.
    """
    midi = track.midi.copy()
    voiced = np.flatnonzero(track.confidence >= VOICED)
    if len(voiced) < 2:
        return midi
    shifts = np.array((0.0, -OCTAVE, OCTAVE))
    leaps = np.diff(midi[voiced])
    near = np.exp(-(np.diff(voiced) - 1) / 12.0)  # a leap over a pause says little
    tolls = np.minimum(np.abs(leaps[:, None, None] + shifts[None, None, :] - shifts[None, :, None]), LARGEST_JUMP)
    tolls = tolls * near[:, None, None] + OCTAVE_SHIFT_COST * (shifts != 0.0)
    cost = np.where(shifts == 0.0, 0.0, OCTAVE_SHIFT_COST)
    came_from = np.empty((len(leaps), 3), dtype=np.int8)
    for i, toll in enumerate(tolls):
        if i % FRAMES_PER_BLOCK == 0:
            on_progress(i / len(leaps))
        totals = cost[:, None] + toll
        came_from[i] = totals.argmin(axis=0)
        cost = totals.min(axis=0)
    state = int(cost.argmin())
    chosen = np.empty(len(voiced), dtype=np.int8)
    for i in range(len(leaps), 0, -1):
        chosen[i] = state
        state = int(came_from[i - 1, state])
    chosen[0] = state
    midi[voiced] += shifts[chosen].astype(np.float32)
    return midi


def _shifted(values: FloatArray, step: int) -> FloatArray:
    """``values[t + step]``; the edges repeat."""
    return values[np.clip(np.arange(len(values)) + step, 0, len(values) - 1)]


def span_means(midi: FloatArray, voiced: NDArray[np.bool_], span: int) -> tuple[FloatArray, FloatArray]:
    """Mean voiced pitch of the ``span`` frames before and after each frame; NaN where none is voiced."""
    zero = np.zeros(1)
    total = np.concatenate([zero, np.cumsum(np.where(voiced, midi, 0.0), dtype=np.float64)])
    count = np.concatenate([zero, np.cumsum(voiced, dtype=np.float64)])
    here = np.arange(len(midi))
    means = []
    for first, last in ((here - span, here), (here + 1, here + 1 + span)):
        first, last = np.clip(first, 0, len(midi)), np.clip(last, 0, len(midi))
        heard = count[last] - count[first]
        means.append(np.where(heard > 0, (total[last] - total[first]) / np.maximum(heard, 1), np.nan))
    return means[0].astype(np.float32), means[1].astype(np.float32)


def _pitch_features(midi: FloatArray, confidence: FloatArray) -> FloatArray:
    voiced = confidence >= VOICED
    columns = [confidence, voiced.astype(np.float32)]
    for step in STEPS:
        both = voiced & (_shifted(confidence, step) >= VOICED)
        leap = np.clip(_shifted(midi, step) - midi, -LARGEST_STEP, LARGEST_STEP)
        columns.append(np.where(both, leap / 2.0, 0.0).astype(np.float32))
    for span in SPANS:
        before, after = span_means(midi, voiced, span)
        leap = np.nan_to_num(np.clip(after - before, -LARGEST_STEP, LARGEST_STEP), nan=0.0)
        columns.append((leap / 2.0).astype(np.float32))
    return np.stack(columns, axis=1)


def _network_features(heard: Activations, midi: FloatArray, voiced: NDArray[np.bool_]) -> FloatArray:
    """Basic Pitch's activations around the tracked pitch, shape (n_frames, 6)."""
    n_frames = len(midi)
    if len(heard.notes) == 0:
        return np.zeros((n_frames, 6), dtype=np.float32)
    times_s = frame_times_s(np.arange(len(heard.notes)))
    nearest = np.clip(np.searchsorted(times_s, np.arange(n_frames) / FRAMES_PER_S), 0, len(times_s) - 1)
    notes, onsets = heard.notes[nearest], heard.onsets[nearest]
    column = np.clip(np.rint(midi).astype(np.int64) - LOWEST_PITCH, 2, N_PITCHES - 3)
    rows = np.arange(n_frames)
    near_onsets = np.stack([onsets[rows, column + step] for step in (-2, -1, 0, 1, 2)], axis=1)
    near_notes = np.stack([notes[rows, column + step] for step in (-2, -1, 0, 1, 2)], axis=1)
    own = np.stack(
        [near_onsets.max(axis=1), near_onsets[:, 2], near_notes[:, 1:4].max(axis=1), near_notes[:, 2]], axis=1
    )
    return np.concatenate(
        [own * voiced[:, None], onsets.max(axis=1, keepdims=True), notes.max(axis=1, keepdims=True)], axis=1
    ).astype(np.float32)


def listen(
    samples: FloatArray, rate_hz: int, track: PitchTrack, heard: Activations, on_progress: OnProgress = unheard
) -> Voice:
    """Everything about one stem that the network looks at.

    Args:
        samples: float32 mono, shape (n_samples,), not empty.
        rate_hz: its rate.
        track: its pitch.
        heard: Basic Pitch's activations of it.
        on_progress: told several times for every half minute of audio.
    """
    resampled = np.asarray(soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ"), dtype=np.float32)
    powers = band_powers(resampled, part(on_progress, 0.0, 0.4))
    total = powers.sum(axis=1, dtype=np.float64)
    loudness = max((total**2).sum() / max(total.sum(), TINY_POWER), TINY_POWER)
    level_db = (10 * np.log10(total / loudness + 1e-9)).astype(np.float32)
    bands_db = 10 * np.log10(powers / (loudness / N_BANDS) + 1e-9)
    times_s = np.arange(len(powers)) / FRAMES_PER_S
    corrected = without_octave_errors(track, part(on_progress, 0.4, 0.8))
    on_progress(0.8)
    midi = np.interp(times_s, track.times_s, corrected).astype(np.float32)
    confidence = np.interp(times_s, track.times_s, track.confidence).astype(np.float32)
    features = np.concatenate(
        [
            relative_bands(bands_db),
            (np.clip(level_db, FLOOR_DB, CEILING_DB) / DB_PER_UNIT)[:, None],
            _pitch_features(midi, confidence),
            _network_features(heard, midi, confidence >= VOICED),
        ],
        axis=1,
    )
    return Voice(features.astype(np.float32), midi, confidence, level_db)
