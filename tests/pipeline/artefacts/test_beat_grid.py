"""The grid that notes are written on: from the beats of a song, or fixed where there are none."""

import numpy as np
import pytest

from pipeline.analysis.beats import Beats
from pipeline.artefacts.grid import FALLBACK_BPM, Bar, Metre, written_grid
from pipeline.notes import Instrument, Note


def beats(per_bar: int, signature: tuple[int, int] | None, downbeats: list[int], n: int = 40) -> Beats:
    """A beat every half second from 2 s on."""
    times = 2.0 + 0.5 * np.arange(n)
    return Beats(times, np.array(downbeats, dtype=np.int64), per_bar, signature, 120.0, 0.9, 0.9, steady=True)


def sounding(start_s: float, end_s: float) -> list[Instrument]:
    return [Instrument("Voice Oohs", 53, False, "vocals", (Note(60, start_s, end_s, 0.5),))]


def test_it_begins_with_the_bar_of_the_first_note_and_covers_the_last() -> None:
    grid = written_grid(beats(4, (4, 4), [1, 5, 9]), sounding(5.0, 30.0))
    assert grid.detected
    assert grid.bars_detected
    assert grid.beats_s[0] == pytest.approx(4.5)
    assert grid.beats_s[-1] > 30.0
    assert grid.position(np.array([4.5, 5.75, 6.5])) == pytest.approx([0.0, 2.5, 4.0])


def test_a_note_before_the_first_beat_has_a_bar() -> None:
    grid = written_grid(beats(4, (4, 4), [0, 4]), sounding(0.6, 9.0))
    assert grid.beats_s[0] == pytest.approx(0.0)


def test_a_note_just_ahead_of_its_downbeat_belongs_to_it() -> None:
    assert written_grid(beats(4, (4, 4), [0, 4]), sounding(3.97, 9.0)).beats_s[0] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("signature", "per_bar", "ticks", "groups"),
    [
        ((3, 4), 3, 36, (12, 12, 12)),
        ((6, 8), 2, 36, (18, 18)),
        ((12, 8), 4, 72, (18, 18, 18, 18)),
        ((7, 8), 7, 42, (12, 12, 18)),
        ((5, 8), 5, 30, (12, 18)),
    ],
)
def test_metres(signature: tuple[int, int], per_bar: int, ticks: int, groups: tuple[int, ...]) -> None:
    grid = written_grid(beats(per_bar, signature, list(range(0, 40, per_bar))), sounding(2.0, 20.0))
    assert grid.metre == Metre(*signature)
    assert grid.metre.ticks == ticks
    assert grid.metre.groups == groups
    assert grid.written_bars(2 * ticks) == [Bar(0, grid.metre), Bar(ticks, grid.metre)]


def test_a_change_of_metre_is_written() -> None:
    grid = written_grid(beats(4, (4, 4), [0, 4, 8, 11, 14, 18]), sounding(2.0, 20.0))
    bars = grid.written_bars(5 * 48)
    assert [bar.metre.numerator for bar in bars] == [4, 4, 3, 3, 4, 4]
    assert [bar.start for bar in bars] == [0, 48, 96, 132, 168, 216]


def test_even_bars_among_those_of_seven_eighths_are_in_quarters() -> None:
    grid = written_grid(beats(7, (7, 8), [0, 7, 15, 21, 26, 33]), sounding(2.0, 20.0))
    bars = grid.written_bars(6 * 42)
    assert [bar.metre for bar in bars[:5]] == [Metre(7, 8), Metre(4, 4), Metre(3, 4), Metre(5, 8), Metre(7, 8)]
    assert all(sum(bar.metre.groups) == bar.metre.ticks for bar in bars)


def test_a_missed_bar_line_makes_no_bar_of_eleven() -> None:
    grid = written_grid(beats(4, (4, 4), [0, 4, 15, 19]), sounding(2.0, 20.0))
    assert {bar.metre.numerator for bar in grid.written_bars(480)} == {4}


def test_without_bars_common_time_is_assumed() -> None:
    grid = written_grid(beats(4, None, []), sounding(2.0, 20.0))
    assert grid.detected
    assert not grid.bars_detected
    assert grid.metre == Metre(4, 4)


def test_the_fixed_grid_begins_with_the_bar_of_the_first_note() -> None:
    grid = written_grid(None, sounding(5.2, 9.0))
    assert not grid.detected
    assert grid.bpm == FALLBACK_BPM
    assert grid.beats_s[0] == 4.0
    assert grid.beats_s[-1] > 9.0


def test_no_notes() -> None:
    assert written_grid(None, []).beats_s[0] == 0.0
