"""The spelling of pitches in keys."""

import pytest

from pipeline.analysis.key import Key
from pipeline.artefacts.spelling import spelled


@pytest.mark.parametrize(
    ("pitch", "key", "written"),
    [
        (60, Key(0, minor=False), ("C", 0, 4)),
        (66, Key(1, minor=False), ("F", 1, 4)),
        (66, Key(-5, minor=False), ("G", -1, 4)),
        (63, Key(-3, minor=True), ("E", -1, 4)),
        (68, Key(0, minor=True), ("G", 1, 4)),  # the leading note of a minor
        (71, Key(-6, minor=False), ("C", -1, 5)),  # an octave is counted from C, whatever alters it
        (60, Key(5, minor=True), ("B", 1, 3)),
        (0, Key(0, minor=False), ("C", 0, -1)),
    ],
)
def test_spelling(pitch: int, key: Key, written: tuple[str, int, int]) -> None:
    at = spelled(pitch, key)
    assert (at.step, at.alter, at.octave) == written


@pytest.mark.parametrize("fifths", range(-6, 6))
@pytest.mark.parametrize("minor", [False, True])
def test_every_pitch_is_spelled_as_itself(fifths: int, minor: bool) -> None:
    natural = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    for pitch in range(128):
        at = spelled(pitch, Key(fifths, minor))
        assert 12 * (at.octave + 1) + natural[at.step] + at.alter == pitch
        assert abs(at.alter) <= 2
