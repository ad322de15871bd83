"""What a kind of synthetic instrument hands back, and what kinds share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.training.sounds.base import RATE_HZ
from pipeline.training.sounds.oscillators import Audio


@dataclass(frozen=True, slots=True)
class Note:
    """One note to sound: its frequency, MIDI pitch, strength (0..1) and how long it is held."""

    hz: float
    pitch: int
    strength: float
    held_s: float


Tone = Callable[[Note, np.random.Generator], Audio]
Effect = Callable[[Audio, np.random.Generator], Audio]


def dry(part: Audio, rng: np.random.Generator) -> Audio:
    """No effect."""
    return part


def as_is(level: Audio) -> Audio:
    """Levels that no effect changes."""
    return level


@dataclass(frozen=True, slots=True)
class Instrument:
    """One drawn instrument.

    Attributes:
        tone: sounds one note, release included, at its full strength's level.
        keys: lowest and highest MIDI pitch.
        held: sounds for as long as the key is held.
        range_db: how much softer the softest velocity is.
        effect: what happens to all notes together.
        loudness: what the effect makes of one note's levels.
    """

    tone: Tone
    keys: tuple[int, int]
    held: bool
    range_db: float = 24.0
    effect: Effect = dry
    loudness: Callable[[Audio], Audio] = as_is


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A draw on a logarithmic scale: for times, frequencies, gains."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def rotary(part: Audio, rate_hz: float, depth: float, rng: np.random.Generator) -> Audio:
    """Tremolo and vibrato together, as a rotating loudspeaker or a chorus pedal makes them.

    ``depth`` 0..1; the vibrato stays within 10 cents.
    """
    time = np.arange(part.size) / RATE_HZ
    angle = 2 * np.pi * (rate_hz * time + rng.random())
    widest = (2 ** (10 / 1200) - 1) / (2 * np.pi * rate_hz)
    delay = depth * widest * (1 + np.sin(angle)) * RATE_HZ
    moved = np.interp(np.arange(part.size) - delay, np.arange(part.size), part)
    return np.asarray(moved * (1 - 0.35 * depth * (1 + np.cos(angle))), dtype=np.float32)
