"""A voice and an instrument of a voice's range, made up."""

import numpy as np
import scipy.signal
from numpy.typing import NDArray

_SCALE = (0, 2, 4, 5, 7, 9, 7, 5, 4, 2)
# First three formants in Hz of a, i, u, e, o (Peterson and Barney 1952, men).
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
_NOTE_S = 0.5


def singer(duration_s: float, rate_hz: int) -> NDArray[np.float64]:
    """Syllables of half a second: a hiss, then a vowel whose pitch slides, wavers and is a little out of tune."""
    rng = np.random.default_rng(1)
    n_note, n_hiss = round(_NOTE_S * rate_hz), round(0.08 * rate_hz)
    high = scipy.signal.butter(4, 5000, "high", fs=rate_hz, output="sos")
    out = np.zeros(round(duration_s * rate_hz) + n_note)
    time_s = np.arange(n_note - n_hiss) / rate_hz
    for index, start in enumerate(range(0, len(out) - n_note, n_note)):
        semitones = _SCALE[index % len(_SCALE)] + rng.uniform(-0.4, 0.4)
        semitones = semitones - 1.5 * np.exp(-20 * time_s) + 0.4 * np.sin(2 * np.pi * 5.5 * time_s)
        source = scipy.signal.sawtooth(2 * np.pi * np.cumsum(196.0 * 2 ** (semitones / 12)) / rate_hz)
        vowel = sum(
            scipy.signal.lfilter(*scipy.signal.iirpeak(formant, formant / 90, fs=rate_hz), source)
            for formant in _VOWELS[index % len(_VOWELS)]
        )
        vowel *= np.minimum(1.0, np.minimum(time_s, time_s[::-1]) / 0.03)
        out[start + n_hiss : start + n_note] = 0.3 * vowel
        hiss = scipy.signal.sosfilt(high, rng.standard_normal(n_hiss)) * np.hanning(n_hiss)
        out[start : start + n_hiss] = 0.08 * hiss
    return out[: round(duration_s * rate_hz)]


def organ_tune(duration_s: float, rate_hz: int) -> NDArray[np.float64]:
    """Tones of an organ stop, in tune and still, half a second each."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    semitones = np.array(_SCALE)[(time_s / _NOTE_S).astype(int) % len(_SCALE)]
    phase = 2 * np.pi * np.cumsum(440.0 * 2 ** (semitones / 12)) / rate_hz
    fade = np.minimum(1.0, np.minimum(time_s % _NOTE_S, _NOTE_S - time_s % _NOTE_S) / 0.02)
    tone: NDArray[np.float64] = 0.1 * sum(np.sin(partial * phase) / partial for partial in range(1, 8)) * fade
    return tone
