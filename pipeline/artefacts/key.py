"""The key of a song, and how its pitches are spelled."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.notes import Instrument

# C. Krumhansl and E. Kessler's probe-tone ratings, from the tonic on (Cognitive Foundations of Musical Pitch, 1990).
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
# A key is told when it fits at least this well, and by this much better than any with another signature.  Songs reach
# .7-.95 and .05-.4; of 120 random note lists (60-540 notes) one in seven passed, most of them short.
_FIT = 0.7
_LEAD = 0.04
_LINE = "FCGDAEB"  # steps on the line of fifths, F at -1
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True, slots=True)
class Key:
    """A key signature and a mode.

    Attributes:
        fifths: sharps of the signature, flats if negative; -6 to 5.
        minor: whether the tonic is the signature's minor one.
    """

    fifths: int
    minor: bool

    def signature(self) -> dict[str, int]:
        """What the signature does to each step: semitones up."""
        sharps = dict.fromkeys(_LINE[: max(self.fifths, 0)], 1)
        flats = dict.fromkeys(_LINE[::-1][: max(-self.fifths, 0)], -1)
        return {step: sharps.get(step, flats.get(step, 0)) for step in _LINE}


@dataclass(frozen=True, slots=True)
class Spelling:
    """A pitch as it is written: step C-B, semitones up, octave (4 begins at middle C)."""

    step: str
    alter: int
    octave: int


def estimate_key(instruments: Iterable[Instrument]) -> Key | None:
    """The key whose profile fits how long each pitch class sounds (Krumhansl and Schmuckler); None when none fits well.

    Drums do not count.
    """
    heard = np.zeros(12)
    for instrument in instruments:
        if not instrument.is_drum:
            for note in instrument.notes:
                heard[note.pitch % 12] += note.end_s - note.start_s
    if np.count_nonzero(heard) < 3 or heard.std() == 0:
        return None
    fits: dict[Key, float] = {}
    for tonic in range(12):
        for profile, minor in ((_MAJOR, False), (_MINOR, True)):
            key = Key((7 * (tonic + 3 * minor) + 6) % 12 - 6, minor)
            fits[key] = float(np.corrcoef(np.roll(profile, tonic), heard)[0, 1])
    best = max(fits, key=lambda key: fits[key])
    others = max(fit for key, fit in fits.items() if key.fifths != best.fifths)
    return best if fits[best] >= _FIT and fits[best] - others >= _LEAD else None


def spelled(pitch: int, key: Key) -> Spelling:
    """Write a MIDI pitch with the step that is nearest to the key on the line of fifths."""
    lowest = key.fifths - (3 if key.minor else 5)  # minor keys raise their sixth and seventh steps
    on_line = lowest + (7 * pitch - lowest) % 12
    step, alter = _LINE[(on_line + 1) % 7], (on_line + 1) // 7
    return Spelling(step, alter, (pitch - alter - _NATURAL[step]) // 12 - 1)
