"""A plain synthesiser: a handful of sounds that stand for the families of General MIDI instruments.

Each sound is two cycles of a wave read at the pitch's speed: a body that lasts and a brightness that fades sooner and
is stronger in loud notes.  It is meant to make notes recognisable, not to imitate instruments; it is no soundfont.
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 44_100

Samples = NDArray[np.float32]

# A cycle of 2^13 points read without interpolation is wrong by at most 2 pi h / 2^14 of the h-th harmonic, -52 dB for
# the seventh: below what MP3 at 128 kbit/s adds.
_CYCLE_BITS = 13
_HIGHEST_HZ = 15_000.0  # harmonics above would fold back or be lost in the encoder
_SILENT_AFTER_DECAYS = 6.0  # -52 dB
_LAYERS = 3  # soft, middle, loud
_CACHE_BYTES = 64 << 20
_CACHE_STEP = RATE_HZ // 2  # lengths are rounded up to this, so that notes of like lengths share a sound
_VIBRATO_HZ = 5.2
_VIBRATO_AFTER_S = 0.25


@dataclass(frozen=True, slots=True)
class Timbre:
    """How a family of instruments sounds.

    Attributes:
        body: amplitudes of the harmonics that last.
        bright: amplitudes of the harmonics that fade by ``bright_decay_s``.
        attack_s: rise time.
        decay_s: time constant of the body's decay at middle C (an octave up it is 0.7 of it); infinite: sustained.
        bright_decay_s: time constant of the brightness.
        release_s: fade after the note's end.
        gain: loudness among the others.
        vibrato_cents: depth of vibrato, which comes in after a quarter of a second.
    """

    body: tuple[float, ...]
    bright: tuple[float, ...]
    attack_s: float
    decay_s: float
    bright_decay_s: float
    release_s: float
    gain: float = 1.0
    vibrato_cents: float = 0.0


def _saw(count: int, slope: float) -> tuple[float, ...]:
    """Harmonics that fall off as 1/h^slope."""
    return tuple(1 / h**slope for h in range(1, count + 1))


def _only(**harmonics: float) -> tuple[float, ...]:
    """The named harmonics: ``_only(h1=1.0, h4=0.3)``."""
    wanted = {int(name[1:]): amplitude for name, amplitude in harmonics.items()}
    return tuple(wanted.get(h, 0.0) for h in range(1, max(wanted) + 1))


_FOREVER = math.inf
PIANO = Timbre(_saw(8, 1.6), _saw(16, 0.9), 0.003, 1.1, 0.25, 0.12)
ELECTRIC_PIANO = Timbre(_only(h1=1, h2=0.12, h3=0.05), _only(h2=0.2, h13=0.25, h14=0.15), 0.003, 1.3, 0.12, 0.1)
MALLET = Timbre(_only(h1=1, h4=0.2), _only(h4=0.6, h10=0.3), 0.002, 0.5, 0.05, 0.2)
ORGAN = Timbre(_only(h1=1, h2=0.7, h3=0.4, h4=0.4, h6=0.2, h8=0.2), _only(h3=0.1), 0.008, _FOREVER, 0.05, 0.05, 0.6)
PLUCK = Timbre(_saw(10, 1.5), _saw(18, 0.7), 0.002, 0.7, 0.12, 0.08)
DISTORTED = Timbre(_saw(14, 0.9), _saw(16, 0.6), 0.004, 3.0, 0.4, 0.06, 0.6)
BASS = Timbre(_only(h1=1, h2=0.55, h3=0.25, h4=0.1), _saw(10, 0.9), 0.004, 1.0, 0.1, 0.06, 1.2)
STRINGS = Timbre(_saw(12, 1.3), _saw(4, 1.0), 0.06, _FOREVER, 0.4, 0.2, 0.6, 12)
PAD = Timbre(_saw(7, 1.6), _saw(5, 1.2), 0.09, _FOREVER, 0.8, 0.3, 0.55)
VOICE = Timbre(_only(h1=1, h2=0.6, h3=0.28, h4=0.1, h5=0.06), _only(h3=0.2), 0.045, _FOREVER, 0.3, 0.1, 0.9, 18)
BRASS = Timbre(_saw(10, 1.0), _saw(14, 0.5), 0.03, _FOREVER, 0.5, 0.07, 0.6)
REED = Timbre(_only(h1=1, h2=0.25, h3=0.6, h4=0.15, h5=0.35, h7=0.2), _saw(8, 0.8), 0.025, _FOREVER, 0.3, 0.07, 0.6, 8)
FLUTE = Timbre(_only(h1=1, h2=0.25, h3=0.08), _only(h2=0.3), 0.04, _FOREVER, 0.2, 0.08, 0.8, 10)
LEAD = Timbre(_saw(16, 1.0), _saw(16, 0.7), 0.006, _FOREVER, 0.2, 0.06, 0.5)

# By General MIDI's families of eight programs, then the programs that differ from theirs.
_FAMILIES = (
    *(PIANO, MALLET, ORGAN, PLUCK, BASS, STRINGS, STRINGS, BRASS),
    *(REED, FLUTE, LEAD, PAD, PAD, PLUCK, MALLET, PAD),
)
_PROGRAMS = {
    **dict.fromkeys((4, 5), ELECTRIC_PIANO),
    **dict.fromkeys((6, 7), PLUCK),
    **dict.fromkeys((29, 30), DISTORTED),
    **dict.fromkeys((45, 46), PLUCK),
    47: MALLET,
    **dict.fromkeys((50, 51), PAD),
    **dict.fromkeys((52, 53, 54), VOICE),
    55: PIANO,
}


def timbre_of(program: int) -> Timbre:
    """The sound that stands for a General MIDI program, 0-127."""
    return _PROGRAMS.get(program, _FAMILIES[program // 8])


class Tones:
    """Renders notes and keeps what it rendered, within bounds, since songs repeat themselves."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Timbre, int, int], Samples] = {}
        self._kept_bytes = 0

    def note(self, timbre: Timbre, pitch: int, length_s: float, velocity: float) -> Samples:
        """One note with its release: float32, shape (n_samples,), 44.1 kHz mono, peak about 1 at full velocity."""
        audible_s = timbre.attack_s + _SILENT_AFTER_DECAYS * _decay_s(timbre, pitch)
        held = round(min(length_s, audible_s) * RATE_HZ)
        release = round(timbre.release_s * RATE_HZ)
        layer = min(int(velocity * _LAYERS), _LAYERS - 1)
        note = self._tone(timbre, pitch, layer, held + release)[: held + release] * np.float32(loudness(velocity))
        note[held:] *= _fade(release)
        return note

    def _tone(self, timbre: Timbre, pitch: int, layer: int, needed: int) -> Samples:
        key = (timbre, pitch, layer)
        kept = self._kept.get(key)
        if kept is not None and len(kept) >= needed:
            return kept
        if self._kept_bytes > _CACHE_BYTES:
            self._kept.clear()
            self._kept_bytes = 0
        length = -(-needed // _CACHE_STEP) * _CACHE_STEP
        tone = _rendered(timbre, pitch, (layer + 0.5) / _LAYERS, length)
        replaced = self._kept.get(key)
        self._kept_bytes += tone.nbytes - (0 if replaced is None else replaced.nbytes)
        self._kept[key] = tone
        return tone


def loudness(velocity: float) -> float:
    """Amplitude of a velocity (both 0-1): 27 dB between 1/8 and full, about what keyboards give."""
    return float(max(velocity, 0.02) ** 1.5)


def _decay_s(timbre: Timbre, pitch: int) -> float:
    return float(timbre.decay_s * 0.7 ** ((pitch - 60) / 12))


def _rendered(timbre: Timbre, pitch: int, brightness: float, length: int) -> Samples:
    """A key that is held: float32, shape (length,)."""
    hz = 440.0 * 2 ** ((pitch - 69) / 12)
    index = _indices(hz, length, timbre.vibrato_cents)
    sound = _cycle(timbre.body, hz)[index]
    bright = _cycle(timbre.bright, hz)[index]
    bright *= _falling(length, timbre.bright_decay_s) * np.float32(brightness)
    sound += bright
    if timbre.decay_s < _FOREVER:
        sound *= _falling(length, _decay_s(timbre, pitch))
    attack = min(max(round(timbre.attack_s * RATE_HZ), 1), length)
    sound[:attack] *= np.linspace(0.0, 1.0, attack, dtype=np.float32)
    sound *= np.float32(timbre.gain / (1 + brightness))
    return sound


def _indices(hz: float, length: int, vibrato_cents: float) -> NDArray[np.uint32]:
    """Where each sample reads the cycle: a 32-bit phase that wraps around by itself."""
    phase = np.arange(length, dtype=np.uint32) * np.uint32(round(hz / RATE_HZ * 2**32))
    if vibrato_cents:
        # Frequency swings by the depth, so phase swings by depth x frequency / vibrato rate (in cycles, over 2 pi).
        depth = (2 ** (vibrato_cents / 1200) - 1) * hz / (2 * math.pi * _VIBRATO_HZ)
        phase += (_vibrato(length) * np.float32(depth * 2**32)).astype(np.int64).astype(np.uint32)
    phase >>= np.uint32(32 - _CYCLE_BITS)
    return phase


def _vibrato(length: int) -> Samples:
    at_s = np.arange(length, dtype=np.float32) / np.float32(RATE_HZ)
    onset = np.clip((at_s - _VIBRATO_AFTER_S) / _VIBRATO_AFTER_S, 0.0, 1.0)
    swing: Samples = onset * np.sin(np.float32(2 * math.pi * _VIBRATO_HZ) * at_s)
    return swing


@lru_cache(maxsize=256)  # 8 MB
def _cycle(harmonics: tuple[float, ...], hz: float) -> Samples:
    """One period with these harmonics, those above the limit left out; peak 1; float32, shape (2**13,)."""
    size = 1 << _CYCLE_BITS
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    for h, amplitude in enumerate(harmonics, start=1):
        if h == 1 or h * hz < _HIGHEST_HZ:
            # Phases of -h^2 (Schroeder) spread the harmonics' peaks, so that equal peaks sound equally loud.
            spectrum[h] = amplitude * np.exp(-1j * math.pi * h * h / len(harmonics))
    cycle = np.fft.irfft(spectrum, size)
    scaled: Samples = (cycle / np.abs(cycle).max()).astype(np.float32)
    return scaled


def _falling(length: int, decay_s: float) -> Samples:
    """exp(-t / decay): float32, shape (length,)."""
    exponent = np.arange(length, dtype=np.float32) * np.float32(-1 / (decay_s * RATE_HZ))
    falling: Samples = np.exp(np.maximum(exponent, -40, out=exponent))  # smaller floats are slow to compute with
    return falling


@cache
def _fade(length: int) -> Samples:
    return np.linspace(1.0, 0.0, length, dtype=np.float32) ** 2
