"""Whether a sound plays the pitch that it is asked for: wrong labels poison training."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.training.sounds.base import RATE_HZ, Played, Sound

PROBES = 5
_WINDOW_S = 0.4
# Octaves and fifths beside the asked pitch are looked at too: those are the mistakes of sample maps.
_REACH_CENTS = 2_600
# Every multiple of the period is as good a match as the period itself, nearly; the shortest that is nearly best counts.
_NEARLY = 0.88


def pitch_error_cents(samples: NDArray[np.float32], hz: float) -> float:
    """How far the pitch of a tone is from ``hz``, by autocorrelation; NaN if it has no pitch.

    Args:
        samples: mono at :data:`RATE_HZ`, a single tone without its attack; half a second is enough.
        hz: what is expected; up to two octaves off are told apart.
    """
    tone = samples.astype(np.float64)
    tone -= tone.mean()
    size = 1 << (2 * tone.size - 1).bit_length()
    spectrum = np.abs(scipy.fft.rfft(tone, size)) ** 2
    correlation = scipy.fft.irfft(spectrum)[: tone.size]
    energy = np.cumsum(tone**2)
    lags = np.arange(tone.size)
    overlap = np.sqrt(energy[::-1] * (energy[-1] - np.concatenate([[0], energy[:-1]])))
    correlation = np.where(overlap > 0, correlation / np.maximum(overlap, 1e-12), 0)[: tone.size * 3 // 4]
    reach = 2 ** (_REACH_CENTS / 1200)
    shortest, longest = RATE_HZ / hz / reach, min(RATE_HZ / hz * reach, correlation.size - 2)
    inner = correlation[1:-1]
    tops = lags[1 : correlation.size - 1][(inner >= correlation[:-2]) & (inner > correlation[2:])]
    tops = tops[(tops >= max(2, shortest)) & (tops <= longest)]
    if tops.size == 0 or correlation[tops].max() < 0.3:
        return float("nan")
    lag = _refined(correlation, int(tops[correlation[tops] >= _NEARLY * correlation[tops].max()][0]))
    # The same period measured over many of them is exact.
    for multiple in range(2, 1 + int(min(0.1 * RATE_HZ, correlation.size - 2) / lag)):
        near = round(lag * multiple)
        around = np.arange(max(1, near - 2), min(correlation.size - 1, near + 3))
        if around.size and correlation[around].max() > 0.8 * correlation[round(lag)]:
            lag = _refined(correlation, int(around[np.argmax(correlation[around])])) / multiple
    return float(1200 * np.log2(RATE_HZ / lag / hz))


def _refined(curve: NDArray[np.float64], index: int) -> float:
    """Where a parabola through a maximum and its neighbours peaks."""
    if not 0 < index < curve.size - 1:
        return float(index)
    left, top, right = curve[index - 1 : index + 2]
    bend = left - 2 * top + right
    # Beside a maximum a parabola can peak anywhere
    return index + (float(np.clip(0.5 * (left - right) / bend, -1, 1)) if bend < 0 else 0.0)


def check_tuning(sound: Sound) -> float:
    """The distance in cents from the pitches asked for to those heard, over keys across the sound's range.

    Of the probed keys' distances the one of median size, with its sign.  NaN where no key has a pitch.
    """
    low, high = sound.keys
    # Where periods are neither longer than a window shows nor shorter than the rate resolves.
    low, high = max(low, min(36, high)), min(high, max(88, low))
    errors = []
    for pitch in np.unique(np.linspace(low, high, PROBES + 2).round().astype(int)[1:-1]):
        played = sound.play([Played(0.05, 1.0, int(pitch), 90)], 1.0, np.random.default_rng(0)).samples
        tone = played[round(0.15 * RATE_HZ) : round((0.15 + _WINDOW_S) * RATE_HZ)]
        errors.append(pitch_error_cents(tone, 440 * 2 ** ((pitch - 69) / 12)))
    heard = sorted((error for error in errors if np.isfinite(error)), key=abs)
    return heard[len(heard) // 2] if heard else float("nan")
