"""Instruments that are computed: every draw of a kind is another instrument of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.training.sounds import timbres_fm, timbres_held, timbres_struck, timbres_wind
from pipeline.training.sounds.base import END_LEVEL, ONSET_LEVEL, RATE_HZ, Performance, Played, Sound
from pipeline.training.sounds.oscillators import Audio, samples_of
from pipeline.training.sounds.timbres import Instrument, Note

# The kinds, their family and how often each is drawn: most often what the General MIDI soundfonts are weakest in.
KINDS: dict[str, tuple[str, Callable[[np.random.Generator], Instrument], float]] = {
    **timbres_held.KINDS,
    **timbres_wind.KINDS,
    **timbres_struck.KINDS,
    **timbres_fm.KINDS,
}
# A fast attack peaks well within this; a slow one is judged by how far it has come.
_ATTACK_S = 1.0
_DETUNE_CENTS = 5.0


@dataclass(frozen=True, slots=True)
class SyntheticSound:
    """One instrument: its kind, and the seed that everything else about it comes from."""

    kind: str
    seed: int

    def _instrument(self) -> Instrument:
        return KINDS[self.kind][1](np.random.default_rng(self.seed))

    @property
    def name(self) -> str:
        return f"synth:{self.kind}:{self.seed}"

    @property
    def family(self) -> str:
        return KINDS[self.kind][0]

    @property
    def keys(self) -> tuple[int, int]:
        return self._instrument().keys

    @property
    def held(self) -> bool:
        return self._instrument().held

    def play(self, notes: Sequence[Played], length_s: float, rng: np.random.Generator) -> Performance:
        """See :class:`pipeline.training.sounds.base.Sound`."""
        instrument = self._instrument()
        out = np.zeros(samples_of(length_s), dtype=np.float32)
        tuning = 2 ** (rng.uniform(-_DETUNE_CENTS, _DETUNE_CENTS) / 1200)
        ends = []
        for note in notes:
            held_s = max(note.end_s - note.start_s, 0.02)
            hz = 440 * 2 ** ((note.pitch - 69) / 12) * tuning
            strength = note.velocity / 127
            tone = instrument.tone(Note(hz, note.pitch, strength, held_s), rng)
            tone = tone * np.float32(10 ** (-instrument.range_db * (1 - strength) / 20))
            onset, end = heard(instrument.loudness(np.abs(tone)))
            add_at(out, tone, round(note.start_s * RATE_HZ) - onset)
            ends.append(min(note.end_s, note.start_s + (end - onset) / RATE_HZ))
        return Performance(instrument.effect(out, rng), tuple(ends))


def heard(level: Audio) -> tuple[int, int]:
    """The samples where a note is heard to begin and to end, by the levels that :mod:`..sounds.base` names.

    Args:
        level: absolute values of one note alone, from its start.
    """
    peak = float(level[: samples_of(_ATTACK_S)].max())
    if peak == 0:
        return 0, level.size
    onset = int(np.argmax(level >= ONSET_LEVEL * peak))
    end = level.size - int(np.argmax(level[::-1] >= END_LEVEL * level.max()))
    return onset, end


def add_at(out: Audio, tone: Audio, start: int) -> None:
    """Mix a tone in; what lies before or beyond is cut off."""
    first = max(0, -start)
    last = min(tone.size, out.size - start)
    if last > first:
        out[start + first : start + last] += tone[first:last]


def synthetic_sounds(rng: np.random.Generator, count: int) -> list[Sound]:
    """Draw instruments, the families spread as :data:`KINDS` weights them.

    Every kind comes about as often as its weight says, however small ``count`` is.
    """
    kinds = list(KINDS)
    weights = np.array([KINDS[kind][2] for kind in kinds])
    shares = np.cumsum(weights / weights.sum())
    marks = (np.arange(count) + rng.random()) / max(count, 1)
    chosen = rng.permutation(np.searchsorted(shares, marks))
    return [SyntheticSound(kinds[index], int(rng.integers(2**31))) for index in chosen]
