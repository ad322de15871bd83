"""What happens to an instrument between its strings and the mix: amplifier, equaliser, chorus, room."""

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from pipeline.training.sounds.base import RATE_HZ

Samples = NDArray[np.float32]


def worn(samples: Samples, rng: np.random.Generator, room: Samples | None) -> Samples:
    """One instrument as it is recorded: each effect sometimes, the room when there is one."""
    if rng.random() < 0.5:
        samples = equalised(samples, rng)
    if rng.random() < 0.12:
        samples = driven(samples, float(rng.uniform(2, 12)))
    if rng.random() < 0.15:
        samples = chorused(samples, rng)
    if room is not None:
        wet = scipy.signal.oaconvolve(samples, room)[: len(samples)]
        samples = samples + float(rng.uniform(0.05, 1.0)) * wet.astype(np.float32)
    return samples


def equalised(samples: Samples, rng: np.random.Generator) -> Samples:
    """One to three gentle peaks or dips of up to 9 dB; now and then without the bass or the treble."""
    for _ in range(int(rng.integers(1, 4))):
        centre_hz = float(np.exp(rng.uniform(np.log(80), np.log(8000))))
        samples = peaking(samples, centre_hz, float(rng.uniform(0.4, 1.5)), float(rng.uniform(-9, 9)))
    if rng.random() < 0.2:
        low_hz = float(np.exp(rng.uniform(np.log(40), np.log(250))))
        sections = scipy.signal.butter(2, low_hz, "highpass", fs=RATE_HZ, output="sos")
        samples = scipy.signal.sosfilt(sections, samples).astype(np.float32)
    if rng.random() < 0.2:
        high_hz = float(np.exp(rng.uniform(np.log(1500), np.log(9000))))
        sections = scipy.signal.butter(2, high_hz, "lowpass", fs=RATE_HZ, output="sos")
        samples = scipy.signal.sosfilt(sections, samples).astype(np.float32)
    return samples


def peaking(samples: Samples, centre_hz: float, quality: float, gain_db: float) -> Samples:
    """A peak or a dip (Bristow-Johnson's equaliser cookbook)."""
    amplitude = 10 ** (gain_db / 40)
    angle = 2 * np.pi * centre_hz / RATE_HZ
    alpha = np.sin(angle) / (2 * quality)
    above = np.array([1 + alpha * amplitude, -2 * np.cos(angle), 1 - alpha * amplitude])
    below = np.array([1 + alpha / amplitude, -2 * np.cos(angle), 1 - alpha / amplitude])
    return np.asarray(scipy.signal.lfilter(above / below[0], below / below[0], samples), dtype=np.float32)


def driven(samples: Samples, drive: float) -> Samples:
    """A soft clipper; ``drive`` is the gain before it, relative to the loud parts."""
    level = np.abs(samples[::7])
    # Where hardly anything sounds, what does is loud
    loud = max(float(np.quantile(level, 0.99)), 0.1 * float(level.max())) + 1e-6
    return np.asarray(np.tanh(samples / loud * drive), dtype=np.float32) * np.float32(loud)


def chorused(samples: Samples, rng: np.random.Generator) -> Samples:
    """A copy whose delay wavers by some milliseconds."""
    time = np.arange(len(samples), dtype=np.float32)
    depth, rate_hz = float(rng.uniform(0.0008, 0.003)), float(rng.uniform(0.2, 2.5))
    delay = RATE_HZ * (0.012 + depth * np.sin(2 * np.pi * rate_hz * time / RATE_HZ))
    copy = np.interp(time - delay, time, samples)
    return np.asarray(samples + float(rng.uniform(0.3, 0.9)) * copy, dtype=np.float32)


def made_up_room(rng: np.random.Generator) -> Samples | None:
    """The impulse response of a room, or none for a dry recording: noise that dies away, the treble sooner."""
    if rng.random() < 0.25:
        return None
    decay_s = float(np.exp(rng.uniform(np.log(0.15), np.log(2.2))))
    n_samples = round(min(decay_s, 1.5) * RATE_HZ)
    time_s = np.arange(n_samples) / RATE_HZ
    noise = rng.standard_normal(n_samples)
    damped = scipy.signal.lfilter([0.25], [1, -0.75], noise)
    tail = noise * np.exp(-6.9 * time_s / (0.4 * decay_s)) + 2 * damped * np.exp(-6.9 * time_s / decay_s)
    before = round(float(rng.uniform(0, 0.03)) * RATE_HZ)
    response = np.concatenate([np.zeros(before), tail]).astype(np.float32)
    return response / np.float32(np.sqrt(np.sum(response**2)) + 1e-9) * np.float32(0.7)
