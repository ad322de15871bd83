"""The parts that synthetic instruments are built from: wavetables, ringing partials, envelopes, noise, filters.

All of it is vectorised over the samples of one note: a minute of three voices takes a fraction of a second.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.training.sounds.base import RATE_HZ

Audio = NDArray[np.float32]
Spectrum = NDArray[np.float64]

# Nothing is synthesised above: the rate's own limit is 11 025 Hz.
TOP_HZ = 10_200.0
_TABLE = 4096
_FRAMES = 24
_CONTROL = 64
_RING_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Wobble:
    """How a pitch moves while it is held: vibrato that sets in after a while, and a slow random drift."""

    rate_hz: float = 5.0
    depth_cents: float = 0.0
    delay_s: float = 0.0
    drift_cents: float = 0.0


@dataclass(frozen=True, slots=True)
class Envelope:
    """Attack, exponential fall to a sustained level, release; times in seconds (``decay_s`` is a time constant)."""

    attack_s: float
    decay_s: float
    sustain: float
    release_s: float

    def draw(self, held_s: float) -> Audio:
        """The gain of every sample of a note held so long, including its release."""
        held, tail = samples_of(held_s), samples_of(self.release_s)
        time = np.arange(held, dtype=np.float32) / np.float32(RATE_HZ)
        body = self.sustain + (1 - self.sustain) * np.exp(-np.maximum(time - self.attack_s, 0) / self.decay_s)
        body *= np.minimum(time / self.attack_s, 1)
        return np.concatenate([body, body[-1] * fade(tail)]).astype(np.float32)


def samples_of(duration_s: float) -> int:
    """At least one sample."""
    return max(1, round(duration_s * RATE_HZ))


def fade(count: int) -> Audio:
    """A release: exponential by about 35 dB, and at zero at its end."""
    position = np.linspace(0, 1, count, dtype=np.float32)
    return np.asarray(np.exp(-4 * position) * (1 - position), dtype=np.float32)


def clock(count: int, wobble: Wobble, rng: np.random.Generator) -> NDArray[np.float64]:
    """Time as the oscillators see it: real seconds, bent by vibrato and drift; shape (count,)."""
    blocks = count // _CONTROL + 1
    time = np.arange(blocks) * (_CONTROL / RATE_HZ)
    onset = np.clip((time - wobble.delay_s) / 0.3, 0, 1)
    cents = wobble.depth_cents * onset * np.sin(2 * np.pi * (wobble.rate_hz * time + rng.random()))
    if wobble.drift_cents:
        knots = np.arange(0, time[-1] + 0.6, 0.3)
        cents += np.interp(time, knots, rng.normal(0, wobble.drift_cents, knots.size))
    speed = 2 ** (cents / 1200)
    starts = np.concatenate([[0], np.cumsum(speed[:-1])]) * (_CONTROL / RATE_HZ)
    within = np.arange(_CONTROL) / RATE_HZ
    return np.asarray((starts[:, None] + speed[:, None] * within).ravel()[:count], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Bank:
    """Single cycles from dark to bright; shape (frames, table length)."""

    frames: Audio

    @classmethod
    def of(cls, hz: float, spectrum: Callable[[Spectrum, float], Spectrum], phases: Spectrum | None = None) -> "Bank":
        """Cycles of a tone.

        Args:
            hz: the frequency of the cycle; harmonics above :data:`TOP_HZ` are left out.
            spectrum: the harmonics' amplitudes for their frequencies in Hz, at a brightness in 0..1.
            phases: of the harmonics, in turns; by default sines in phase, as in a saw.
        """
        harmonics = max(1, int(TOP_HZ / hz))
        frequencies = hz * np.arange(1.0, harmonics + 1)
        amplitudes = np.stack([spectrum(frequencies, brightness) for brightness in np.linspace(0, 1, _FRAMES).tolist()])
        turn = np.zeros(harmonics) if phases is None else np.resize(phases, harmonics)
        bins = np.zeros((_FRAMES, _TABLE // 2 + 1), dtype=np.complex64)
        bins[:, 1 : harmonics + 1] = -0.5j * _TABLE * amplitudes * np.exp(2j * np.pi * turn)
        return cls(np.asarray(scipy.fft.irfft(bins, axis=1), dtype=np.float32))

    def at(self, turns: NDArray[np.float64], frame: NDArray[np.int32]) -> Audio:
        """Samples at phases in turns and at frames of :meth:`frames_of`."""
        index = (turns * _TABLE).astype(np.int64) & (_TABLE - 1)
        index += frame
        return np.asarray(self.frames.ravel().take(index), dtype=np.float32)

    @staticmethod
    def frames_of(brightness: Audio, rng: np.random.Generator) -> NDArray[np.int32]:
        """Where to read for a course of brightness (0..1); dithered, for steps would be heard."""
        position = np.clip(brightness, 0, 1) * (_FRAMES - 1.001) + rng.random(brightness.size, dtype=np.float32)
        return np.minimum(position.astype(np.int32), _FRAMES - 1) * np.int32(_TABLE)


def lowpass(frequencies: Spectrum, cutoff_hz: float, resonance: float = 0.7, poles: int = 2) -> Spectrum:
    """Magnitude of a resonant lowpass of 2 or 4 poles."""
    ratio = frequencies / cutoff_hz
    magnitude = 1 / np.sqrt((1 - ratio**2) ** 2 + (ratio / resonance) ** 2)
    return np.asarray(magnitude / np.sqrt(1 + ratio**4) if poles == 4 else magnitude, dtype=np.float64)


def peaks(frequencies: Spectrum, centres_hz: Spectrum, widths_hz: Spectrum, gains: Spectrum) -> Spectrum:
    """Magnitude of parallel resonances (formants, bodies)."""
    distance = (frequencies[:, None] - centres_hz) / (widths_hz / 2)
    return np.asarray((gains / np.sqrt(1 + distance**2)).sum(axis=1), dtype=np.float64)


def ringing(hz: Spectrum, amplitudes: Spectrum, decay_s: Spectrum, count: int, rng: np.random.Generator) -> Audio:
    """Partials that start together and die away each at its own time constant.

    Sums of exponentials factor into a product of matrices (block starts by samples within a block), so the cost is that
    of one matrix product.
    """
    keep = (hz < TOP_HZ) & (amplitudes != 0)
    hz, amplitudes, decay_s = hz[keep], amplitudes[keep], decay_s[keep]
    pole = 2j * np.pi * hz - 1 / decay_s
    starts = np.arange(-(-count // _RING_BLOCK)) * (_RING_BLOCK / RATE_HZ)
    phase = np.exp(2j * np.pi * rng.random(hz.size))
    outer = (amplitudes * phase * np.exp(starts[:, None] * pole)).astype(np.complex64)
    inner = np.exp(pole[:, None] * (np.arange(_RING_BLOCK) / RATE_HZ)).astype(np.complex64)
    left = np.concatenate([outer.real, -outer.imag], axis=1)
    return np.asarray((left @ np.concatenate([inner.real, inner.imag])).ravel()[:count], dtype=np.float32)


def noise(count: int, shape: Callable[[Spectrum], Spectrum], rng: np.random.Generator) -> Audio:
    """Noise of unit level whose spectrum follows ``shape`` over frequencies in Hz; repeats after 1.5 seconds."""
    length = min(count, 32_768)
    size = 1 << max(4, (length - 1).bit_length())
    weights = shape(np.asarray(np.fft.rfftfreq(size, 1 / RATE_HZ), dtype=np.float64)).astype(np.float32)
    spectrum = scipy.fft.rfft(rng.standard_normal(size, dtype=np.float32)) * weights
    made = scipy.fft.irfft(spectrum)
    return np.resize(made / (np.std(made) + 1e-9), count).astype(np.float32)


def band(low_hz: float, high_hz: float) -> Callable[[Spectrum], Spectrum]:
    """The magnitude of a soft band pass, for :func:`noise`."""

    def magnitude(frequencies: Spectrum) -> Spectrum:
        above = 1 / (1 + (low_hz / np.maximum(frequencies, 1)) ** 4)
        return np.asarray(above / (1 + (frequencies / high_hz) ** 4), dtype=np.float64)

    return magnitude
