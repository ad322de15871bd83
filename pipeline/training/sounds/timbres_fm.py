"""Synthetic instruments by frequency modulation: electric pianos, bells, basses, leads, brass."""

from collections.abc import Callable

import numpy as np

from pipeline.training.sounds.base import RATE_HZ
from pipeline.training.sounds.oscillators import TOP_HZ, Audio, Envelope, Wobble, clock
from pipeline.training.sounds.timbres import Instrument, Note, Tone, between, rotary


def modulated(ratio: float, index: float, fall_s: float, gain: Envelope, beat_hz: float = 0.0) -> Tone:
    """Two operators: a carrier at the note's pitch, a modulator at ``ratio`` times it.

    The index falls to a seventh in ``fall_s`` and follows velocity.  J. Chowning, "The Synthesis of Complex Audio
    Spectra by Means of Frequency Modulation" (1973).
    """

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        level = gain.draw(note.held_s)
        time = clock(level.size, Wobble(drift_cents=0.5), rng)
        fall = 0.15 + 0.85 * np.exp(-np.arange(level.size, dtype=np.float32) / np.float32(fall_s * RATE_HZ))
        # Side bands beyond the top would fold back.
        strongest = min(index, 0.6 * TOP_HZ / (ratio * note.hz))
        side = np.sin((2 * np.pi * ((time * (ratio * note.hz + beat_hz)) % 1)).astype(np.float32))
        side *= np.float32(strongest * (0.25 + 0.75 * note.strength)) * fall
        carrier = (2 * np.pi * ((time * note.hz) % 1)).astype(np.float32)
        return np.asarray(np.sin(carrier + side) * level, dtype=np.float32)

    return tone


def together(*layers: tuple[float, Tone]) -> Tone:
    """Several tones on one key, each with its level; all as long as the first."""

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        (level, first), *others = layers
        out = np.float32(level) * first(note, rng)
        for level, other in others:
            part = other(note, rng)[: out.size]
            out[: part.size] += np.float32(level) * part
        return out

    return tone


def electric_piano(rng: np.random.Generator) -> Instrument:
    """A soft body, a tine that rings above it; tremolo or chorus by chance, an amplifier that barks."""
    ring = Envelope(0.002, between(rng, 0.6, 3), 0.0, between(rng, 0.06, 0.25))
    body = modulated(1.0, between(rng, 0.3, 2.5), between(rng, 0.3, 2), ring, rng.uniform(-0.5, 0.5))
    ratio = float(rng.choice([4.0, 7.0, 9.0, 11.0, 14.0]))
    tine = modulated(ratio, between(rng, 0.2, 1.2), between(rng, 0.05, 0.5), ring)
    rate, depth = between(rng, 0.8, 6), rng.choice([0.0, 0.4, 0.9])
    drive = rng.choice([0.0, 0.8, 2.0])

    def effect(part: Audio, rng: np.random.Generator) -> Audio:
        driven = np.tanh(drive * part) / drive if drive else part
        return rotary(driven, rate, depth, rng) if depth else driven

    return Instrument(together((0.7, body), (0.5, tine)), (28, 96), False, rng.uniform(12, 28), effect)


def bells(rng: np.random.Generator) -> Instrument:
    """Glass, tubes, music boxes, digital bells: ratios that are no whole numbers, over a plain sine."""
    ring = Envelope(0.002, between(rng, 0.3, 2.5), 0.0, between(rng, 0.2, 0.8))
    ratio = float(rng.choice([1.4, 2.76, 3.5, 5.4, 7.07]))
    clang = modulated(ratio, between(rng, 0.5, 3), between(rng, 0.1, 1.5), ring)
    plain = modulated(1.0, 0.05, 1.0, ring)
    return Instrument(together((0.6, plain), (0.5, clang)), (48, 96), False, rng.uniform(8, 24))


def fm_bass(rng: np.random.Generator) -> Instrument:
    """Hard basses of the eighties."""
    ring = Envelope(0.002, between(rng, 0.2, 1), float(rng.choice([0.0, 0.3])), between(rng, 0.03, 0.12))
    ratio = float(rng.choice([1.0, 2.0, 3.0]))
    tone = modulated(ratio, between(rng, 1, 6), between(rng, 0.05, 0.6), ring)
    return Instrument(tone, (24, 67), False, rng.uniform(6, 18))


def fm_lead(rng: np.random.Generator) -> Instrument:
    """Sustained, from hollow to harsh."""
    gain = Envelope(between(rng, 0.003, 0.05), between(rng, 0.1, 1), rng.uniform(0.6, 1), between(rng, 0.04, 0.3))
    ratio = float(rng.choice([1.0, 2.0, 3.0, 4.0]))
    one = modulated(ratio, between(rng, 0.8, 5), between(rng, 0.2, 3), gain)
    other = modulated(1.0, between(rng, 0.3, 3), between(rng, 0.2, 3), gain, rng.uniform(-1.5, 1.5))
    return Instrument(together((0.6, one), (0.4, other)), (36, 96), True, rng.uniform(4, 16))


KINDS: dict[str, tuple[str, Callable[[np.random.Generator], Instrument], float]] = {
    "electric piano": ("piano", electric_piano, 3),
    "fm bells": ("mallets", bells, 1.5),
    "fm bass": ("bass", fm_bass, 1),
    "fm lead": ("synth lead", fm_lead, 1),
}
