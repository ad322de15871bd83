"""Notes out of evidence that is made up, so that it is known what they must be."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.instrument_families import FAMILIES
from pipeline.notes import BENDS_PER_S
from pipeline.transcription.note_listening import NoteEvidence
from pipeline.transcription.note_network import FRAME_S, STEP_S
from pipeline.transcription.note_reading import ReadingSettings, onset_evidence, onset_peaks, read_notes

COLUMN = 39  # of MIDI 60
FRAMES = range(400)
HILL = (7.0, 4.0, 1.5, 0.0, 1.5, 4.0, 7.0)  # how onset logits fall to both sides, more or less


def silence(frames: range = FRAMES) -> NoteEvidence:
    return NoteEvidence.of_silence(frames)


def play(evidence: NoteEvidence, step: int, stop: int, column: int = COLUMN, sure: float = 3.0) -> None:
    """A key that is struck at a step and held to before another."""
    for away, fall in enumerate(HILL, start=-3):
        if 0 <= step + away < len(evidence.onset):
            evidence.onset[step + away, column] = sure - fall
    evidence.sounding[step:stop, column] = 3.0


def played(*notes: tuple[int, int]) -> NoteEvidence:
    evidence = silence()
    for step, stop in notes:
        play(evidence, step, stop)
    return evidence


def test_a_key_that_is_struck_and_let_go_is_a_note() -> None:
    evidence = played((100, 200))
    evidence.velocity[49:52, COLUMN] = (0.6, 0.75, 0.9)  # said three times, and believed on the whole
    (read,) = read_notes(evidence)
    assert read.note.pitch == 60
    assert read.note.start_s == pytest.approx(100 * STEP_S)
    assert read.note.end_s == pytest.approx(200 * STEP_S)
    assert read.note.velocity == pytest.approx(0.75)
    hill = 3 - sum(HILL) / 7
    assert read.note.confidence == pytest.approx(1 / (1 + np.exp(-(0.67 + 0.8 * 3 + 0.57 * hill))))


def test_what_is_said_of_notes_at_either_end_of_the_evidence_counts_for_them() -> None:
    evidence = played((1, 50), (796, 799))
    evidence.velocity[[0, 1, 398, 399], COLUMN] = (0.3, 0.6, 0.6, 0.3)
    velocities = [read.note.velocity for read in read_notes(evidence)]
    assert velocities == pytest.approx([0.4, 0.3])


def test_an_onset_lies_between_steps_where_its_neighbours_say_so() -> None:
    early, late = played((100, 200)), played((100, 200))
    early.onset[99, COLUMN] = 2.5
    late.onset[101, COLUMN] = 2.5
    (before,), (after,) = read_notes(early), read_notes(late)
    assert 99.5 * STEP_S <= before.note.start_s < 99.9 * STEP_S
    assert 100.1 * STEP_S < after.note.start_s <= 100.5 * STEP_S


def test_only_the_likeliest_of_neighbouring_onsets_is_one_and_of_equals_the_first() -> None:
    evidence = silence()
    evidence.onset[:, COLUMN] = -2.0
    for step, sure in [(100, 2.0), (103, 3.0), (105, 2.9), (200, 3.0), (201, 3.0), (300, 3.0), (304, 3.0)]:
        evidence.onset[step, COLUMN] = sure
    steps = [round(read.note.start_s / STEP_S) for read in read_notes(evidence)]
    assert steps == [103, 200, 300, 304]


def test_what_is_unlikely_is_no_note() -> None:
    evidence = played((100, 200))
    likely = read_notes(evidence)[0].note.confidence
    assert len(read_notes(evidence, ReadingSettings(least_onset=likely - 0.01))) == 1
    assert read_notes(evidence, ReadingSettings(least_onset=likely + 0.01)) == []


def test_a_steep_hill_is_less_of_an_onset_than_a_gentle_one() -> None:
    gentle, steep = played((100, 200)), played((100, 200))
    steep.onset[[97, 98, 102, 103], COLUMN] = -8.0
    (sure,), (less_sure,) = read_notes(gentle), read_notes(steep)
    assert less_sure.note.confidence < sure.note.confidence - 0.2


@pytest.mark.parametrize("step", [0, 1, 2, 3, 400, 796, 797, 798, 799])
def test_an_onset_is_as_sure_at_either_end_as_anywhere(step: int) -> None:
    evidence = silence()
    play(evidence, step, step + 20, sure=1.0)
    steps, columns = onset_peaks(evidence.onset, 3)
    peak, hill = onset_evidence(evidence.onset, steps, columns)
    assert (steps, columns) == ([step], [COLUMN])
    assert (peak[0], hill[0]) == pytest.approx((1.0, 1.0 - sum(HILL) / 7))


def test_what_speaks_for_an_onset_has_limits() -> None:
    onset = np.full((20, 88), -20.0, np.float32)
    onset[9:12, COLUMN] = 10.0
    peak, hill = onset_evidence(onset, np.array([10]), np.array([COLUMN]))
    assert (peak[0], hill[0]) == pytest.approx((6.0, (3 * 4.0 - 4 * 8.0) / 7))


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5])
def test_hardly_any_evidence_is_no_error(n_steps: int) -> None:
    onset = np.full((n_steps, 88), 3.0, np.float32)
    steps, columns = onset_peaks(onset, 3)
    peak, hill = onset_evidence(onset, steps, columns)
    assert len(steps) == len(peak) == len(hill) == (88 if n_steps else 0)
    assert (hill == 3.0).all()


def test_a_note_that_is_struck_again_ends_there() -> None:
    first, second = read_notes(played((100, 400), (200, 300)))
    assert first.note.end_s == pytest.approx(200 * STEP_S)
    assert second.note.start_s == pytest.approx(200 * STEP_S)


def test_notes_of_one_key_do_not_overlap_where_the_later_lies_between_steps() -> None:
    evidence = played((100, 200), (200, 300))
    evidence.onset[199, COLUMN] = 2.5
    first, second = (read.note for read in read_notes(evidence))
    assert second.start_s < 199.9 * STEP_S
    assert first.end_s == second.start_s


def test_a_short_doubt_does_not_end_a_note_but_a_long_one_does() -> None:
    evidence = played((100, 400))
    evidence.sounding[200:204, COLUMN] = -4.0
    (held,) = read_notes(evidence)
    assert held.note.end_s == pytest.approx(400 * STEP_S)
    evidence.sounding[200:206, COLUMN] = -4.0
    (over,) = read_notes(evidence)
    assert over.note.end_s == pytest.approx(200 * STEP_S)
    (patient,) = read_notes(evidence, ReadingSettings(let_go=30.0))
    assert patient.note.end_s == pytest.approx(400 * STEP_S)


def test_a_bias_makes_notes_longer() -> None:
    evidence = played((100, 200))
    evidence.sounding[200:250, COLUMN] = -1.0
    assert read_notes(evidence)[0].note.end_s == pytest.approx(200 * STEP_S)
    assert read_notes(evidence, ReadingSettings(held_bias=1.5))[0].note.end_s == pytest.approx(250 * STEP_S)


def test_no_note_is_longer_than_one_may_be_nor_than_the_evidence() -> None:
    evidence = played((100, 800))
    assert read_notes(evidence)[0].note.end_s == pytest.approx(800 * STEP_S)
    (cut,) = read_notes(evidence, ReadingSettings(longest_s=2.0))
    assert cut.note.end_s - cut.note.start_s == pytest.approx(2.0, abs=STEP_S)


@pytest.mark.parametrize("step", [0, 1, 797, 798, 799])
def test_a_note_at_either_end_has_a_length_and_a_bend(step: int) -> None:
    evidence = silence()
    evidence.onset[:, COLUMN] = -2.0
    evidence.onset[step, COLUMN] = 3.0
    (read,) = read_notes(evidence)
    assert 0 <= read.note.start_s < read.note.end_s <= 800 * STEP_S
    assert len(read.note.bends) >= 1


def test_notes_come_by_onset_then_pitch() -> None:
    evidence = silence()
    for step, column in [(300, 20), (100, 40), (100, 30), (200, 87), (200, 0)]:
        play(evidence, step, step + 50, column)
    assert [read.note.pitch for read in read_notes(evidence)] == [51, 61, 21, 108, 41]


def test_the_family_is_told_by_the_beginning_of_a_note() -> None:
    evidence = played((100, 400))
    evidence.family[50:63, COLUMN, FAMILIES.index("organ")] = 3.0
    evidence.family[63:, COLUMN, FAMILIES.index("brass")] = 9.0
    (read,) = read_notes(evidence)
    assert FAMILIES[int(np.argmax(read.family))] == "organ"
    assert np.exp(read.family).sum() == pytest.approx(1.0)
    (longer,) = read_notes(evidence, ReadingSettings(family_s=3.0))
    assert FAMILIES[int(np.argmax(longer.family))] == "brass"


def test_the_family_of_a_short_note_is_not_that_of_the_next() -> None:
    evidence = played((100, 108), (108, 200))
    evidence.family[50:54, COLUMN, FAMILIES.index("mallets")] = 2.0
    evidence.family[54:, COLUMN, FAMILIES.index("voice")] = 9.0
    first, second = read_notes(evidence)
    assert [FAMILIES[int(np.argmax(read.family))] for read in (first, second)] == ["mallets", "voice"]


def test_bends_follow_the_loudest_third_of_a_semitone_near_the_pitch() -> None:
    evidence = played((100, 200))
    middle = 3 * COLUMN + 1
    evidence.contour[:75, middle] = 0.8
    evidence.contour[75:, middle + 2] = 0.8
    evidence.contour[:, middle + 6] = 0.95  # another note, 15 dB louder
    (read,) = read_notes(evidence)
    assert len(read.note.bends) == round(100 * STEP_S * BENDS_PER_S)
    assert set(read.note.bends[:48]) == {0}
    assert set(read.note.bends[52:]) == {2}


def test_the_same_notes_whatever_part_is_read() -> None:
    whole = silence()
    rng = np.random.default_rng(0)
    whole.onset[:] = rng.normal(-3, 3, whole.onset.shape)
    whole.sounding[:] = rng.normal(-1, 2, whole.sounding.shape).cumsum(axis=0) % 6 - 3
    whole.velocity[:] = rng.random(whole.velocity.shape)
    expected = read_notes(whole)
    assert len(expected) > 500
    settings = ReadingSettings(longest_s=1.0)
    parts = []
    for start, stop in [(0, 150), (150, 260), (260, 400)]:
        first, last = max(start - 10, 0), min(stop + 60, 400)
        part = replace(
            whole,
            onset=whole.onset[2 * first : 2 * last],
            sounding=whole.sounding[2 * first : 2 * last],
            velocity=whole.velocity[first:last],
            family=whole.family[first:last],
            contour=whole.contour[first:last],
            first_frame=first,
        )
        parts += read_notes(part, settings, range(start, stop))
    all_at_once = read_notes(whole, settings)
    assert [(one.note.pitch, one.note.velocity) for one in parts] == [
        (one.note.pitch, one.note.velocity) for one in all_at_once
    ]
    assert [one.note.confidence for one in parts] == [one.note.confidence for one in all_at_once]
    for attribute in ("start_s", "end_s"):
        assert [getattr(one.note, attribute) for one in parts] == pytest.approx(
            [getattr(one.note, attribute) for one in all_at_once]
        )


def test_later_evidence_gives_later_notes() -> None:
    evidence = replace(played((100, 200)), first_frame=1000)
    (read,) = read_notes(evidence)
    assert read.note.start_s == pytest.approx(1000 * FRAME_S + 100 * STEP_S)


@pytest.mark.parametrize("n_frames", [0, 1, 400])
def test_silence_has_no_notes(n_frames: int) -> None:
    assert read_notes(silence(range(n_frames))) == []
