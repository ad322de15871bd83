"""Keys, chords and time for made-up songs: what their parts have in common."""

from dataclasses import dataclass

import numpy as np

MODES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10),
    (0, 2, 3, 5, 7, 8, 11),
)
_MODE_SHARES = (0.38, 0.28, 0.14, 0.1, 0.1)
# Degrees of the scale, a chord each; some of everyday's progressions, the rest is drawn
_PROGRESSIONS = (
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (5, 3, 0, 4),
    (0, 3, 4, 4),
    (1, 4, 0, 0),
    (0, 6, 5, 4),
    (0, 3, 0, 4),
    (0, 2, 3, 4),
    (0, 0, 3, 0),
    (0, 6, 3, 0),
)
_SHAPES = ((0, 2, 4), (0, 2, 4, 6), (0, 4), (0, 3, 4), (0, 1, 4), (0, 2, 4, 8))
_SHAPE_SHARES = (0.55, 0.2, 0.08, 0.06, 0.05, 0.06)


@dataclass(frozen=True, slots=True)
class Chord:
    """One chord of a song.

    Attributes:
        start_s, end_s: how long it lasts.
        root: pitch class.
        classes: pitch classes, the root first.
    """

    start_s: float
    end_s: float
    root: int
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all parts of a song keep to.

    Attributes:
        beat_s: length of a beat.
        beats_per_bar: 3 or 4.
        swing: where the second half of a beat falls, .5 (straight) to .67.
        length_s: of the song.
        scale: the seven pitch classes of its key, from the tonic on.
        chords: gapless, from 0 on.
    """

    beat_s: float
    beats_per_bar: int
    swing: float
    length_s: float
    scale: tuple[int, ...]
    chords: tuple[Chord, ...]

    def at(self, beats: float) -> float:
        """The time of a position in beats, swung."""
        whole = int(beats)
        half = beats - whole
        swung = half * 2 * self.swing if half < 0.5 else self.swing + (half - 0.5) * 2 * (1 - self.swing)
        return (whole + swung) * self.beat_s

    @property
    def n_beats(self) -> int:
        """Whole beats in the song."""
        return int(self.length_s / self.beat_s)

    def chord_at(self, time_s: float) -> Chord:
        """The chord that sounds at a time."""
        return next((chord for chord in self.chords if time_s < chord.end_s - 1e-6), self.chords[-1])

    def near(self, pitch: int, classes: tuple[int, ...]) -> int:
        """The pitch of one of the classes that is nearest to ``pitch``."""
        return min(
            (pitch + step for step in range(-6, 7) if (pitch + step) % 12 in classes), key=lambda p: abs(p - pitch)
        )


def made_up_frame(rng: np.random.Generator, length_s: float) -> Frame:
    """A key, a tempo and a progression."""
    beat_s = 60 / float(np.exp(rng.uniform(np.log(62), np.log(185))))
    beats_per_bar = 3 if rng.random() < 0.15 else 4
    swing = float(rng.uniform(0.56, 0.67)) if rng.random() < 0.15 else 0.5
    tonic = int(rng.integers(12))
    mode = MODES[rng.choice(len(MODES), p=_MODE_SHARES)]
    scale = tuple((tonic + step) % 12 for step in mode)
    sections = [_progression(rng) for _ in range(2)]
    chord_beats = beats_per_bar * int(rng.choice([1, 1, 1, 2])) if rng.random() < 0.85 else max(beats_per_bar // 2, 1)
    chords: list[Chord] = []
    start_s, index = 0.0, 0
    while start_s < length_s:
        section = sections[(index // 8) % 2]
        degree, shape = section[index % len(section)]
        end_s = start_s + chord_beats * beat_s
        chords.append(Chord(start_s, end_s, scale[degree], tuple(scale[(degree + step) % 7] for step in shape)))
        start_s, index = end_s, index + 1
    return Frame(beat_s, beats_per_bar, swing, length_s, scale, tuple(chords))


def _progression(rng: np.random.Generator) -> list[tuple[int, tuple[int, ...]]]:
    degrees = (
        _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))] if rng.random() < 0.6 else tuple(rng.integers(0, 7, 4).tolist())
    )
    return [(degree, _SHAPES[rng.choice(len(_SHAPES), p=_SHAPE_SHARES)]) for degree in degrees]
