"""What transcriptions of known notes score."""

import numpy as np
import pytest

from pipeline.instrument_families import FAMILIES
from pipeline.notes import Note
from pipeline.training.evaluate import distinct_notes, scored
from pipeline.transcription.note_reading import ReadNote

PIANO, BASS = FAMILIES.index("piano"), FAMILIES.index("bass")
SONG = (PIANO, BASS)
# A piano and a bass, a second each: part, start and end in s, pitch, velocity
TRUE = np.array([(i % 2, i, i + 0.5, 60 - 20 * (i % 2) + i, 40 + 5 * i) for i in range(12)], np.float32)


def heard(rows, families=SONG):
    """Those notes as if they had been read, played by the families of their parts."""
    likely = np.log(np.where(np.eye(len(FAMILIES)), 0.9, 0.01))
    return [
        ReadNote(Note(int(pitch), float(start), float(end), float(velocity) / 127), tuple(likely[families[int(part)]]))
        for part, start, end, pitch, velocity in rows
    ]


def moved(rows, column, by):
    """The same notes, but for the first."""
    rows = rows.copy()
    rows[0, column] += by
    return rows


def test_the_true_notes_score_one_everywhere():
    scores = scored(TRUE, heard(TRUE), SONG)
    assert scores == pytest.approx(
        dict.fromkeys(("onset F", "P", "R", "onset+offset F", "family", "velocity r"), 1.0), abs=1e-6
    )


@pytest.mark.parametrize(("late_s", "found"), [(0.04, 12), (0.06, 11), (-0.06, 11)])
def test_a_note_later_or_earlier_than_50_ms_is_no_match(late_s, found):
    scores = scored(TRUE, heard(moved(TRUE, 1, late_s)), SONG)
    assert [scores[name] for name in ("onset F", "P", "R", "onset+offset F")] == pytest.approx([found / 12] * 4)


@pytest.mark.parametrize(("longer_s", "found"), [(0.09, 12), (0.11, 11), (-0.11, 11)])
def test_a_wrong_end_lowers_only_what_ends_are_scored_by(longer_s, found):
    scores = scored(TRUE, heard(moved(TRUE, 2, longer_s)), SONG)
    assert [scores[name] for name in ("onset F", "P", "R", "family")] == [1, 1, 1, 1]
    assert scores["onset+offset F"] == pytest.approx(found / 12)


def test_a_wrong_key_is_no_match_and_too_many_notes_cost_precision():
    assert scored(TRUE, heard(moved(TRUE, 3, 1)), SONG)["onset F"] == pytest.approx(11 / 12)
    scores = scored(TRUE[:4], heard(TRUE[:8]), SONG)
    assert (scores["P"], scores["R"], scores["onset F"]) == pytest.approx((0.5, 1, 2 / 3))
    assert "velocity r" not in scores  # of so few notes


@pytest.mark.parametrize(("true", "found"), [(TRUE, TRUE[:0]), (TRUE[:0], TRUE)])
def test_nothing_heard_or_nothing_played_scores_nothing(true, found):
    assert scored(true, heard(found), SONG) == dict.fromkeys(("onset F", "P", "R", "onset+offset F"), 0.0)


def test_the_family_is_right_for_the_matched_notes_whose_player_it_names():
    # All of them a piano's: right for one part of two; the first does not count, its key is wrong
    rows = moved(TRUE, 3, 1)
    assert scored(TRUE, heard(rows, (PIANO, PIANO)), SONG)["family"] == pytest.approx(5 / 11)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_unisons_of_two_parts_are_one_note_of_the_louder_that_ends_with_the_later(order):
    soft, loud = (0, 1.0, 3.0, 60, 50), (1, 1.02, 2.0, 60, 90)
    rows = np.array([(soft, loud)[index] for index in order], np.float32)
    assert distinct_notes(rows) == pytest.approx(np.array([(1, 1.0, 3.0, 60, 90)], np.float32))
    assert scored(rows, heard([(1, 1.0, 3.0, 60, 90)]), SONG)["onset+offset F"] == 1
    assert scored(rows, heard([(1, 1.0, 3.0, 60, 90)]), SONG)["family"] == 1


@pytest.mark.parametrize("second", [(1, 1.04, 2.0, 60, 90), (1, 1.0, 2.0, 61, 90)])
def test_another_key_or_a_later_stroke_is_a_note_of_its_own(second):
    assert len(distinct_notes(np.array([(0, 1.0, 3.0, 60, 50), second], np.float32))) == 2
