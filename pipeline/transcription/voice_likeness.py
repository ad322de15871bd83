"""Whether a stem of vocals is sung: separators take solo instruments of a voice's range for voices.

What sets a singer apart from nearly every instrument and synthesiser is language and freedom: hissing consonants,
vowels that change the timbre from note to note, a pitch that never stands still and is not on a keyboard's grid.
Six such features of some seconds of audio go into a logistic regression, fitted by ``tests/quality/tune_phantoms.py``.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray

from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.pitch_track import PitchNetwork, PitchTrack

RATE_HZ = 22_050
WINDOW, HOP = 512, 256  # 23 ms: a consonant lasts 50-150 ms
BODY_HZ, HISS_HZ = (200.0, 3000.0), (4000.0, 10_000.0)
BANDS_HZ, N_BANDS = (80.0, 10_500.0), 39
N_CEPSTRUM = 8
LOUDEST_PERCENTILE = 90
ACTIVE_DB, HISS_DB, FLOOR_DB = 25.0, 35.0, 60.0  # below the loud frames; below the strongest band
VOICED = 0.6
STEP_SEMITONES, NOTE_STEP_SEMITONES = 1.0, 0.5  # in 16 ms: faster is a jump of the tracker; a new note
MOVING_SEMITONES = 0.08
NOTE_FRAMES = 12  # 0.2 s
LEAST_NOTES, LEAST_FRAMES = 4, 10  # fewer say nothing of a window

FEATURES = ("hiss", "timbre", "moving", "speed", "grid", "width")
# What stands in for a feature that a window is too short of notes for: between singers and instruments.
NEUTRAL = (0.0, 14.5, 0.25, 1.1, 0.75, 0.25)
HISS_OFFSET = 0.2  # percent: a frame in six seconds
# Of FEATURES, fitted on 844 windows of 8 s: 13 synthetic singers, recorded singing and speech, 124 General MIDI solos,
# recorded wind, strings and vibraphone, as they are and with leakage, in a room, without treble; some separated by
# htdemucs.  With each source left out in turn, 97.2 % of pairs of a voice and an instrument come in the right order.
WEIGHTS = (0.808, 0.483, -4.197, 1.12, -10.176, 9.512)
BIAS = -2.141
_TINY = 1e-12
_BLOCK_FRAMES = 4000  # bounds memory: 46 s of spectra at a time


@dataclass(frozen=True, slots=True)
class _Levels:
    """Every 11.6 ms, in dB: of the body and of the hiss, shape (n_frames,), and of the bands, (n_frames, 39)."""

    body: NDArray[np.float32]
    hiss: NDArray[np.float32]
    bands: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Notes:
    """Stretches of steady pitch; all arrays have shape (n_notes,).

    Attributes:
        middle_s: when they are half over.
        pitch: median, fractional MIDI note numbers.
        frames: how long they are, in frames of the tracker.
        width: between the tenth and the ninetieth percentile of the pitch, in semitones.
    """

    middle_s: NDArray[np.float64]
    pitch: NDArray[np.float64]
    frames: NDArray[np.int64]
    width: NDArray[np.float64]


def voice_features(
    samples: NDArray[np.float32],
    rate_hz: int,
    windows_s: NDArray[np.float64],
    network: PitchNetwork,
    on_progress: OnProgress = unheard,
) -> NDArray[np.float64]:
    """Features of windows of a recording.

    Args:
        samples: float32 mono, shape (n_samples,), full scale 1.0.
        rate_hz: its rate.
        windows_s: float64, shape (n_windows, 2): start and end in seconds; each some seconds long.
        network: follows the pitch.
        on_progress: told of every ten seconds whose pitch is followed.

    Returns:
        float64, shape (n_windows, 6), columns as in :data:`FEATURES`: logarithm of the percentage of frames that hiss;
        spread of the timbre over the loud frames, dB; share of voiced frames in which the pitch moves; logarithm of how
        fast it does, cents in 16 ms; how well notes lie on one grid of semitones, 0-1; how wide the pitch of a note is,
        semitones.
    """
    levels = _levels(soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ"), part(on_progress, 0.0, 0.4))
    track = network.track(samples, rate_hz, part(on_progress, 0.4, 1.0))
    notes = _notes(track)
    features = np.empty((len(windows_s), len(FEATURES)))
    for row, (start_s, end_s) in zip(features, windows_s.tolist(), strict=True):
        row[:2] = _timbre(levels, slice(round(start_s * RATE_HZ / HOP), round(end_s * RATE_HZ / HOP)))
        row[2:] = _movement(track, notes, start_s, end_s)
    return np.where(np.isnan(features), NEUTRAL, features)


def log_odds(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of how many times likelier a voice is than an instrument: (n_windows,) from (n_windows, 6)."""
    odds: NDArray[np.float64] = features @ np.array(WEIGHTS) + BIAS
    return odds


def _levels(samples: NDArray[np.float32], on_progress: OnProgress) -> _Levels:
    n_frames = len(samples) // HOP + 1
    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    taper = scipy.signal.get_window("hann", WINDOW).astype(np.float32)
    bins_hz = np.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    ranges = [(bins_hz > low) & (bins_hz < high) for low, high in (BODY_HZ, HISS_HZ)]
    weights = np.column_stack([*ranges, _bands(bins_hz)]).astype(np.float32)
    powers = np.empty((n_frames, weights.shape[1]), dtype=np.float32)
    for first in range(0, n_frames, _BLOCK_FRAMES):
        on_progress(first / n_frames)
        count = min(_BLOCK_FRAMES, n_frames - first)
        block = padded[first * HOP : (first + count - 1) * HOP + WINDOW]
        spectra = scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(block, WINDOW)[::HOP] * taper, axis=1)
        powers[first : first + count] = (spectra.real**2 + spectra.imag**2) @ weights
    levels = 10 * np.log10(powers + np.float32(_TINY))
    return _Levels(levels[:, 0], levels[:, 1], levels[:, 2:])


def _bands(bins_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangles, shape (n_bins, 39); for a band narrower than the bins, the bin nearest to its centre."""
    edges = np.geomspace(*BANDS_HZ, N_BANDS + 2)
    rising = (bins_hz[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins_hz[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.clip(np.minimum(rising, falling), 0.0, None)
    for band in np.flatnonzero(weights.sum(axis=0) == 0):
        weights[np.argmin(np.abs(bins_hz - edges[band + 1])), band] = 1.0
    return weights


def _timbre(levels: _Levels, window: slice) -> tuple[float, float]:
    """Hiss and timbre of a window, in frames."""
    body, hiss, bands = levels.body[window], levels.hiss[window], levels.bands[window]
    if not len(body):  # the window starts in the last few milliseconds
        return np.nan, np.nan
    whole = 10 * np.log10(10 ** (body / 10) + 10 ** (hiss / 10))
    loud = np.percentile(whole, LOUDEST_PERCENTILE)
    hissing = (hiss > body) & (hiss > loud - HISS_DB)
    active = whole > loud - ACTIVE_DB
    if np.count_nonzero(active) <= LEAST_FRAMES:
        return float(np.log(hissing.mean() * 100 + HISS_OFFSET)), np.nan
    floored = np.maximum(bands[active], bands.max() - FLOOR_DB)
    cepstrum = scipy.fft.dct(floored, axis=1, norm="ortho")[:, 1 : N_CEPSTRUM + 1]
    spread = float(np.sqrt(cepstrum.var(axis=0).mean()))
    return float(np.log(hissing.mean() * 100 + HISS_OFFSET)), spread


def _notes(track: PitchTrack) -> _Notes:
    voiced = track.confidence > VOICED
    steady = voiced[1:] & voiced[:-1] & (np.abs(np.diff(track.midi)) < NOTE_STEP_SEMITONES)
    edges = np.flatnonzero(np.diff(np.pad(steady.astype(np.int8), 1))).reshape(-1, 2)
    edges = edges[edges[:, 1] - edges[:, 0] + 1 >= NOTE_FRAMES]
    pitches = [track.midi[start + 2 : end - 1] for start, end in edges.tolist()]  # attack and release left out
    widths = [np.subtract(*np.percentile(pitch, (90, 10))) for pitch in pitches]
    middle_s = track.times_s[(edges[:, 0] + edges[:, 1]) // 2] if len(edges) else np.empty(0)
    medians = np.array([np.median(pitch) for pitch in pitches], dtype=np.float64)
    return _Notes(middle_s, medians, edges[:, 1] - edges[:, 0] + 1, np.array(widths, dtype=np.float64))


def _movement(track: PitchTrack, notes: _Notes, start_s: float, end_s: float) -> tuple[float, float, float, float]:
    """Moving, speed, grid and width of a window."""
    window = slice(*np.searchsorted(track.times_s, (start_s, end_s)).tolist())
    voiced = track.confidence[window] > VOICED
    steps = np.abs(np.diff(track.midi[window]))
    steps = steps[voiced[1:] & voiced[:-1] & (steps < STEP_SEMITONES)]
    moving, speed = np.nan, np.nan
    if len(steps) > LEAST_FRAMES:
        moving, speed = float(np.mean(steps > MOVING_SEMITONES)), float(np.log(100 * np.median(steps) + _TINY))
    inside = (notes.middle_s >= start_s) & (notes.middle_s < end_s)
    if np.count_nonzero(inside) < LEAST_NOTES:
        return moving, speed, np.nan, float(np.median(notes.width[inside])) if inside.any() else np.nan
    turns = np.exp(2j * np.pi * notes.pitch[inside])
    grid = np.abs((notes.frames[inside] * turns).sum()) / notes.frames[inside].sum()
    return moving, speed, float(grid), float(np.median(notes.width[inside]))
