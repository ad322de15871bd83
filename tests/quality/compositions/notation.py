"""A song as a person writes it down: phrases, drum steps, a tempo map; beats are the metre's own (a dotted quarter in
6/8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from quality.song_rendering import Event, Part

ACCENT = 16
DETACHED = 0.92  # of a note's length until the next one, where a phrase says nothing else
_STEP_VELOCITIES = {"X": 112, "x": 92, "o": 66, ".": 0}
_TONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class TempoMap:
    """When beats come.

    Attributes:
        start_s: the time of beat 0.
        tempos: (beat, beats per minute from there on), the first at beat 0.
    """

    start_s: float
    tempos: tuple[tuple[float, float], ...]

    def at_s(self, beat: float) -> float:
        """The time of a beat, which may be a fraction, in seconds."""
        time_s = self.start_s
        for (first, bpm), (after, _) in pairwise((*self.tempos, (float("inf"), 0.0))):
            time_s += (min(beat, after) - first) * 60 / bpm
            if beat <= after:
                break
        return time_s


@dataclass(frozen=True)
class Composition:
    """A song: its parts, and what is true of them beside the notes.

    Attributes:
        name: of its folder.
        metre: time signature.
        beats_per_bar: how many of the beats that ``tempo`` counts.
        beat_unit: what a beat is written as.
        key: tonic and mode.
        n_bars: after which only the last chord rings.
        duration_s: with that ring.
        seed: of the players' deviations.
    """

    name: str
    title: str
    style: str
    tempo: TempoMap
    metre: str
    beats_per_bar: int
    beat_unit: str
    key: str
    n_bars: int
    duration_s: float
    seed: int
    parts: tuple[Part, ...]


def pitch(name: str) -> int:
    """MIDI number of a note like ``F#3`` or ``Bb2``; ``C4`` is 60."""
    letter, accidental, octave = re.fullmatch(r"([A-G])([#b]?)(-?\d)", name).groups()  # type: ignore[union-attr]
    return _TONES[letter] + {"#": 1, "b": -1, "": 0}[accidental] + 12 * (int(octave) + 1)


def phrase(beat: float, text: str, velocity: int, length: float = DETACHED, unit: float = 1.0) -> list[Event]:
    """Notes one after another from a beat on.

    Args:
        beat: where the first one starts.
        text: like ``E4/1 G4+B4/.5 r/.5 A4!/1``: pitches, joined by + to chords, each with its length in units; ``r`` is
            a rest, ``!`` an accent.
        velocity: of a note without accent.
        length: share of its length for which a key is down.
        unit: beats that a length of 1 is.
    """
    events = []
    for word in text.split():
        pitches, lasting = word.split("/")
        beats = float(lasting) * unit
        if pitches != "r":
            loud = velocity + ACCENT * pitches.endswith("!")
            events += [Event(beat, beats * length, pitch(p), loud) for p in pitches.rstrip("!").split("+")]
        beat += beats
    return events


def steps(beat: float, step: float, lines: Mapping[int, str], level: int = 0) -> list[Event]:
    """Drums: for each key a line of steps, ``X`` loud, ``x`` normal, ``o`` soft; spaces are for the eye.

    Args:
        beat: of the first step.
        step: length of a step in beats.
        lines: a line by General MIDI percussion key.
        level: added to every velocity.
    """
    return [
        Event(beat + index * step, step / 2, key, _STEP_VELOCITIES[mark] + level)
        for key, line in lines.items()
        for index, mark in enumerate(line.replace(" ", ""))
        if _STEP_VELOCITIES[mark]
    ]
