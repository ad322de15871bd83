"""Drums for the plain synthesiser: swept sines for skins, filtered noise for snares and metal."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts.timbres import RATE_HZ, Samples

Sound = NDArray[np.float64]

_NOISE_SEED = 7
# Two square waves a non-harmonic interval apart, and four more: the recipe of the TR-808's cymbals.
_METAL_HZ = (263.0, 400.0, 421.0, 474.0, 587.0, 845.0)


def drum_sound(key: int) -> Samples:
    """A stroke on a General MIDI percussion key: float32, shape (n_samples,), 44.1 kHz mono, peak at its loudness.

    The array is shared: do not write into it.
    """
    return _SOUNDS.get(key, _click)()


def pan_of(key: int) -> int:
    """Place of a drum between -2 (left) and 2 (right), as the audience sees the kit."""
    return _PANS.get(key, 0)


def _skin(from_hz: float, to_hz: float, sweep_s: float, decay_s: float, gain: float) -> Samples:
    """A head: a sine whose pitch falls as it fades, with the click of the stick."""
    at_s = _times(decay_s * 6)
    sweep = sweep_s * (from_hz - to_hz) * (1 - np.exp(-at_s / sweep_s))
    body = np.sin(2 * math.pi * (to_hz * at_s + sweep)) * np.exp(-at_s / decay_s)
    click = _noise(len(at_s)) * np.exp(-at_s / 0.003) * 0.3
    return _shaped(body + click, gain)


def _snare(noise_decay_s: float, gain: float) -> Samples:
    at_s = _times(noise_decay_s * 6)
    head = np.sin(2 * math.pi * (185 * at_s + 1.2 * (1 - np.exp(-at_s / 0.02)))) * np.exp(-at_s / 0.06)
    wires = _filtered(_noise(len(at_s)), 1500) * np.exp(-at_s / noise_decay_s)
    return _shaped(0.7 * head + 0.6 * wires, gain)


def _metal(decay_s: float, above_hz: float, noise: float, gain: float) -> Samples:
    at_s = _times(decay_s * 5)
    squares = sum(np.sign(np.sin(2 * math.pi * 6.1 * hz * at_s)) for hz in _METAL_HZ) / len(_METAL_HZ)
    mix = _filtered((1 - noise) * squares + noise * _noise(len(at_s)), above_hz)
    return _shaped(mix * np.exp(-at_s / decay_s), gain)


def _ride() -> Samples:
    at_s = _times(2.5)
    bell = np.sin(2 * math.pi * 3150 * at_s) * np.exp(-at_s / 0.25) * 0.25
    return _shaped(_metal(0.5, 5000, 0.4, 1.0)[: len(at_s)] * 0.6 + bell, 0.3)


def _clap() -> Samples:
    at_s = _times(0.3)
    hands = sum(np.exp(-np.maximum(at_s - late, 0) / 0.012) * (at_s >= late) for late in (0.0, 0.011, 0.022))
    return _shaped(_filtered(_noise(len(at_s)), 900, 3500) * hands, 0.5)


def _block(hz: float, gain: float = 0.4) -> Samples:
    at_s = _times(0.2)
    return _shaped(np.sin(2 * math.pi * hz * at_s) * np.exp(-at_s / 0.03), gain)


def _click() -> Samples:
    return _block(1200.0, 0.3)


def _times(length_s: float) -> Sound:
    return np.arange(round(length_s * RATE_HZ)) / RATE_HZ


def _noise(length: int) -> Sound:
    return np.random.default_rng(_NOISE_SEED).uniform(-1, 1, length)


def _filtered(sound: Sound, low_hz: float, high_hz: float = math.inf) -> Sound:
    """What lies between two frequencies, with the slopes of a Butterworth filter of second order."""
    hz = np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE_HZ), 1.0)
    passed = 1 / np.sqrt((1 + (low_hz / hz) ** 4) * (1 + (hz / high_hz) ** 4))
    out: Sound = np.fft.irfft(np.fft.rfft(sound) * passed, len(sound))
    return out


def _shaped(sound: Sound, gain: float) -> Samples:
    tail = min(len(sound), RATE_HZ // 100)
    sound[-tail:] *= np.linspace(1, 0, tail)
    scaled: Samples = (sound * (gain / np.abs(sound).max())).astype(np.float32)
    return scaled


_MAKERS: dict[int, Callable[[], Samples]] = {
    **dict.fromkeys((35, 36), lambda: _skin(160, 48, 0.035, 0.09, 1.2)),
    37: lambda: _block(1700.0),
    38: lambda: _snare(0.07, 0.9),
    39: _clap,
    40: lambda: _snare(0.05, 0.9),
    41: lambda: _skin(110, 72, 0.08, 0.16, 0.9),
    43: lambda: _skin(130, 88, 0.08, 0.15, 0.9),
    45: lambda: _skin(155, 105, 0.08, 0.14, 0.9),
    47: lambda: _skin(180, 125, 0.07, 0.13, 0.85),
    48: lambda: _skin(210, 150, 0.07, 0.12, 0.85),
    50: lambda: _skin(250, 180, 0.06, 0.11, 0.85),
    42: lambda: _metal(0.025, 7000, 0.5, 0.32),
    44: lambda: _metal(0.02, 6000, 0.5, 0.28),
    46: lambda: _metal(0.16, 6500, 0.5, 0.34),
    **dict.fromkeys((49, 52, 57), lambda: _metal(0.5, 3500, 0.8, 0.5)),
    55: lambda: _metal(0.2, 4500, 0.8, 0.45),
    **dict.fromkeys((51, 59), _ride),
    53: lambda: _metal(0.3, 3000, 0.1, 0.3),
    54: lambda: _metal(0.06, 8000, 0.7, 0.3),
    56: lambda: _block(560.0),
    **dict.fromkeys((60, 62, 63, 65), lambda: _skin(420, 340, 0.03, 0.07, 0.6)),
    **dict.fromkeys((61, 64, 66), lambda: _skin(280, 220, 0.03, 0.09, 0.6)),
    **dict.fromkeys((69, 70, 82), lambda: _metal(0.03, 6000, 1.0, 0.25)),
    **dict.fromkeys((75, 76), lambda: _block(2000.0)),
    77: lambda: _block(900.0),
    **dict.fromkeys((80, 81), lambda: _block(4200.0, 0.2)),
}
_SOUNDS = {key: cache(maker) for key, maker in _MAKERS.items()}
_PANS = {42: 1, 44: 1, 46: 1, 49: -1, 57: 1, 51: -1, 53: -1, 59: 1, 50: -1, 48: -1, 47: 0, 45: 0, 43: 1, 41: 2}
