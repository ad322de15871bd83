"""Synthetic winds and synthesisers; what they are made of is in :mod:`pipeline.training.sounds.timbres_held`."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.training.sounds.oscillators import Audio, Envelope, Spectrum, Wobble
from pipeline.training.sounds.timbres import Instrument, Note, between, rotary
from pipeline.training.sounds.timbres_held import Breath, Shine, Voices, bodied, filtered, spread, tilted, voiced


def brass(rng: np.random.Generator, count: int) -> Instrument:
    """Horns: loud is bright, and the attack brightens up."""
    low = between(rng, 300, 700)
    source = bodied(filtered(low, low * rng.uniform(6, 14), 0.8, 2, rng.uniform(0.3, 0.7)), rng, 2, 500, 1_800)
    envelope = Envelope(
        between(rng, 0.02, 0.12), between(rng, 0.1, 0.6), rng.uniform(0.6, 0.95), between(rng, 0.05, 0.2)
    )
    shine = Shine(0, 1, replace(envelope, attack_s=envelope.attack_s * 1.6), rng.uniform(0.5, 0.8))
    wobble = Wobble(rng.uniform(4.5, 6), rng.choice([0.0, 8.0, 16.0]), rng.uniform(0.2, 0.5), rng.uniform(1, 4))
    breath = Breath(between(rng, 0.003, 0.02), 1, 10, rng.uniform(0, 0.3))
    voices = spread(rng, count, rng.uniform(4, 10))
    tone = voiced(
        source, envelope, voices=voices, shine=shine, wobble=wobble, breath=breath, phases=0.2 * rng.random(64)
    )
    return Instrument(tone, (34, 84), True, rng.uniform(15, 28))


def solo_brass(rng: np.random.Generator) -> Instrument:
    """One horn."""
    return brass(rng, 1)


def brass_section(rng: np.random.Generator) -> Instrument:
    """Two to four."""
    return brass(rng, int(rng.integers(2, 5)))


def synth_brass(rng: np.random.Generator) -> Instrument:
    """Two or three saws, a filter that opens with the attack."""
    low = between(rng, 200, 600)
    source = filtered(low, between(rng, 2_500, 9_000), rng.uniform(0.7, 2), int(rng.choice([2, 4])))
    envelope = Envelope(
        between(rng, 0.005, 0.08), between(rng, 0.1, 0.6), rng.uniform(0.5, 0.9), between(rng, 0.08, 0.4)
    )
    opening = Envelope(between(rng, 0.02, 0.15), between(rng, 0.1, 0.8), rng.uniform(0.3, 0.7), 1)
    tone = voiced(
        source,
        envelope,
        voices=spread(rng, int(rng.integers(2, 4)), rng.uniform(4, 12)),
        shine=Shine(0, 1, opening, rng.uniform(0.2, 0.6)),
    )
    return Instrument(tone, (36, 90), True, rng.uniform(6, 20))


def flute(rng: np.random.Generator) -> Instrument:
    """Flutes, recorders, whistles, pan pipes: few harmonics, breath, chiff."""
    source = tilted(rng.uniform(1.2, 2.8), rng.uniform(0.3, 1.2))
    envelope = Envelope(between(rng, 0.02, 0.12), 0.3, rng.uniform(0.75, 1), between(rng, 0.05, 0.2))
    wobble = Wobble(rng.uniform(4, 6), rng.choice([0.0, 8.0, 20.0]), rng.uniform(0.1, 0.5), rng.uniform(1, 4))
    breath = Breath(between(rng, 0.01, 0.2), 1, 8, rng.choice([0.0, 0.3, 1.0]))
    tone = voiced(source, envelope, shine=Shine(0.2, 1, envelope, 0.6), wobble=wobble, breath=breath)
    return Instrument(tone, (55, 96), True, rng.uniform(8, 22))


def reed(rng: np.random.Generator) -> Instrument:
    """Clarinets (odd harmonics), oboes, saxophones."""
    hollow = rng.choice([0.1, 0.3, 0.9, 1.0])
    source = bodied(tilted(rng.uniform(0.2, 0.9), hollow), rng, 4, 400, 3_500)
    envelope = Envelope(between(rng, 0.015, 0.08), 0.3, rng.uniform(0.75, 1), between(rng, 0.04, 0.15))
    shine = Shine(0.2, 1, replace(envelope, attack_s=envelope.attack_s * 1.5), rng.uniform(0.4, 0.7))
    wobble = Wobble(rng.uniform(4.5, 6), rng.choice([0.0, 8.0, 20.0]), rng.uniform(0.1, 0.5), rng.uniform(1, 5))
    breath = Breath(between(rng, 0.005, 0.06), 2, 14, rng.uniform(0, 0.4))
    tone = voiced(source, envelope, shine=shine, wobble=wobble, breath=breath, phases=rng.random(64))
    return Instrument(tone, (44, 90), True, rng.uniform(10, 22))


def chorused(rng: np.random.Generator, instrument: Instrument) -> Instrument:
    """The same through a slow chorus, by chance."""
    rate, depth = between(rng, 0.2, 1.5), rng.uniform(0.1, 0.5)
    if rng.random() < 0.5:
        return instrument

    def effect(part: Audio, rng: np.random.Generator) -> Audio:
        return np.float32(0.6) * (part + rotary(part, rate, depth, rng))

    return replace(instrument, effect=effect)


def analogue_pad(rng: np.random.Generator) -> Instrument:
    """Detuned saws or pulses through a filter that opens slowly."""
    pulses = rng.random() < 0.4
    low = between(rng, 150, 500)
    shape = filtered(low, low * between(rng, 3, 20), rng.uniform(0.7, 3), int(rng.choice([2, 4])), 0.0)
    levels = pulse(rng.uniform(0.15, 0.5)) if pulses else 1 / np.arange(1, 301)

    def source(frequencies: Spectrum, brightness: float) -> Spectrum:
        return shape(frequencies, brightness) * np.resize(levels, frequencies.size)

    envelope = Envelope(between(rng, 0.03, 0.5), between(rng, 0.5, 3), rng.uniform(0.6, 1), between(rng, 0.3, 1.5))
    opening = Envelope(between(rng, 0.1, 1.2), between(rng, 0.5, 4), rng.uniform(0.3, 1), 1)
    tone = voiced(
        source,
        envelope,
        voices=spread(rng, int(rng.integers(2, 6)), rng.uniform(3, 14)),
        shine=Shine(rng.uniform(0.2, 0.5), 1, opening, rng.uniform(0, 0.4)),
        wobble=Wobble(between(rng, 0.2, 5), rng.uniform(0, 6), 0, 1),
    )
    return chorused(rng, Instrument(tone, (33, 93), True, rng.uniform(3, 14)))


def airy_pad(rng: np.random.Generator) -> Instrument:
    """Formants, breath and a bright layer an octave up: the voices and glasses of sample players."""
    source = bodied(tilted(rng.uniform(1, 2.2), rng.uniform(0.2, 1)), rng, 4, 300, 5_000)
    envelope = Envelope(between(rng, 0.03, 0.5), between(rng, 0.5, 3), rng.uniform(0.5, 1), between(rng, 0.3, 1.5))
    moving = Shine(rng.uniform(0, 0.6), rng.uniform(0.5, 1), Envelope(between(rng, 0.2, 3), 1, 0.4, 1), 0.2)
    base = voiced(
        source,
        envelope,
        voices=spread(rng, int(rng.integers(2, 4)), rng.uniform(4, 12)),
        shine=moving,
        breath=Breath(between(rng, 0.02, 0.4), 2, 16),
        phases=rng.random(64),
    )
    high = voiced(tilted(2.0), envelope, voices=Voices(ratio=rng.choice([2.0, 3.0, 4.0])), wobble=Wobble(drift_cents=2))
    level = rng.choice([0.0, 0.2, 0.4])

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        out = base(note, rng)
        return out + np.float32(level) * high(note, rng) if level else out

    return chorused(rng, Instrument(tone, (36, 91), True, rng.uniform(3, 14)))


def supersaw(rng: np.random.Generator) -> Instrument:
    """Five to seven saws."""
    cutoff = between(rng, 2_500, 10_000)
    envelope = Envelope(between(rng, 0.003, 0.04), between(rng, 0.2, 2), rng.uniform(0.6, 1), between(rng, 0.05, 0.5))
    closing = Envelope(0.003, between(rng, 0.1, 1), rng.uniform(0.4, 1), 1)
    tone = voiced(
        filtered(cutoff * rng.uniform(0.15, 0.6), cutoff, rng.uniform(0.7, 1.5), 2),
        envelope,
        voices=spread(rng, int(rng.choice([5, 7])), rng.uniform(10, 28)),
        shine=Shine(0, 1, closing, rng.uniform(0, 0.5)),
    )
    return Instrument(tone, (36, 96), True, rng.uniform(2, 12))


def pulse(width: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Harmonic amplitudes of a pulse wave, the first 300."""
    number = np.arange(1, 301)
    return np.asarray(np.abs(np.sin(np.pi * number * width)) / number, dtype=np.float64)


def mono_lead(rng: np.random.Generator) -> Instrument:
    """One or two saws or squares, resonant filter, vibrato."""
    square = rng.random() < 0.5
    shape = filtered(between(rng, 500, 1_500), between(rng, 3_000, 10_000), rng.uniform(0.7, 4), 4, 0.0)
    levels = pulse(rng.uniform(0.15, 0.5)) if square else 1 / np.arange(1, 301)

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        return shape(frequencies, brightness) * np.resize(levels, frequencies.size)

    envelope = Envelope(between(rng, 0.003, 0.05), between(rng, 0.1, 1), rng.uniform(0.6, 1), between(rng, 0.03, 0.3))
    opening = Envelope(between(rng, 0.003, 0.1), between(rng, 0.1, 1), rng.uniform(0.3, 1), 1)
    tone = voiced(
        harmonics,
        envelope,
        voices=spread(rng, int(rng.integers(1, 3)), rng.uniform(3, 12)),
        shine=Shine(0.1, 1, opening, rng.uniform(0.1, 0.6)),
        wobble=Wobble(rng.uniform(4.5, 6.5), rng.choice([0.0, 10.0, 30.0]), rng.uniform(0, 0.4)),
    )
    return Instrument(tone, (36, 98), True, rng.uniform(2, 14))


def chip(rng: np.random.Generator) -> Instrument:
    """Pulses of 12.5, 25 and 50 per cent, stepped triangles: 8-bit machines, and trackers' single cycles."""
    kind = int(rng.integers(0, 5))
    number = np.arange(1, 301)
    triangle = np.where(number % 2 == 1, 1.0 / number**2, 0.004 / number)
    cycle = np.abs(np.fft.rfft(rng.integers(-8, 8, 16)))[1:9]
    tracker = np.concatenate([cycle, np.tile(cycle[::-1], 37)])[:300] / number
    tracker[0] = max(tracker[0], tracker.max())
    levels = [pulse(0.125), pulse(0.25), pulse(0.5), triangle, tracker][kind]

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        return np.resize(levels, frequencies.size)

    sustain = rng.choice([1.0, rng.uniform(0.1, 0.8)])
    envelope = Envelope(0.002, between(rng, 0.05, 0.8), sustain, between(rng, 0.01, 0.15))
    wobble = Wobble(rng.uniform(5, 9), rng.choice([0.0, 15.0, 30.0]), rng.uniform(0, 0.3))
    tone = voiced(harmonics, envelope, wobble=wobble)
    return Instrument(tone, (36, 98), True, rng.uniform(2, 20))


KINDS: dict[str, tuple[str, Callable[[np.random.Generator], Instrument], float]] = {
    "solo brass": ("brass", solo_brass, 2),
    "brass section": ("brass", brass_section, 2),
    "synth brass": ("brass", synth_brass, 1.5),
    "flute": ("reeds and pipes", flute, 1.5),
    "reed": ("reeds and pipes", reed, 1.5),
    "analogue pad": ("synth pad", analogue_pad, 4),
    "airy pad": ("synth pad", airy_pad, 2),
    "supersaw": ("synth lead", supersaw, 2),
    "mono lead": ("synth lead", mono_lead, 2),
    "chip": ("synth lead", chip, 2.5),
}
