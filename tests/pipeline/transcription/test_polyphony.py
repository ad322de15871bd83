"""How much of a stem several voices sing, by notes that are written here."""

import pytest

from pipeline.notes import Note
from pipeline.transcription.polyphony import several_voices, together


def notes(*spans: tuple[float, float], confidence: float = 0.9) -> list[Note]:
    return [Note(40 + index, start_s, end_s, 0.5, confidence) for index, (start_s, end_s) in enumerate(spans)]


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ((), 0.0),
        (((0.0, 1.0), (1.0, 2.0)), 0.0),
        (((0.0, 1.04), (1.0, 2.0)), 0.0),  # legato
        (((0.0, 1.05), (0.0, 1.05)), 1.0),
        (((0.0, 4.05), (3.0, 4.05)), 0.25),
        (((0.0, 1.05), (0.5, 1.05), (0.5, 1.05), (7.0, 7.55)), 1 / 3),
        (((1.0, 1.02), (1.0, 1.02)), 0.0),  # shorter than any legato
    ],
)
def test_the_share_of_the_time_in_which_several_sound(spans, share: float) -> None:
    assert together(notes(*spans)) == pytest.approx(share, abs=0.01)


def test_notes_that_are_not_sure_are_not_counted() -> None:
    assert together(notes((0.0, 1.0)) + notes((0.0, 1.0), confidence=0.5)) == 0.0
    assert together(notes((0.0, 1.0), confidence=0.5)) == 0.0


def test_a_bass_that_rings_on_is_one_voice_and_a_duet_is_two() -> None:
    assert not several_voices(notes((0.0, 1.0), (0.95, 2.0), (1.9, 3.0)))
    assert several_voices(notes((0.0, 1.0), (0.5, 2.0), (1.0, 3.0)))
    assert not several_voices([])
