"""How pitches are spelled in a key."""

from dataclasses import dataclass

from pipeline.analysis.key import Key

_LINE = "FCGDAEB"  # steps on the line of fifths, F at -1
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True, slots=True)
class Spelling:
    """A pitch as it is written: step C-B, semitones up, octave (4 begins at middle C)."""

    step: str
    alter: int
    octave: int


def spelled(pitch: int, key: Key) -> Spelling:
    """Write a MIDI pitch with the step that is nearest to the key on the line of fifths."""
    lowest = key.fifths - (3 if key.minor else 5)  # minor keys raise their sixth and seventh steps
    on_line = lowest + (7 * pitch - lowest) % 12
    step, alter = _LINE[(on_line + 1) % 7], (on_line + 1) // 7
    return Spelling(step, alter, (pitch - alter - _NATURAL[step]) // 12 - 1)
