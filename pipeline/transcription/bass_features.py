"""What the bass transcriber looks at, 100 times a second: spectra by semitone, band levels, a pitch tracker's votes.

A long window tells low pitches apart, a short one tells when their partials begin and end; the levels of 36 bands up to
20 kHz show plucks, and what leaks in from the drums.  The pitch network, swift-f0, hears the recording as it is and an
octave up, since it stops at 46.9 Hz.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray

from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription import drum_features
from pipeline.transcription.pitch_track import PitchNetwork, PitchTrack

FloatArray = NDArray[np.float32]

FRAMES_PER_S = drum_features.FRAMES_PER_S
RATE_HZ = 4_000  # spectra reach 2 kHz: the sixth partial of the highest pitch
HOP = RATE_HZ // FRAMES_PER_S
LONG_WINDOW = 1024  # 256 ms: tells E1 from F1 by their third partials
SHORT_WINDOW = 384  # 96 ms: two and a half periods of B0
FFT_SAMPLES = 2048
FIRST_SEMITONE, N_SEMITONES = 11, 84  # to 1.9 kHz
N_VOTES = 72  # semitones the pitch tracker may vote for
BLOCK_FRAMES = 3000  # bounds memory: half a minute of spectra at a time
FLOOR_DB, CEILING_DB, DB_PER_UNIT = -60.0, 20.0, 20.0
TINY_POWER = 1e-14
_BANDED = 0.5  # of the time, measured on a minute of bass

Tracks = tuple[PitchTrack, PitchTrack]
"""What swift-f0 followed, of the recording as it is and an octave up."""


@dataclass(frozen=True, slots=True)
class BassFeatures:
    """All arrays have ``n_frames`` rows, frame ``t`` centred on ``t * 10`` ms.

    Attributes:
        spectra: float32, (n_frames, 2, 84): levels of semitones from MIDI 11, long window and short, relative to the
            recording's loudness, in units of 20 dB.
        bands: float32, (n_frames, 36): levels as in ``drum_features.relative_levels``.
        votes: float32, (n_frames, 2, 72): for MIDI pitches from 11, swift-f0's confidence in that pitch, as the
            recording is and an octave up.
        voicing: float32, (n_frames, 2): swift-f0's confidence, as the recording is and an octave up.
        tuning: by how many semitones the recording is higher than A = 440 Hz, -0.5 to 0.5.
    """

    spectra: FloatArray
    bands: FloatArray
    votes: FloatArray
    voicing: FloatArray
    tuning: float


def follow(samples: FloatArray, rate_hz: int, pitch_network: PitchNetwork, on_progress: OnProgress = unheard) -> Tracks:
    """The pitch of a recording, float32 mono, shape (n_samples,), as it is and heard an octave up."""
    return (
        pitch_network.track(samples, rate_hz, part(on_progress, 0.0, 0.5)),
        pitch_network.track(samples, rate_hz, part(on_progress, 0.5, 1.0), octaves_up=1),
    )


def bass_features(
    samples: FloatArray,
    rate_hz: int,
    tracks: Tracks,
    on_progress: OnProgress = unheard,
) -> BassFeatures:
    """Features of a recording: ``samples`` float32 mono, shape (n_samples,), at ``rate_hz``; at least one sample."""
    wide = drum_features.resample(samples, rate_hz)
    powers = drum_features.band_powers(wide, drum_features.COARSE, part(on_progress, 0.0, _BANDED))
    bands, _ = drum_features.relative_levels(powers)
    n_frames = len(bands)
    tuning = _tuning(tracks)
    spectra = _spectra(samples, rate_hz, n_frames, tuning, part(on_progress, _BANDED, 1.0))
    votes = np.empty((n_frames, 2, N_VOTES), dtype=np.float32)
    voicing = np.empty((n_frames, 2), dtype=np.float32)
    for column, track in enumerate(tracks):
        votes[:, column], voicing[:, column] = _pitch_votes(track, n_frames, tuning)
    return BassFeatures(spectra, bands, votes, voicing, tuning)


def _tuning(tracks: Tracks) -> float:
    """The mean deviation of confident pitches from whole semitones, taken on the circle."""
    midi = np.concatenate([track.midi for track in tracks]).astype(np.float64)
    weight = np.concatenate([np.maximum(track.confidence - 0.5, 0.0) for track in tracks])
    return float(np.angle((weight * np.exp(2j * np.pi * midi)).sum()) / (2 * np.pi))


@cache
def _semitone_filters(window: int) -> FloatArray:
    """Triangular filters 0.6 semitones to each side, or as wide as the window resolves; shape (1025, 84)."""
    bins_hz = np.arange(FFT_SAMPLES // 2 + 1) * RATE_HZ / FFT_SAMPLES
    centres_hz = 440.0 * 2 ** ((np.arange(N_SEMITONES) + FIRST_SEMITONE - 69) / 12)
    width_hz = np.maximum(centres_hz * (2 ** (0.6 / 12) - 1), 0.5 * RATE_HZ / window)
    weights = np.clip(1.0 - np.abs(bins_hz[:, None] - centres_hz) / width_hz, 0.0, None)
    taper = scipy.signal.get_window("hann", window)
    return np.asarray(weights / weights.sum(axis=0) / taper.sum() ** 2, dtype=np.float32)


def _spectra(samples: FloatArray, rate_hz: int, n_frames: int, tuning: float, on_progress: OnProgress) -> FloatArray:
    """See :attr:`BassFeatures.spectra`; a recording tuned high is played as much lower, to the hundredth semitone."""
    speed = 2 ** (round(tuning, 2) / 12)  # frames of a slowed recording lie further apart
    heard = soxr.resample(samples, rate_hz, RATE_HZ * speed, quality="HQ")
    half = LONG_WINDOW // 2
    padded = np.zeros(int(n_frames * HOP * speed) + 2 * LONG_WINDOW, dtype=np.float32)
    fitting = min(len(heard), len(padded) - half)
    padded[half : half + fitting] = heard[:fitting]
    levels = np.empty((n_frames, 2, N_SEMITONES), dtype=np.float32)
    for row, window in enumerate((LONG_WINDOW, SHORT_WINDOW)):
        frames = np.lib.stride_tricks.sliding_window_view(padded[half - window // 2 :], window)
        taper = scipy.signal.get_window("hann", window).astype(np.float32)
        for start in range(0, n_frames, BLOCK_FRAMES):
            on_progress((row + start / n_frames) / 2)
            stop = min(start + BLOCK_FRAMES, n_frames)
            at = np.round(np.arange(start, stop) * (HOP * speed)).astype(np.int64)
            spectrum = scipy.fft.rfft(frames[at] * taper, FFT_SAMPLES, axis=1)
            levels[start:stop, row] = (spectrum.real**2 + spectrum.imag**2) @ _semitone_filters(window)
    loudness_db = drum_features.loudness_db(levels[:, 0])
    relative_db = 10 * np.log10(levels + np.float32(TINY_POWER)) - np.float32(loudness_db)
    return np.asarray(np.clip(relative_db, FLOOR_DB, CEILING_DB) / DB_PER_UNIT, dtype=np.float32)


def _nearest(times_s: NDArray[np.float64], n_frames: int) -> NDArray[np.intp]:
    """For each frame the index of the time next to it; ``times_s`` rises."""
    middles = (times_s[1:] + times_s[:-1]) / 2
    return np.asarray(np.searchsorted(middles, np.arange(n_frames) / FRAMES_PER_S), dtype=np.intp)


def _pitch_votes(track: PitchTrack, n_frames: int, tuning: float) -> tuple[FloatArray, FloatArray]:
    """Confidence spread over pitches near the track's, (n_frames, 72), and the confidence itself, (n_frames,)."""
    rows = _nearest(track.times_s, n_frames)
    confidence = track.confidence[rows]
    distance = (track.midi[rows] - np.float32(tuning))[:, None] - (np.arange(N_VOTES) + FIRST_SEMITONE)
    closeness = np.clip(1.0 - np.abs(distance), 0.0, None).astype(np.float32)
    return closeness * confidence[:, None], confidence
