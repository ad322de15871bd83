"""The ruler's figures: against cases worked out by hand, and against mir_eval on whole songs."""

import math

import mir_eval
import numpy as np
import pytest

from quality.metrics import (
    DRUM_CLASSES,
    Notes,
    absent_stem_rates,
    instrument_share,
    mean_scores,
    note_array,
    score_drums,
    score_notes,
    score_song,
    without_unisons,
)

HAT, KICK, SNARE, COWBELL = 42, 36, 38, 56


def notes(*events: tuple[float, float, float]) -> Notes:
    """A note array of (onset, end, pitch), all of velocity 80."""
    return note_array((start_s, end_s, pitch, 80.0) for start_s, end_s, pitch in events)


def hits(key: int, *onsets_s: float) -> Notes:
    return notes(*((onset_s, onset_s + 0.1, key) for onset_s in onsets_s))


def made_up(seed: int, n_notes: int = 120) -> tuple[Notes, Notes]:
    """Notes of half a minute, and what a middling transcriber finds: some late, some wrong, some more, some missing."""
    random = np.random.default_rng(seed)
    starts_s = np.sort(random.uniform(0, 30, n_notes))
    true = np.column_stack(
        [starts_s, starts_s + random.uniform(0.05, 1, n_notes), random.integers(40, 80, n_notes), np.full(n_notes, 80)]
    )
    found = true[random.random(n_notes) < 0.8].copy()
    found[:, 0] += random.normal(0, 0.03, len(found))
    found[:, 1] = np.maximum(found[:, 1] + random.normal(0, 0.08, len(found)), found[:, 0] + 0.02)
    found[random.random(len(found)) < 0.1, 2] += 1
    invented = true[: n_notes // 5] + np.array((3.3, 3.3, 7, 0))
    return true, note_array(map(tuple, np.vstack([found, invented])))


def test_notes_are_counted_as_by_hand():
    true = notes((0.0, 1.0, 60), (1.0, 2.0, 62), (2.0, 3.0, 64), (3.0, 4.0, 65))
    found = notes(
        (0.05, 1.19, 60),  # 50 ms late and 19 % too long: still both
        (1.0, 2.25, 62),  # the end is wrong
        (2.0, 3.0, 65),  # the pitch is wrong
        (3.06, 4.0, 65),  # too late
        (3.5, 3.6, 70),  # not there at all
    )
    assert score_notes(true, found) == pytest.approx(
        {
            "true": 4,
            "found": 5,
            "onset_precision": 2 / 5,
            "onset_recall": 2 / 4,
            "onset_f": 4 / 9,
            "onset_offset_f": 2 / 9,
        }
    )


def test_short_notes_may_end_50_ms_off():
    scores = score_notes(notes((0.0, 0.1, 60)), notes((0.0, 0.149, 60)))
    assert scores["onset_offset_f"] == 1.0


def test_pitches_may_lie_between_the_keys():
    assert score_notes(notes((0.0, 1.0, 60)), notes((0.0, 1.0, 60.49)))["onset_f"] == 1.0
    assert score_notes(notes((0.0, 1.0, 60)), notes((0.0, 1.0, 60.51)))["onset_f"] == 0.0


def test_one_note_is_found_once():
    scores = score_notes(notes((0.0, 1.0, 60)), notes((0.0, 0.5, 60), (0.02, 1.0, 60)))
    assert (scores["onset_precision"], scores["onset_recall"]) == (0.5, 1.0)


def test_matching_is_the_largest_not_greedy():
    # The first true note's nearest is the only one that the second can have.
    scores = score_notes(notes((0.0, 1.0, 60), (0.06, 1.0, 60)), notes((0.02, 1.0, 60), (-0.04, 1.0, 60)))
    assert scores["onset_f"] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_whole_songs_score_as_with_mir_eval(seed):
    true, found = made_up(seed)
    scores = score_notes(true, found)
    sides = [value for side in (true, found) for value in (side[:, :2], mir_eval.util.midi_to_hz(side[:, 2]))]
    onset = mir_eval.transcription.precision_recall_f1_overlap(*sides, offset_ratio=None)
    both = mir_eval.transcription.precision_recall_f1_overlap(*sides, offset_ratio=0.2, offset_min_tolerance=0.05)
    assert 0.4 < scores["onset_f"] < 0.9
    assert (scores["onset_precision"], scores["onset_recall"], scores["onset_f"]) == pytest.approx(onset[:3])
    assert scores["onset_offset_f"] == pytest.approx(both[2])


@pytest.mark.parametrize("seed", range(4))
def test_drum_classes_score_as_onsets_with_mir_eval(seed):
    true, found = made_up(seed)
    keys = np.array([key for keys in DRUM_CLASSES.values() for key in keys])
    for side in (true, found):
        side[:, 2] = keys[side[:, 2].astype(int) % len(keys)]
    scores = score_drums(true, found)
    for name, of_class in DRUM_CLASSES.items():
        onsets = [side[np.isin(side[:, 2], of_class), 0] for side in (true, found)]
        apart = [times[np.diff(times, prepend=-1) > 0.02] for times in onsets]
        assert scores[name] == pytest.approx(mir_eval.onset.f_measure(*apart, window=0.05)[0])


def test_a_stem_in_which_nothing_was_found_counts_and_one_without_notes_does_not():
    nothing = note_array([])
    assert score_notes(notes((0.0, 1.0, 60)), nothing)["onset_f"] == 0.0
    assert score_drums(hits(KICK, 0.0, 1.0, 2.0), nothing)["five"] == 0.0
    assert score_notes(nothing, notes((0.0, 1.0, 60))) == {}
    assert score_drums(hits(COWBELL, 0.0), hits(KICK, 0.0)) == {}


def test_velocities_are_correlated_over_ten_matched_notes():
    loud = [(float(i), i + 0.5, 60.0, 40.0 + 5 * i) for i in range(10)]
    softer = [(start_s, end_s, pitch, velocity / 2) for start_s, end_s, pitch, velocity in loud]
    reverse = [(start_s, end_s, pitch, 127 - velocity) for start_s, end_s, pitch, velocity in loud]
    assert score_notes(note_array(loud), note_array(softer))["velocity_r"] == pytest.approx(1.0)
    assert score_notes(note_array(loud), note_array(reverse))["velocity_r"] == pytest.approx(-1.0)
    assert "velocity_r" not in score_notes(note_array(loud[:9]), note_array(loud))
    assert "velocity_r" not in score_notes(note_array(loud), note_array(loud), velocities=False)
    assert "velocity_r" not in score_notes(notes(*(n[:3] for n in loud)), note_array(loud))


def test_unisons_are_one_note_the_longest_and_loudest():
    both = note_array([(1.0, 1.4, 60, 70), (1.029, 1.6, 60, 90), (1.02, 1.3, 67, 50), (1.031, 2.0, 60, 99)])
    assert without_unisons(both).tolist() == [[1.0, 1.6, 60, 90], [1.02, 1.3, 67, 50], [1.031, 2.0, 60, 99]]


def test_unisons_of_two_stems_are_found_by_one_note():
    unison = notes((0.0, 1.0, 60), (1.0, 2.0, 62))
    scores = score_song({"guitar": unison, "piano": unison}, {"other": unison}, annotated=("guitar", "piano"))
    assert scores["harmonic"]["onset_f"] == scores["all pitched"]["onset_f"] == 1.0
    assert scores["guitar"]["onset_f"] == 0.0
    assert "other" not in scores


def test_drum_hits_are_counted_by_class():
    true = np.concatenate([hits(KICK, 0.0, 1.0, 2.0, 2.015), hits(SNARE, 0.5, 1.5), hits(COWBELL, 0.7)])
    found = np.concatenate([hits(35, 0.04, 1.06), hits(SNARE, 0.5, 1.5), hits(HAT, 0.25)])
    scores = score_drums(note_array(map(tuple, true)), note_array(map(tuple, found)))
    # Three kicks, since two coincide; one of the two found lies within 50 ms.  Two snares are too few for an F.
    assert scores["kick"] == scores["five_mean"] == pytest.approx(2 / 5)
    assert not scores.keys() & {"snare", "hi-hat", "toms", "cymbals"}
    assert scores["five"] == pytest.approx(2 * 3 / (5 + 5))
    assert (scores["true"], scores["found"]) == (6, 5)
    assert scores["any"] == pytest.approx(2 * 3 / (5 + 5))


def test_of_a_song_annotated_in_part_only_that_part_is_scored():
    played = notes((0.0, 1.0, 40), (1.0, 2.0, 43))
    found = {"bass": played, "other": played, "drums": hits(KICK, 0.0)}
    scores = score_song({"bass": played}, found, annotated=("bass",), complete=False)
    assert scores.keys() == {"bass"}
    assert score_song({"bass": played}, found, annotated=("bass",))["all pitched"]["onset_precision"] == 1.0


def test_notes_in_absent_stems_are_counted_per_10_s():
    true = {"bass": hits(40, 0.0), "guitar": hits(60, 0.0)}
    found = {"bass": hits(40, 0.0), "vocals": hits(60, 1.0, 2.0, 3.0), "other": hits(60, 0.0)}
    rates = absent_stem_rates(true, found, listened=("drums", "bass", "other", "vocals"), duration_s=20.0)
    assert rates == {"drums": 0.0, "vocals": 1.5}
    alone = absent_stem_rates(true, found, listened=("bass", "guitar", "other"), duration_s=10.0)
    assert alone == {"other": 1.0}


def test_means_weigh_songs_not_notes():
    mean = mean_scores([{"true": 10, "onset_f": 1.0}, {"true": 1000, "onset_f": 0.5, "velocity_r": 0.3}])
    assert mean == {"songs": 2, "true": 1010, "onset_f": 0.75, "velocity_r": 0.3}


def test_note_arrays_are_sorted_and_no_note_is_empty():
    array = note_array([(2.0, 1.0, 60, 1), (1.0, 1.5, 61, 2)])
    assert array[:, 2].tolist() == [61, 60]
    assert math.isclose(array[1, 1], 2.01)


def test_the_instrument_of_a_note_is_right_if_one_of_its_family_plays_it():
    true = {
        "piano": notes((0.0, 1.0, 60), (1.0, 2.0, 62), (2.0, 3.0, 64)),
        "strings": notes((0.01, 1.0, 60), (3.0, 4.0, 65), (4.0, 5.0, 67)),
    }
    found = {
        "strings": notes((0.02, 1.0, 60), (1.0, 2.0, 62), (3.0, 4.0, 65)),  # right: the strings double the piano
        "piano": notes((2.0, 3.0, 64), (6.0, 7.0, 70)),  # the second is nobody's, and does not count
    }
    assert instrument_share(true, found) == {"family": 3 / 4}
    assert instrument_share(true, {"piano": notes((8.0, 9.0, 60))}) == {}
