"""Keys: their names, and how they are heard."""

import numpy as np
import pytest

from pipeline.analysis.key import Key, KeySpan, estimate_key, estimate_keys
from pipeline.notes import Instrument, Note

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
# Steps of the scale on which triads stand, two seconds each.
CADENCES = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4), (0, 4, 5, 3))


def song(tonic: int, *, minor: bool, rounds: int = 3, start_s: float = 0.0, confidence: float = 1.0) -> list[Note]:
    """Triads with their root in the bass, minor ones with a major dominant, ending on the tonic."""
    scale = MINOR if minor else MAJOR
    notes = []
    chords = [step for line in CADENCES * rounds for step in line] + [0]
    for index, step in enumerate(chords):
        at = start_s + 2.0 * index
        tones = [scale[(step + third) % 7] + (minor and step == 4 and third == 2) for third in (0, 2, 4)]
        pitches = [36 + (tonic + tones[0]) % 12, *(60 + (tonic + tone) % 12 for tone in tones)]
        notes += [Note(pitch, at + beat, at + beat + 0.9, 0.7, confidence) for pitch in pitches for beat in (0.0, 1.0)]
    return sorted(notes, key=lambda note: (note.start_s, note.pitch))


def played(*parts: list[Note]) -> list[Instrument]:
    return [Instrument("Electric Piano 1", 4, False, "other", tuple(part)) for part in parts]


def random_notes(count: int, seed: int) -> list[Note]:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, count / 5, count))
    return [Note(int(rng.integers(36, 90)), float(at), float(at) + 0.3, 0.5) for at in starts]


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("minor", [False, True])
def test_songs_in_every_key(tonic: int, minor: bool) -> None:
    told = estimate_key(played(song(tonic, minor=minor)))
    assert told is not None
    assert told.key == Key.on(tonic, minor=minor)
    assert told.confidence > 0.7
    assert (told.start_s, told.end_s) == pytest.approx((0.0, 98.0), abs=1.0)


def test_names() -> None:
    names = [Key.on(tonic, minor=False).name for tonic in range(12)]
    assert names == [f"{tonic} major" for tonic in ["C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"]]
    names = [Key.on(tonic, minor=True).name for tonic in range(12)]
    assert names == [f"{tonic} minor" for tonic in ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"]]


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("minor", [False, True])
def test_a_key_knows_its_tonic(tonic: int, minor: bool) -> None:
    key = Key.on(tonic, minor=minor)
    assert key.tonic == tonic
    assert -6 <= key.fifths <= 5


def test_signatures() -> None:
    assert Key(2, minor=False).signature() == {"F": 1, "C": 1, "G": 0, "D": 0, "A": 0, "E": 0, "B": 0}
    assert Key(-2, minor=True).signature() == {"F": 0, "C": 0, "G": 0, "D": 0, "A": 0, "E": -1, "B": -1}


def test_nothing_three_tones_and_drums_have_no_key() -> None:
    tune = song(0, minor=False)
    assert estimate_keys([]) == ()
    assert estimate_keys([Instrument("Drums", 0, True, "drums", tuple(tune))]) == ()
    assert estimate_keys(played([note for note in tune if note.pitch % 12 in (0, 4, 7)])) == ()


def test_all_twelve_tones_alike_have_no_key() -> None:
    assert estimate_key(played([Note(60 + at % 12, at, at + 1.0, 0.5) for at in range(96)])) is None


@pytest.mark.parametrize("count", [100, 400, 1600])
def test_random_notes_have_no_key(count: int) -> None:
    told = [estimate_key(played(random_notes(count, seed))) for seed in range(20)]
    assert sum(one is not None for one in told) <= 1


def test_a_few_wrong_notes_do_not_matter_and_lower_the_confidence() -> None:
    tune = song(9, minor=True)
    clean, noisy = estimate_key(played(tune)), estimate_key(played(tune, random_notes(120, 0)))
    assert clean is not None
    assert noisy is not None
    assert clean.key == noisy.key == Key(0, minor=True)
    assert noisy.confidence < clean.confidence


def test_unsure_notes_count_less() -> None:
    tune, doubt = song(2, minor=False), song(8, minor=False, confidence=0.05)
    told = estimate_key(played(tune, doubt))
    assert told is not None
    assert told.key.name == "D major"


@pytest.mark.parametrize("up", [1, 2, 3, 4])
@pytest.mark.parametrize("minor", [False, True])
def test_a_song_that_goes_up(up: int, minor: bool) -> None:
    spans = estimate_keys(played(song(7, minor=minor) + song(7 + up, minor=minor, start_s=98.0)))
    assert [span.key for span in spans] == [Key.on(7, minor=minor), Key.on((7 + up) % 12, minor=minor)]
    first, second = spans
    assert (first.start_s, first.end_s) == (0.0, second.start_s)
    assert second.start_s == pytest.approx(98.0, abs=4.0)
    assert second.end_s == pytest.approx(196.0, abs=1.0)
    assert all(span.confidence > 0.5 for span in spans)


def test_a_bridge_in_the_relative_key_is_no_change() -> None:
    parts = song(0, minor=False) + song(9, minor=True, rounds=1, start_s=98.0) + song(0, minor=False, start_s=132.0)
    (span,) = estimate_keys(played(parts))
    assert span.key.fifths == 0


def test_the_main_key_is_the_one_that_lasts() -> None:
    parts = song(0, minor=False) + song(2, minor=False, rounds=1, start_s=98.0)
    main = estimate_key(played(parts))
    assert main is not None
    assert main.key.name == "C major"


def test_the_same_notes_give_the_same_spans() -> None:
    def spans() -> tuple[KeySpan, ...]:
        return estimate_keys(played(song(5, minor=True), random_notes(60, 1)))

    assert spans() == spans()
