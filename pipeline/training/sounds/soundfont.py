"""The melodic programs of General MIDI soundfonts, played by FluidSynth."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.instrument_families import family_of_program
from pipeline.training.errors import TrainingError
from pipeline.training.sounds.base import END_LEVEL, ONSET_LEVEL, RATE_HZ, Performance, Played

try:
    import fluidsynth
except ImportError as error:  # the package, or FluidSynth's library on the system
    raise TrainingError(f"soundfonts need FluidSynth ({error}): RECIPE.md says what to install") from error

# Sound effects, unpitched percussion and hits: no pitch that could be written down.
UNPITCHED = frozenset({47, 55, 97, 99, 101, 102, 103, 113, *range(115, 128)})
# Those of FluidR3 and MuseScore General that sound octaves away from their keys: harmonics, feedback, a bell, a pad.
_ELSEWHERE = frozenset({(0, 31), (8, 14), (8, 30), (8, 31), (8, 48)})
_HELD_PROGRAMS = frozenset({*range(16, 24), 38, 39, *range(40, 45), *range(48, 55), *range(56, 97), 100, 109, 110, 111})
_KEYS = {
    "piano": (28, 100),
    "mallets": (48, 96),
    "organ": (36, 96),
    "guitar": (40, 84),
    "distorted guitar": (40, 81),
    "bass": (25, 60),
    "strings": (36, 96),
    "voice": (43, 81),
    "brass": (36, 84),
    "reeds and pipes": (43, 96),
    "synth lead": (36, 91),
    "synth pad": (36, 88),
}
_GAIN = 0.35  # a dozen loud notes stay below full scale
_VOLUME = 7  # controllers of General MIDI
_VIBRATO = 1
_PEDAL_OFF = 64
_KEYS_MEASURED_AT_ONCE = 4
_LONGEST_S = 5.0
_ATTACK_S = 0.5
_BLOCK = 64  # samples; FluidSynth's own grain in time
_MOST_DETUNED_CENTS = 8.0
_BEND_PER_CENT = 8192 / 200
_BANKS = 128  # the drums of General MIDI are above
_BREATHED = " Expr."  # loud by a controller instead of by velocity: MuseScore General's second copies

Preset = tuple[int, int]  # bank, program


class Soundfont:
    """A soundfont in memory, shared by its sounds; for one thread."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._synth = fluidsynth.Synth(
            gain=_GAIN, samplerate=float(RATE_HZ), **{"synth.reverb.active": 0, "synth.chorus.active": 0}
        )
        self._id = self._synth.sfload(str(path))
        if self._id < 0:
            raise ValueError(f"{path}: not a soundfont that FluidSynth can read")
        self._measured: dict[tuple[Preset, int], tuple[float, float]] = {}

    def sounds(self) -> list["SoundfontSound"]:
        """The programs that have a pitch, of all banks: those above 0 are variations, of the same families."""
        return [
            SoundfontSound(self, bank, program)
            for bank in range(_BANKS)
            for program in range(128)
            if program not in UNPITCHED and (bank, program) not in _ELSEWHERE and self._has(bank, program)
        ]

    def _has(self, bank: int, program: int) -> bool:
        name = self._synth.sfpreset_name(self._id, bank, program)
        return name is not None and not name.endswith(_BREATHED)

    def play(
        self, preset: Preset, events: list[tuple[float, int, int]], length_s: float, vibrato: int, cents: float
    ) -> NDArray[np.float32]:
        """Events are (time in s, pitch, velocity; 0 lets the key go), in the order of time; float32 mono."""
        synth = self._synth
        # A reset lets held keys go, and what they were playing would ring into these notes
        synth.all_sounds_off(0)
        synth.get_samples(_BLOCK)
        synth.system_reset()
        synth.program_select(0, self._id, *preset)
        synth.cc(0, _PEDAL_OFF, 0)
        synth.cc(0, _VOLUME, 100)
        synth.cc(0, _VIBRATO, vibrato)
        synth.pitch_bend(0, round(cents * _BEND_PER_CENT))
        n_samples = round(length_s * RATE_HZ)
        # Whole blocks: what is left of one would come first the next time
        n_rendered = -(-n_samples // _BLOCK) * _BLOCK
        blocks, done = [], 0
        for time_s, pitch, velocity in [*events, (n_rendered / RATE_HZ, 0, 0)]:
            until = min(n_rendered, max(done, round(time_s * RATE_HZ / _BLOCK) * _BLOCK))
            if until > done:
                blocks.append(synth.get_samples(until - done).reshape(-1, 2).mean(axis=1))
                done = until
            if velocity:
                synth.noteon(0, pitch, velocity)
            elif pitch:
                synth.noteoff(0, pitch)
        return np.asarray(np.concatenate(blocks)[:n_samples] / 32768, dtype=np.float32)

    def measured(self, preset: Preset, pitch: int) -> tuple[float, float]:
        """From the key to the audible onset, and to the moment that a held note has died away (or infinity), in s."""
        at = (preset, pitch // _KEYS_MEASURED_AT_ONCE)
        if at not in self._measured:
            key = at[1] * _KEYS_MEASURED_AT_ONCE + 1
            self._measured[at] = onset_and_decay(self.play(preset, [(0.0, key, 100)], _LONGEST_S, 0, 0.0))
        return self._measured[at]


def onset_and_decay(note: NDArray[np.float32]) -> tuple[float, float]:
    """When a note that starts at 0 and is held throughout is heard to begin, and to have died away, in s.

    The second is infinite for one that has not.  A silent one begins at once and never ends.
    """
    blocks = np.abs(note[: len(note) // _BLOCK * _BLOCK]).reshape(-1, _BLOCK).max(axis=1)
    attack = blocks[: round(_ATTACK_S * RATE_HZ / _BLOCK)].max()
    if attack == 0:
        return 0.0, math.inf
    first = int(np.argmax(blocks >= ONSET_LEVEL * attack))
    loud = np.flatnonzero(blocks >= END_LEVEL * blocks.max())
    last = int(loud[-1]) + 1
    return first * _BLOCK / RATE_HZ, last * _BLOCK / RATE_HZ if last < len(blocks) * 0.98 else math.inf


class SoundfontSound:
    """One program of a soundfont's bank."""

    def __init__(self, soundfont: Soundfont, bank: int, program: int) -> None:
        self._soundfont = soundfont
        self._preset = bank, program
        self.name = f"{soundfont.name}:{bank:03}:{program:03}" if bank else f"{soundfont.name}:{program:03}"
        self.family = family_of_program(program)
        self.keys = _KEYS[self.family]
        self.held = program in _HELD_PROGRAMS

    def play(self, notes: Sequence[Played], length_s: float, rng: np.random.Generator) -> Performance:
        """See :class:`pipeline.training.sounds.base.Sound`."""
        vibrato = int(rng.choice([0, 0, 20, 50])) if self.held else 0
        cents = float(rng.uniform(-_MOST_DETUNED_CENTS, _MOST_DETUNED_CENTS))
        events: list[tuple[float, int, int, int]] = []
        ends_s = [0.0] * len(notes)
        again_s: dict[int, float] = {}  # when a key is pressed next: letting it go silences all strokes of it
        for index in sorted(range(len(notes)), key=lambda index: -notes[index].start_s):
            note = notes[index]
            latency_s, dies_s = self._soundfont.measured(self._preset, note.pitch)
            pressed_s = max(0.0, note.start_s - latency_s)
            let_go_s = min(max(note.end_s, pressed_s + 0.02), again_s.get(note.pitch, math.inf) - _BLOCK / RATE_HZ)
            again_s[note.pitch] = pressed_s
            events.append((pressed_s, 1, note.pitch, note.velocity))
            events.append((let_go_s, 0, note.pitch, 0))
            ends_s[index] = min(note.end_s, max(pressed_s + dies_s, note.start_s + 0.05), max(let_go_s, note.start_s))
        events.sort()
        keys = [(time_s, pitch, velocity) for time_s, _, pitch, velocity in events]
        return Performance(self._soundfont.play(self._preset, keys, length_s, vibrato, cents), tuple(ends_s))
