"""Keys and the spelling of pitches in them."""

import pytest

from pipeline.artefacts.key import Key, estimate_key, spelled
from pipeline.notes import Instrument, Note

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
HARMONIC_MINOR = (0, 2, 3, 5, 7, 8, 11, 12)


def scale(tonic: int, steps: tuple[int, ...]) -> list[Instrument]:
    """Up the scale and home, the tonic and its fifth longer, as in tunes."""
    pitches = [60 + tonic + step for step in (*steps, 7, 0)]
    notes = (Note(pitch, at, at + (2.0 if pitch % 12 in (tonic, (tonic + 7) % 12) else 1.0), 0.7)
             for at, pitch in enumerate(pitches))  # fmt: skip
    return [Instrument("Voice Oohs", 53, False, "vocals", tuple(notes))]


@pytest.mark.parametrize(
    ("tonic", "fifths"),
    [(0, 0), (7, 1), (2, 2), (9, 3), (4, 4), (11, 5), (6, -6), (1, -5), (8, -4), (3, -3), (10, -2), (5, -1)],
)
def test_major_scales(tonic: int, fifths: int) -> None:
    assert estimate_key(scale(tonic, MAJOR_SCALE)) == Key(fifths, minor=False)


@pytest.mark.parametrize(("tonic", "fifths"), [(9, 0), (4, 1), (2, -1), (0, -3), (6, 3)])
def test_minor_scales(tonic: int, fifths: int) -> None:
    assert estimate_key(scale(tonic, HARMONIC_MINOR)) == Key(fifths, minor=True)


def test_all_twelve_tones_alike_have_no_key() -> None:
    assert estimate_key(scale(0, tuple(range(12)))[:0]) is None
    chromatic = tuple(Note(60 + step, step, step + 1.0, 0.5) for step in range(12))
    assert estimate_key([Instrument("Voice Oohs", 53, False, "vocals", chromatic)]) is None


def test_drums_have_no_key() -> None:
    (tune,) = scale(0, MAJOR_SCALE)
    assert estimate_key([Instrument("Drums", 0, True, "drums", tune.notes)]) is None


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


def test_signatures() -> None:
    assert Key(2, minor=False).signature() == {"F": 1, "C": 1, "G": 0, "D": 0, "A": 0, "E": 0, "B": 0}
    assert Key(-2, minor=True).signature() == {"F": 0, "C": 0, "G": 0, "D": 0, "A": 0, "E": -1, "B": -1}
