"""Drum machines with random settings: swept sines, noise bursts and inharmonic partials."""

import numpy as np
import numpy.typing as npt
import scipy.signal

from pipeline.training.drums.kits import LENGTH_S, RATE_HZ, Kit, voice_of

_Samples = npt.NDArray[np.float64]


def _noise(rng: np.random.Generator, length_s: float, decay_s: float, low_hz: float, high_hz: float) -> _Samples:
    n = round(length_s * RATE_HZ)
    band = scipy.signal.butter(2, [low_hz, min(high_hz, 20_000)], "bandpass", fs=RATE_HZ, output="sos")
    noise = scipy.signal.sosfilt(band, rng.standard_normal(n)) * np.exp(-np.arange(n) / RATE_HZ / decay_s)
    return np.asarray(noise / np.abs(noise).max(), dtype=np.float64)


def _tone(length_s: float, decay_s: float, start_hz: float, end_hz: float, sweep_s: float) -> _Samples:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    hz = end_hz + (start_hz - end_hz) * np.exp(-t / sweep_s)
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.exp(-t / decay_s), dtype=np.float64)


def _metal(rng: np.random.Generator, length_s: float, decay_s: float, low_hz: float) -> _Samples:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    waves = np.zeros(len(t))
    for hz, phase, decay in zip(
        rng.uniform(low_hz, 14_000, 24), rng.uniform(0, 6.28, 24), decay_s * rng.uniform(0.4, 1.6, 24), strict=True
    ):
        waves += np.sin(2 * np.pi * hz * t + phase) * np.exp(-t / decay)
    return np.asarray(waves / np.abs(waves).max(), dtype=np.float64)


def synthetic_kit(rng: np.random.Generator) -> Kit:
    """A drum machine; one layer and one drum of each kind, three toms."""
    u = rng.uniform

    def metal(kind: str, decay_s: float) -> _Samples:
        hiss = _noise(rng, LENGTH_S[kind], decay_s, u(3000, 8000), 20_000)
        return hiss + u(0, 1) * _metal(rng, LENGTH_S[kind], decay_s, u(400, 4000))

    kick_hz = u(42, 75)
    kick = _tone(1.2, u(0.05, 0.3), kick_hz * u(1.5, 5), kick_hz, u(0.01, 0.04))
    kick[:4000] += u(0, 0.5) * _noise(rng, 4000 / RATE_HZ, 0.005, 1000, 9000)
    snare_hz = u(160, 260)
    snare = u(0.0, 1.0) * _tone(1.2, u(0.03, 0.12), snare_hz * u(1, 2), snare_hz, 0.02)
    snare = snare + u(0.4, 1.0) * _noise(rng, 1.2, u(0.03, 0.2), u(200, 1500), u(7000, 18_000))
    stick = _noise(rng, 0.6, u(0.005, 0.02), u(600, 1500), u(2500, 6000))
    toms = [
        _tone(1.6, u(0.1, 0.4), hz * u(1.1, 1.6), hz, u(0.02, 0.08)) for hz in np.geomspace(u(70, 100), u(160, 240), 3)
    ]
    toms = [tom + u(0, 0.2) * _noise(rng, 1.6, 0.03, 300, 5000) for tom in toms]
    samples = {
        "kick": [kick],
        "snare": [snare],
        "stick": [stick],
        "tom": toms,
        "closed": [metal("closed", u(0.01, 0.06))],
        "open": [metal("open", u(0.15, 0.5))],
        "crash": [metal("crash", u(0.5, 1.2))],
        "ride": [metal("ride", u(0.3, 0.9)) + u(0.5, 1) * _noise(rng, 2.5, 0.01, 2000, 12_000)],
    }
    return {
        kind: [voice_of(kind, [(1.0, np.asarray(s / np.abs(s).max(), dtype=np.float32))]) for s in group]
        for kind, group in samples.items()
    }
