"""Bars from how likely each half beat begins one."""

import numpy as np
import pytest

from pipeline.analysis.bars import find_bars


def heard(n: int, starts: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities in which one bar line in five is not heard."""
    rng = np.random.default_rng(seed)
    out = np.full(n, 0.1) + 0.1 * rng.random(n)
    out[starts[rng.random(len(starts)) < 0.8]] = 0.7
    return out


@pytest.mark.parametrize(("length", "first"), [(8, 4), (8, 0), (6, 2), (7, 3), (10, 2), (5, 0), (14, 6)])
def test_steady_metres(length: int, first: int) -> None:
    starts = np.arange(first, 399, length)
    bars = find_bars(heard(399, starts), compound=False)
    assert bars.length == length
    assert bars.starts.tolist() == starts.tolist()
    assert bars.margin > 0.4


def test_a_change_of_metre_is_followed() -> None:
    starts = np.concatenate([np.arange(0, 200, 8), np.arange(200, 399, 6)])
    bars = find_bars(heard(399, starts), compound=False)
    assert bars.starts.tolist() == starts.tolist()


def test_bars_off_the_beat_put_the_tracker_right() -> None:
    bars = find_bars(heard(399, np.arange(1, 399, 8)), compound=False)
    assert set((bars.starts % 8).tolist()) == {1}


def test_two_dotted_quarters_are_a_bar_only_where_beats_are_divided_in_three() -> None:
    probability = heard(399, np.arange(0, 399, 4))
    assert find_bars(probability, compound=True).length == 4


def test_nothing_heard_is_not_sure() -> None:
    assert find_bars(np.full(199, 0.1), compound=False).margin < 0.1
