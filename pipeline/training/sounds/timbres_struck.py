"""Synthetic instruments that die away: plucked and struck strings, bars, bells, electric pianos, distorted guitars."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.signal

from pipeline.training.sounds.base import RATE_HZ
from pipeline.training.sounds.oscillators import (
    TOP_HZ,
    Audio,
    Envelope,
    Spectrum,
    band,
    fade,
    noise,
    peaks,
    ringing,
    samples_of,
)
from pipeline.training.sounds.timbres import Instrument, Note, between, rotary
from pipeline.training.sounds.timbres_held import Shine, filtered, spread, voiced

_LONGEST_S = 20.0
_PARTIALS = 60


@dataclass(frozen=True, slots=True)
class String:
    """A stiff string, plucked or hit, and what it is fixed to.

    Attributes:
        pluck: where, as a share of its length: partials with a node there are silent.
        slope: how fast partials fall at full strength; soft notes fall faster by ``touch``.
        stiffness: inharmonicity at middle C; doubles every octave.
        ring_s: time constant of the lowest partials at middle C.
        damping: how much faster high partials die away.
        release_s: how long a let-go string sounds.
        body: centres in Hz, widths in Hz, gains.
        strings: how many sound together, and how far apart in cents.
        knock: level of the noise of the attack.
    """

    pluck: float
    slope: float
    touch: float
    stiffness: float
    ring_s: float
    damping: float
    release_s: float
    body: tuple[Spectrum, Spectrum, Spectrum]
    strings: int = 1
    apart_cents: float = 0.0
    knock: float = 0.0
    knock_hz: float = 1_500.0

    def sound(self, note: Note, rng: np.random.Generator, mute: float = 1.0) -> Audio:
        """One note; ``mute`` shortens its ringing (a palm on the strings)."""
        octave = (note.pitch - 60) / 12
        number = np.arange(1, min(_PARTIALS, int(TOP_HZ / note.hz) + 1) + 1)
        stiffness = self.stiffness * 2**octave
        # Stiffness sharpens; the note's pitch is that of its lowest partials.
        hz = number * note.hz * np.sqrt((1 + stiffness * number**2) / (1 + stiffness * 4))
        level = np.abs(np.sin(np.pi * number * self.pluck)) + 0.03
        level *= number ** -(self.slope + self.touch * (1 - note.strength) + 0.6 * (1 - mute))
        level *= 0.3 + peaks(hz, *self.body)
        ring = self.ring_s * 2 ** (-0.6 * octave) * mute / (1 + self.damping * (hz / 1_000) ** 1.2)
        ring *= rng.uniform(0.8, 1.2, hz.size)
        count = samples_of(min(note.held_s, _LONGEST_S, 7 * float(ring.max())))
        tail = samples_of(self.release_s)
        out = np.zeros(count + tail, dtype=np.float32)
        for cents in np.linspace(-self.apart_cents, self.apart_cents, self.strings) / 2:
            share = rng.uniform(0.6, 1) * level / self.strings
            out += ringing(hz * 2 ** (cents / 1200), share, ring, out.size, rng)
        if self.knock:
            short = min(out.size, samples_of(0.03))
            hit = noise(short, band(80, self.knock_hz), rng) * np.exp(-np.arange(short) / (0.006 * RATE_HZ))
            out[:short] += (self.knock * note.strength * hit).astype(np.float32)
        rise = min(out.size, samples_of(0.0015))
        out[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
        out[-tail:] *= fade(tail)
        return out


def body(rng: np.random.Generator, count: int, low_hz: float, high_hz: float) -> tuple[Spectrum, Spectrum, Spectrum]:
    """Random resonances."""
    centres = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), count))
    return centres, centres * rng.uniform(0.15, 0.6, count), rng.uniform(0.4, 2.5, count)


def acoustic_guitar(rng: np.random.Generator) -> Instrument:
    """Nylon to steel, and their smaller and larger relatives (ukulele, harp, twelve strings)."""
    pair = rng.random() < 0.15
    string = String(
        pluck=rng.uniform(0.08, 0.35),
        slope=rng.uniform(0.4, 1.4),
        touch=rng.uniform(0.3, 0.9),
        stiffness=between(rng, 2e-5, 3e-4),
        ring_s=between(rng, 0.5, 2.2),
        damping=between(rng, 0.5, 2.5),
        release_s=between(rng, 0.05, 0.25),
        body=body(rng, 5, 90, 3_000),
        strings=2 if pair else 1,
        apart_cents=8.0 if pair else 0.0,
        knock=between(rng, 0.02, 0.3),
        knock_hz=between(rng, 800, 4_000),
    )
    return Instrument(string.sound, (36, 88), False, rng.uniform(14, 26))


def electric_guitar(rng: np.random.Generator) -> Instrument:
    """Clean or nearly so: a pickup, an amplifier that rounds peaks, chorus or tremolo by chance."""
    string = clean_string(rng)
    drive, rate, depth = rng.choice([0.0, 0.5, 1.5]), between(rng, 0.5, 6), rng.choice([0.0, 0.0, 0.5])

    def effect(part: Audio, rng: np.random.Generator) -> Audio:
        driven = np.tanh(drive * part) / drive if drive else part
        return rotary(driven, rate, depth, rng) if depth else driven

    return Instrument(string.sound, (36, 88), False, rng.uniform(10, 22), effect)


def clean_string(rng: np.random.Generator) -> String:
    """A guitar's string over a magnetic pickup."""
    return String(
        pluck=rng.uniform(0.06, 0.3),
        slope=rng.uniform(0.5, 1.1),
        touch=rng.uniform(0.3, 0.8),
        stiffness=between(rng, 3e-5, 2e-4),
        ring_s=between(rng, 1.2, 4),
        damping=between(rng, 0.4, 1.5),
        release_s=between(rng, 0.03, 0.12),
        body=body(rng, 2, 700, 4_500),
        knock=between(rng, 0.005, 0.08),
        knock_hz=3_000,
    )


def exotic_pluck(rng: np.random.Generator) -> Instrument:
    """Banjo, sitar, koto, harpsichord-like lutes: bright, knocking, with a twang."""
    string = replace(
        clean_string(rng),
        slope=rng.uniform(0, 0.6),
        ring_s=between(rng, 0.25, 1.2),
        body=body(rng, 4, 400, 5_000),
        knock=between(rng, 0.1, 0.5),
    )
    return Instrument(string.sound, (45, 90), False, rng.uniform(8, 20))


def distorted_guitar(rng: np.random.Generator, gain: tuple[float, float]) -> Instrument:
    """Strings into an amplifier, all together, so that chords growl; short notes may be muted by the palm."""
    string = replace(clean_string(rng), ring_s=between(rng, 1.5, 5), release_s=between(rng, 0.03, 0.07))
    boost, bias = between(rng, *gain), rng.uniform(0, 0.25)
    mutes, mute = rng.choice([0.0, 0.4, 0.9]), between(rng, 0.06, 0.2)
    tight_hz, low_hz, high_hz = between(rng, 60, 250), between(rng, 60, 110), between(rng, 2_800, 6_000)
    presence = rng.uniform(0, 1.5)
    cabinet = scipy.signal.butter(2, [low_hz, high_hz], "band", fs=RATE_HZ, output="sos")
    bite = scipy.signal.butter(1, [1_500, 3_500], "band", fs=RATE_HZ, output="sos")
    tight = scipy.signal.butter(1, tight_hz, "high", fs=RATE_HZ, output="sos")

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        palm = note.held_s < 0.25 and rng.random() < mutes
        return string.sound(note, rng, mute if palm else 1.0)

    def shaped(level: Audio) -> Audio:
        return np.asarray(np.tanh(boost * level), dtype=np.float32)

    def effect(part: Audio, rng: np.random.Generator) -> Audio:
        # At twice the rate: what the shaper adds above half the rate would fold back.
        driven = scipy.signal.resample_poly(scipy.signal.sosfilt(tight, part).astype(np.float32), 2, 1)
        driven = np.tanh(boost * driven + bias) - np.tanh(bias)
        out = scipy.signal.sosfilt(cabinet, scipy.signal.resample_poly(driven, 1, 2)[: part.size])
        return np.asarray(out + presence * scipy.signal.sosfilt(bite, out), dtype=np.float32)

    return Instrument(tone, (33, 88), False, rng.uniform(4, 12), effect, shaped)


def crunch_guitar(rng: np.random.Generator) -> Instrument:
    """Overdriven."""
    return distorted_guitar(rng, (2, 10))


def high_gain_guitar(rng: np.random.Generator) -> Instrument:
    """Distorted."""
    return distorted_guitar(rng, (12, 120))


def bass_guitar(rng: np.random.Generator) -> Instrument:
    """Fingers, picks, slaps; electric or upright."""
    string = replace(
        clean_string(rng),
        slope=rng.uniform(0.5, 1.8),
        pluck=rng.uniform(0.08, 0.3),
        ring_s=between(rng, 0.3, 1.5),
        damping=between(rng, 0.8, 4),
        body=body(rng, 3, 60, 2_500),
        knock=between(rng, 0.01, 0.3),
        knock_hz=between(rng, 500, 4_000),
    )
    return Instrument(string.sound, (24, 67), False, rng.uniform(8, 20))


def synth_bass(rng: np.random.Generator) -> Instrument:
    """A saw or two, or a hollow wave, through a filter that snaps shut."""
    low = between(rng, 80, 250)
    source = filtered(
        low, low * between(rng, 5, 40), rng.uniform(0.7, 4), int(rng.choice([2, 4])), rng.uniform(0.8, 1.6)
    )
    held = rng.random() < 0.5
    sustain = rng.uniform(0.6, 1) if held else 0.0
    envelope = Envelope(between(rng, 0.002, 0.012), between(rng, 0.15, 0.8), sustain, between(rng, 0.02, 0.15))
    snap = Envelope(0.002, between(rng, 0.05, 0.6), rng.uniform(0.1, 0.5), 1)
    voices = spread(rng, int(rng.integers(1, 3)), rng.uniform(2, 10))
    tone = voiced(source, envelope, voices=voices, shine=Shine(0, 1, snap, rng.uniform(0.1, 0.6)))
    return Instrument(tone, (24, 72), held, rng.uniform(4, 16))


def acoustic_piano(rng: np.random.Generator) -> Instrument:
    """Two strings a key, stiff, hit by felt; upright to grand."""
    string = String(
        pluck=rng.uniform(0.1, 0.14),
        slope=rng.uniform(0.5, 1.1),
        touch=rng.uniform(0.7, 1.5),
        stiffness=between(rng, 2e-4, 8e-4),
        ring_s=between(rng, 0.8, 2.5),
        damping=between(rng, 0.3, 1.2),
        release_s=between(rng, 0.08, 0.3),
        body=body(rng, 6, 80, 4_000),
        strings=2,
        apart_cents=rng.choice([0.6, 1.5, 10.0]),
        knock=between(rng, 0.02, 0.15),
        knock_hz=between(rng, 300, 1_200),
    )
    return Instrument(string.sound, (24, 103), False, rng.uniform(20, 34))


def plucked_keys(rng: np.random.Generator) -> Instrument:
    """Harpsichord and clavinet."""
    string = replace(
        clean_string(rng),
        slope=rng.uniform(0.1, 0.7),
        pluck=rng.uniform(0.05, 0.2),
        ring_s=between(rng, 0.5, 2),
        release_s=between(rng, 0.04, 0.12),
        knock=between(rng, 0.05, 0.25),
        strings=int(rng.integers(1, 3)),
        apart_cents=4.0,
    )
    return Instrument(string.sound, (29, 90), False, rng.uniform(2, 16))


# Partials of struck bars, bells and tines relative to the note: N. H. Fletcher and T. D. Rossing, "The Physics of
# Musical Instruments" (marimba and xylophone bars are tuned to 4 and 3, free bars to 2.76 and 5.4).
BARS = (
    (1.0, 4.0, 9.2),
    (1.0, 3.0, 6.2),
    (1.0, 2.76, 5.4, 8.9),
    (1.0, 2.0, 3.0, 4.2, 5.4),
    (1.0, 6.27, 17.5),
    (1.0, 3.98, 10.0),
)


def bars(rng: np.random.Generator) -> Instrument:
    """Marimba, vibraphone, xylophone, glockenspiel, celesta, music box, kalimba, steel drum."""
    ratios = np.array(BARS[int(rng.integers(len(BARS)))])
    levels = rng.uniform(0.05, 0.7, ratios.size) * 10 ** (-0.25 * np.arange(ratios.size))
    levels[0] = 1
    ring_s = between(rng, 0.12, 2.5)
    shortening = rng.uniform(0.5, 1.5)
    release_s = between(rng, 0.1, 0.6)
    knock, knock_hz = between(rng, 0.02, 0.4), between(rng, 800, 6_000)
    rate, depth = rng.uniform(3, 7), rng.choice([0.0, 0.0, 0.8])
    lowest = int(rng.choice([45, 53, 60]))

    def tone(note: Note, rng: np.random.Generator) -> Audio:
        ring = ring_s * 2 ** (-0.5 * (note.pitch - 60) / 12) / ratios**shortening
        tail = samples_of(release_s)
        out_size = samples_of(min(note.held_s, 7 * float(ring[0]))) + tail
        level = levels * ratios ** (-0.8 * (1 - note.strength))
        out = ringing(note.hz * ratios, level, ring, out_size, rng)
        short = min(out.size, samples_of(0.02))
        hit = noise(short, band(200, knock_hz), rng) * np.exp(-np.arange(short) / (0.003 * RATE_HZ))
        out[:short] += (knock * note.strength * hit).astype(np.float32)
        out[-tail:] *= fade(tail)
        return out

    def effect(part: Audio, rng: np.random.Generator) -> Audio:
        return rotary(part, rate, depth, rng) if depth else part

    return Instrument(tone, (lowest, lowest + 43), False, rng.uniform(12, 26), effect)


KINDS: dict[str, tuple[str, Callable[[np.random.Generator], Instrument], float]] = {
    "acoustic guitar": ("guitar", acoustic_guitar, 2.5),
    "electric guitar": ("guitar", electric_guitar, 2.5),
    "exotic pluck": ("guitar", exotic_pluck, 1),
    "crunch guitar": ("distorted guitar", crunch_guitar, 2.5),
    "high gain guitar": ("distorted guitar", high_gain_guitar, 3),
    "bass guitar": ("bass", bass_guitar, 2),
    "synth bass": ("bass", synth_bass, 2),
    "acoustic piano": ("piano", acoustic_piano, 2),
    "plucked keys": ("piano", plucked_keys, 1.5),
    "bars": ("mallets", bars, 2.5),
}
