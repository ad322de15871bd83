"""How much of a stem several voices sing, by notes that are written here."""

import pytest

from pipeline.notes import Note
from pipeline.transcription.polyphony import several_voices, together


def notes(*spans: tuple[float, float], confidence: float = 0.9) -> list[Note]:
    return [Note(40 + index, start_s, end_s, 0.5, confidence) for index, (start_s, end_s) in enumerate(spans)]


@pytest.mark.parametrize(
    ("spans", "together_s", "sounding_s"),
    [
        ((), 0.0, 0.0),
        (((0.0, 1.05), (1.0, 2.05)), 0.0, 2.0),  # legato
        (((0.0, 1.05), (0.0, 1.05)), 1.0, 1.0),
        (((0.0, 4.05), (3.0, 4.05)), 1.0, 4.0),
        (((0.0, 1.05), (0.5, 1.05), (0.5, 1.05), (7.0, 7.55)), 0.5, 1.5),
        (((1.0, 1.02), (1.0, 1.02)), 0.0, 0.0),  # shorter than any legato
    ],
)
def test_for_how_long_several_notes_sound_and_any(spans, together_s: float, sounding_s: float) -> None:
    assert together(notes(*spans)) == pytest.approx((together_s, sounding_s), abs=0.011)


def test_notes_that_are_not_sure_sound_but_not_together() -> None:
    sounding = (1.0, 2.0)
    assert together(notes((0.0, 1.05)) + notes((0.0, 2.05), confidence=0.5)) == pytest.approx((0.0, 2.0), abs=0.011)
    assert together(notes((0.0, 1.05), (0.0, 1.05)) + notes((1.0, 2.05), confidence=0.5)) == pytest.approx(
        sounding, abs=0.011
    )


def test_a_bass_that_rings_on_is_one_voice_and_a_duet_is_two() -> None:
    assert not several_voices(notes((0.0, 1.0), (0.95, 2.0), (1.9, 3.0)))
    assert several_voices(notes((0.0, 3.0), (0.5, 2.0), (1.0, 3.0)))
    assert not several_voices([])


def test_two_notes_together_do_not_make_a_duet_of_a_long_line() -> None:
    chord, line = notes((0.0, 3.0), (0.0, 3.0)), [(float(start_s), start_s + 0.9) for start_s in range(3, 60)]
    assert not several_voices(chord + notes(*line))
    assert not several_voices(chord + notes(*line, confidence=0.5)), "unsure notes are a line too"
    assert not several_voices(notes((0.0, 0.5), (0.0, 0.5)) + notes((1.0, 1.5), confidence=0.5)), "half a second"
