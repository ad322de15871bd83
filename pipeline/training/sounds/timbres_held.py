"""Synthetic instruments that sound for as long as a key is held: organs, strings, voices, winds, synthesisers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipeline.training.sounds.base import RATE_HZ
from pipeline.training.sounds.oscillators import (
    Audio,
    Bank,
    Envelope,
    Spectrum,
    Wobble,
    band,
    clock,
    fade,
    lowpass,
    noise,
    peaks,
    ringing,
    samples_of,
)
from pipeline.training.sounds.timbres import Instrument, Note, Tone, between, rotary

Harmonics = Callable[[Spectrum, float], Spectrum]


@dataclass(frozen=True, slots=True)
class Shine:
    """Brightness from ``low`` to ``high`` (0..1) along an envelope; ``touch`` says how much velocity matters (0..1)."""

    low: float
    high: float
    envelope: Envelope
    touch: float


@dataclass(frozen=True, slots=True)
class Breath:
    """Noise beside the tone: its level, the band it fills in multiples of the pitch, and a burst at the attack."""

    level: float
    low: float
    high: float
    chiff: float = 0.0


@dataclass(frozen=True, slots=True)
class Voices:
    """Oscillators in unison: detunings in cents, levels, pitch relative to the note's."""

    cents: tuple[float, ...] = (0.0,)
    levels: tuple[float, ...] = (1.0,)
    ratio: float = 1.0


ALONE = Voices()
STEADY = Wobble()


def voiced(
    harmonics: Harmonics,
    envelope: Envelope,
    *,
    voices: Voices = ALONE,
    shine: Shine | None = None,
    wobble: Wobble = STEADY,
    breath: Breath | None = None,
    phases: Spectrum | None = None,
) -> Tone:
    """A tone of harmonics; with several voices each has its own vibrato."""
    banks: dict[float, Bank] = {}

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        gain = envelope.draw(note.held_s)
        hz = note.hz * voices.ratio
        if hz not in banks:
            banks[hz] = Bank.of(hz, harmonics, phases)
        if shine is None:
            frame = Bank.frames_of(np.full(gain.size, note.strength, dtype=np.float32), rng)
        else:
            course = replace(shine.envelope, release_s=envelope.release_s).draw(note.held_s)
            bright = (shine.low + (shine.high - shine.low) * course) * (1 - shine.touch + shine.touch * note.strength)
            frame = Bank.frames_of(bright, rng)
        out = np.zeros(gain.size, dtype=np.float32)
        for cents, level in zip(voices.cents, voices.levels, strict=True):
            turns = clock(gain.size, wobble, rng) * (hz * 2 ** (cents / 1200)) + rng.random()
            out += np.float32(level) * banks[hz].at(turns, frame)
        if breath is not None:
            out += breathe(breath, note, gain.size, float(np.std(out)), rng)
        return out * gain

    return tone


def breathe(breath: Breath, note: Note, count: int, level: float, rng: np.random.Generator) -> Audio:
    """The noise of one note."""
    made = noise(count, band(breath.low * note.hz, min(breath.high * note.hz, 9_000)), rng) * level
    burst = breath.chiff * np.exp(-np.arange(count, dtype=np.float32) / (0.03 * RATE_HZ))
    return np.asarray(made * (breath.level + burst), dtype=np.float32)


def tilted(slope: float, odd: float = 1.0) -> Harmonics:
    """Harmonics falling by a power of their number, even ones weakened to ``odd``; brighter is flatter."""

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        number = frequencies / frequencies[0]
        level = number ** -(slope + 1.5 * (1 - brightness))
        return np.asarray(np.where(np.round(number) % 2 == 0, odd, 1.0) * level, dtype=np.float64)

    return harmonics


def filtered(low_hz: float, high_hz: float, resonance: float, poles: int, slope: float = 1.0) -> Harmonics:
    """A saw (or steeper) through a lowpass that brightness opens from ``low_hz`` to ``high_hz``."""

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        cutoff = low_hz * (high_hz / low_hz) ** brightness
        # Even closed, a filter lets the note itself be heard.
        cutoff = max(cutoff, 1.2 * float(frequencies[0]))
        shape = (frequencies / frequencies[0]) ** -slope
        return np.asarray(shape * lowpass(frequencies, cutoff, resonance, poles), dtype=np.float64)

    return harmonics


def bodied(source: Harmonics, rng: np.random.Generator, count: int, low_hz: float, high_hz: float) -> Harmonics:
    """A source behind random resonances."""
    centres = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), count))
    widths = centres * rng.uniform(0.1, 0.5, count)
    gains = rng.uniform(0.5, 3, count)

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        return source(frequencies, brightness) * (0.5 + peaks(frequencies, centres, widths, gains))

    return harmonics


def spread(rng: np.random.Generator, count: int, cents: float) -> Voices:
    """Voices detuned about the note, in tune on average."""
    offsets = np.linspace(-cents, cents, count) + rng.uniform(-0.15, 0.15, count) * cents if count > 1 else np.zeros(1)
    offsets -= offsets.mean()
    levels = rng.uniform(0.7, 1, count)
    return Voices(tuple(offsets.tolist()), tuple((levels / np.sqrt(count)).tolist()))


def tonewheel_organ(rng: np.random.Generator) -> Instrument:
    """Nine drawbars, percussion, key click, a rotating loudspeaker."""
    bars = np.where(rng.random(9) < 0.45, 0, 10 ** (-rng.uniform(0, 24, 9) / 20))
    bars[2] += rng.uniform(0.5, 1.5)
    # The 16 foot and the quint below the note colour it; louder, they would be heard as the note.
    bars[:2] *= 0.4 * bars[2]
    numbers = np.array([1, 3, 2, 4, 6, 8, 10, 12, 16])
    phases = rng.random(16)

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        levels = np.zeros(16)
        levels[numbers - 1] = bars
        return np.concatenate([levels, np.zeros(frequencies.size)])[: frequencies.size]

    envelope = Envelope(0.004, 1.0, 1.0, between(rng, 0.02, 0.08))
    drift = Wobble(rng.uniform(5.5, 7), rng.choice([0.0, 6.0, 10.0]))
    base = voiced(harmonics, envelope, voices=Voices(ratio=0.5), wobble=drift, phases=phases)
    percussion = rng.choice([0.0, 0.0, 1.0]) * rng.uniform(0.3, 1)
    third, decay_s, click = rng.choice([2.0, 3.0]), between(rng, 0.1, 0.4), between(rng, 0.01, 0.15)
    rate, depth, drive = between(rng, 0.7, 7), rng.choice([0.0, 0.4, 0.9]), rng.choice([0.0, 0.0, 0.6])

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        out = base(note, rng)
        short = min(out.size, samples_of(0.01))
        out[:short] += click * noise(short, band(800, 6_000), rng) * np.linspace(1, 0, short, dtype=np.float32)
        if percussion:
            hit = ringing(np.array([third * note.hz]), np.array([percussion]), np.array([decay_s]), out.size, rng)
            tail = samples_of(envelope.release_s)
            hit[-tail:] *= fade(tail)
            out += hit
        return out

    def effect(part: Audio, rng: np.random.Generator) -> Audio:
        driven = np.tanh(drive * part) / drive if drive else part
        return rotary(driven, rate, depth, rng) if depth else driven

    return Instrument(tone, (36, 96), True, rng.uniform(0, 6), effect)


def pipe_organ(rng: np.random.Generator) -> Instrument:
    """Ranks of pipes that speak together: an 8 foot always, others by chance."""
    feet = [1.0, *(ratio for ratio in (0.5, 2.0, 3.0, 4.0) if rng.random() < 0.45)]
    ranks: list[tuple[float, Tone]] = []
    attack = between(rng, 0.01, 0.06)
    release = between(rng, 0.05, 0.4)
    for ratio in feet:
        flute = rng.random() < 0.4
        source = tilted(rng.uniform(1.5, 3), rng.uniform(0.1, 1)) if flute else tilted(rng.uniform(0.4, 1.4))
        chiff = Breath(between(rng, 0.003, 0.03), 1, 6, rng.choice([0.0, 0.5, 1.0]))
        voices = Voices((float(rng.normal(0, 2)),), (1.0,), ratio)
        shine = Shine(0.6, 0.8, Envelope(attack, 1, 1, 1), 0)
        envelope = Envelope(attack * rng.uniform(0.7, 1), 1, 1, release)
        level = 1.0 if ratio == 1 else between(rng, 0.1, 0.3 if ratio < 1 else 0.7)
        drift = Wobble(drift_cents=0.6)
        ranks.append((level, voiced(source, envelope, voices=voices, shine=shine, breath=chiff, wobble=drift)))

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        return np.asarray(sum(np.float32(level) * rank(note, rng) for level, rank in ranks), dtype=np.float32)

    return Instrument(tone, (36, 96), True, rng.uniform(0, 4))


def free_reeds(rng: np.random.Generator) -> Instrument:
    """Accordion, harmonium, harmonica."""
    count = int(rng.integers(1, 4))
    source = bodied(tilted(rng.uniform(0.3, 1), rng.uniform(0.4, 1)), rng, 3, 500, 3_500)
    envelope = Envelope(between(rng, 0.02, 0.12), 0.3, rng.uniform(0.8, 1), between(rng, 0.03, 0.12))
    shine = Shine(0.4, 0.9, envelope, 0.4)
    voices = spread(rng, count, rng.uniform(3, 14))
    wobble = Wobble(rng.uniform(4, 6), rng.choice([0.0, 6.0]), 0.2, 1.0)
    breath = Breath(between(rng, 0.005, 0.03), 2, 12)
    tone = voiced(source, envelope, voices=voices, shine=shine, wobble=wobble, breath=breath, phases=rng.random(64))
    return Instrument(tone, (41, 96), True, rng.uniform(6, 18))


def strings(rng: np.random.Generator, count: int, attack_s: tuple[float, float]) -> Instrument:
    """Bowed strings behind a wooden body: one player or a section."""
    source = bodied(tilted(rng.uniform(0.6, 1.1)), rng, 6, 250, 4_500)
    envelope = Envelope(between(rng, *attack_s), 0.4, rng.uniform(0.7, 1), between(rng, 0.08, 0.5))
    shine = Shine(0.25, 1.0, replace(envelope, attack_s=envelope.attack_s * 1.5), rng.uniform(0.3, 0.7))
    vibrato = Wobble(rng.uniform(4.5, 6.5), rng.uniform(5, 28), rng.uniform(0, 0.3), rng.uniform(1, 4))
    breath = Breath(between(rng, 0.005, 0.04), 2, 20, rng.uniform(0, 0.3))
    voices = spread(rng, count, rng.uniform(5, 12))
    phases = rng.random(64) * rng.uniform(0, 0.3)
    tone = voiced(source, envelope, voices=voices, shine=shine, wobble=vibrato, breath=breath, phases=phases)
    return Instrument(tone, (28, 98), True, rng.uniform(15, 30))


def solo_strings(rng: np.random.Generator) -> Instrument:
    """One bowed string."""
    return strings(rng, 1, (0.02, 0.15))


def string_section(rng: np.random.Generator) -> Instrument:
    """Several players."""
    return strings(rng, int(rng.integers(3, 6)), (0.04, 0.4))


def string_machine(rng: np.random.Generator) -> Instrument:
    """Divided-down saws through a filter and an ensemble of choruses."""
    cutoff = between(rng, 1_800, 7_000)
    source = filtered(cutoff * 0.6, cutoff, 0.7, 2)
    envelope = Envelope(between(rng, 0.03, 0.5), 1, 1, between(rng, 0.15, 1.0))
    wobble = Wobble(between(rng, 0.5, 6), rng.uniform(4, 10), 0, 1)
    low = voiced(source, envelope, voices=spread(rng, 3, rng.uniform(4, 10)), wobble=wobble)
    high = voiced(source, envelope, voices=Voices(ratio=2.0), wobble=wobble)
    octave = rng.choice([0.0, 0.4, 0.7])

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        out = low(note, rng)
        return out + np.float32(octave) * high(note, rng) if octave else out

    return Instrument(tone, (36, 96), True, rng.uniform(4, 15))


# Formants in Hz of a, e, i, o, u, as textbooks of phonetics have them for sung vowels.
VOWELS = np.array(
    [
        [800.0, 1_150, 2_900, 3_900],
        [400, 1_700, 2_600, 3_200],
        [300, 2_200, 2_950, 3_500],
        [450, 800, 2_830, 3_800],
        [330, 700, 2_700, 3_800],
    ]
)


def singers(rng: np.random.Generator, count: int) -> Instrument:
    """Glottal pulses through the formants of two of :data:`VOWELS`, moving from one to the other."""
    first, second = rng.choice(VOWELS, 2) * rng.uniform(0.85, 1.15)
    widths = np.array([80.0, 90, 120, 150]) * rng.uniform(1, 2.5)
    gains = np.array([1, 0.5, 0.25, 0.15]) * rng.uniform(0.5, 1.5, 4)
    slope = rng.uniform(0.7, 1.3)

    def harmonics(frequencies: Spectrum, brightness: float) -> Spectrum:
        centres = first + (second - first) * brightness
        centres = np.maximum(centres, [0.9 * frequencies[0], 0, 0, 0])
        source = (frequencies / frequencies[0]) ** -slope
        return np.asarray(source * (0.03 + peaks(frequencies, centres, widths, gains)), dtype=np.float64)

    envelope = Envelope(between(rng, 0.04, 0.35), 0.5, rng.uniform(0.8, 1), between(rng, 0.08, 0.5))
    shine = Shine(0, 1, Envelope(between(rng, 0.2, 2), 1, rng.uniform(0.3, 1), 1), 0.2)
    wobble = Wobble(rng.uniform(4.5, 6.5), rng.uniform(5, 30), rng.uniform(0, 0.4), rng.uniform(2, 6))
    breath = Breath(between(rng, 0.01, 0.12), 2, 30)
    voices = spread(rng, count, rng.uniform(4, 14))
    tone = voiced(harmonics, envelope, voices=voices, shine=shine, wobble=wobble, breath=breath, phases=rng.random(64))
    return Instrument(tone, (40, 86), True, rng.uniform(10, 24))


def choir(rng: np.random.Generator) -> Instrument:
    """Three or four singers."""
    return singers(rng, int(rng.integers(3, 5)))


def singer(rng: np.random.Generator) -> Instrument:
    """One."""
    return singers(rng, 1)


KINDS: dict[str, tuple[str, Callable[[np.random.Generator], Instrument], float]] = {
    "tonewheel organ": ("organ", tonewheel_organ, 3),
    "pipe organ": ("organ", pipe_organ, 3),
    "free reeds": ("organ", free_reeds, 1.5),
    "solo strings": ("strings", solo_strings, 2),
    "string section": ("strings", string_section, 3),
    "string machine": ("strings", string_machine, 2.5),
    "choir": ("voice", choir, 3),
    "singer": ("voice", singer, 1),
}
