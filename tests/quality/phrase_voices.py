"""Additive voices drawn at random: instruments that no soundfont has, so that a fit does not learn two soundfonts."""

from dataclasses import dataclass

import numpy as np

N_PARTIALS = 20


@dataclass(frozen=True)
class Voice:
    """Partials' levels for a soft and a hard stroke, and how a note rises, decays, is released and wavers."""

    soft: np.ndarray
    hard: np.ndarray
    inharmonicity: float
    attack_s: float
    release_s: float
    decay_s: float  # of the first partial, to 1/e; infinite for one that holds
    decay_tilt: float  # how much faster high partials decay
    vibrato_cents: float
    vibrato_hz: float
    detune_cents: float
    dynamic_db: float
    noise: float


def random_voice(rng: np.random.Generator) -> Voice:
    n = np.arange(1, N_PARTIALS + 1)
    tilt = rng.uniform(0.3, 2.2)
    levels = n**-tilt * 10 ** (rng.normal(0, rng.uniform(1, 7), N_PARTIALS) / 20)
    if rng.random() < 0.2:
        levels[1::2] *= rng.uniform(0.02, 0.3)  # odd partials: clarinets, square waves
    plucked = rng.random() < 0.5
    return Voice(
        soft=levels * n ** -rng.uniform(0, 0.8),
        hard=levels,
        inharmonicity=10 ** rng.uniform(-5, -3.4) if plucked else 0.0,
        attack_s=10 ** rng.uniform(-2.7, -2 if plucked else -1.2),
        release_s=10 ** rng.uniform(-1.9, -0.4),
        decay_s=10 ** rng.uniform(-0.8, 0.5) if plucked else np.inf,
        decay_tilt=rng.uniform(0, 0.5),
        vibrato_cents=0.0 if plucked or rng.random() < 0.5 else rng.uniform(3, 35),
        vibrato_hz=rng.uniform(4, 7),
        detune_cents=rng.choice([0.0, 0.0, rng.uniform(2, 12)]),
        dynamic_db=rng.uniform(12, 36),
        noise=rng.choice([0.0, rng.uniform(0, 0.1)]),
    )


def sound(voice: Voice, pitch: int, held_s: float, velocity: float, rate_hz: int) -> np.ndarray:
    """One note, float32 mono: audible from its first sample, released after ``held_s``."""
    time_s = np.arange(round((held_s + 4 * voice.release_s) * rate_hz)) / rate_hz
    f0 = 440 * 2 ** ((pitch - 69) / 12)
    n = np.arange(1, N_PARTIALS + 1)
    ratio = n * np.sqrt(1 + voice.inharmonicity * n**2)
    ratio = ratio[ratio * f0 < 0.45 * rate_hz]
    bend = voice.vibrato_cents / 1200 * np.log(2) * np.sin(2 * np.pi * voice.vibrato_hz * time_s)
    bend *= np.clip((time_s - 0.15) / 0.2, 0, 1)
    phase = 2 * np.pi * f0 * np.cumsum(1 + bend) / rate_hz
    levels = velocity * voice.hard + (1 - velocity) * voice.soft
    out = np.zeros(len(time_s))
    spread = 2 ** (voice.detune_cents / 1200)
    for i, r in enumerate(ratio):
        if levels[i] < 1e-3 * levels.max():  # 60 dB below the strongest
            continue
        partial = np.sin(r * phase + i)
        if spread > 1:
            partial = 0.5 * (partial + np.sin(r * spread * phase + 2 * i))
        if np.isfinite(voice.decay_s):
            partial *= np.exp(-time_s / voice.decay_s * (1 + voice.decay_tilt * i))
        out += levels[i] * partial
    if voice.noise:
        rng = np.random.default_rng(pitch)
        out += voice.noise * rng.standard_normal(len(out)) * np.exp(-time_s / 0.02)
    rise = np.clip(time_s / voice.attack_s, 0, 1)
    fall = np.exp(-np.maximum(time_s - held_s, 0) / (voice.release_s / 3))
    gain = 10 ** (-(1 - velocity) * voice.dynamic_db / 20)
    return (gain * out * rise * fall).astype(np.float32)
