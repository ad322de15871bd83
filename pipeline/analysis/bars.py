"""From how likely each beat begins a bar to bars: the most likely sequence of metres, which seldom changes.

Time is counted in half beats, so that bars of five and seven eighths have their place beside those of whole beats, and
a tracker that followed the off-beats can be put right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Half beats of a bar; nats that every bar of it costs, and that a song in it or a change into it costs.
_METRES = (
    (8, 0.0, 0.0),
    (6, 0.0, 1.5),
    (4, 1.0, 3.0),
    (10, 0.0, 4.0),
    (12, 0.0, 7.0),
    (14, 0.0, 6.0),
    (7, 0.0, 5.0),
    (5, 0.0, 7.0),
)
_COMPOUND_METRES = ((4, 0.0, 0.0), (8, 0.0, 0.0), (6, 0.0, 3.0))
_CHANGE_COST = 6.0
_OFF_BEAT_COST = 6.0  # of bars that begin between the tracker's beats
_LEAST, _MOST = 0.02, 0.98


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars of a song.

    Attributes:
        starts: the half beats, counted from the first beat, that begin a bar; increasing.
        length: half beats of the usual bar.
        margin: nats a bar by which this reading beats the best one with other downbeats or another metre.
    """

    starts: IntArray
    length: int
    margin: float


def find_bars(probability: FloatArray, *, compound: bool) -> Bars:
    """The most likely bars.

    Args:
        probability: that a bar begins, at every half beat from the first beat to the last, shape (2 * n_beats - 1,).
        compound: whether beats are divided in three, so that two of them are a bar of 6/8.
    """
    metres = _COMPOUND_METRES if compound else _METRES
    p = np.clip(probability, _LEAST, _MOST)
    begins, goes_on = np.log(p), np.log1p(-p)
    starts, total = _decoded(begins, goes_on, metres)
    lengths = np.diff(starts)
    usual = max((length for length, _, _ in metres), key=lambda one: (int((lengths == one).sum()) * one, -one))
    rivals = {
        (metre[0], phase): value for metre in metres for phase, value in enumerate(_constant(begins, goes_on, *metre))
    }
    own = max(rivals, key=rivals.__getitem__)
    others = max(value for reading, value in rivals.items() if not _same(own, reading))
    margin = (max(total, rivals[own]) - others) / max(len(p) / usual, 1.0)
    return Bars(starts, usual, float(margin))


def _same(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether every bar of one reading begins a bar of the other: 2/4 and 4/4 differ in how they are written only."""
    short, long = sorted((one, other))
    return long[0] % short[0] == 0 and long[1] % short[0] == short[1] % short[0] and long[0] // short[0] <= 2


def _constant(begins: FloatArray, goes_on: FloatArray, length: int, bar_cost: float, cost: float) -> list[float]:
    """The score of bars of one length, for every place where the first can begin."""
    gain = begins - goes_on
    rest = float(goes_on.sum())
    return [
        rest
        + float((gain[phase::length] - bar_cost).sum())
        - cost
        - (_OFF_BEAT_COST if phase % 2 and length % 2 == 0 else 0.0)
        for phase in range(length)
    ]


def _decoded(
    begins: FloatArray, goes_on: FloatArray, metres: tuple[tuple[int, float, float], ...]
) -> tuple[IntArray, float]:
    """Starts of bars, by dynamic programming over bars, and their score."""
    n = len(begins)
    until = np.concatenate([[0.0], np.cumsum(goes_on)])
    # score[t, m]: of everything before t, where a bar of metre m begins at t.
    score = np.full((n + max(length for length, _, _ in metres) + 1, len(metres)), -np.inf)
    came = np.full((len(score), len(metres)), -1, dtype=np.int64)
    first_costs = np.array([cost for _, _, cost in metres])
    for t in range(len(score)):
        for m, (length, bar_cost, _) in enumerate(metres):
            if t < length:  # the song begins inside a bar
                score[t, m] = until[min(t, n)] - first_costs[m] - (_OFF_BEAT_COST if t % 2 and length % 2 == 0 else 0.0)
            start = t - length
            if start < 0 or start >= n:
                continue
            ways = score[start] - np.where(np.arange(len(metres)) == m, 0.0, _CHANGE_COST + first_costs[m])
            best = int(ways.argmax())
            value = ways[best] + begins[start] + until[min(t, n)] - until[start + 1] - bar_cost
            if value > score[t, m]:
                score[t, m], came[t, m] = value, best
    ends = [
        (score[t, m], t, m) for t in range(n, len(score)) for m, (length, _, _) in enumerate(metres) if t - length < n
    ]
    total, at, metre = max(ends)
    starts = []
    while came[at, metre] >= 0:
        before = int(came[at, metre])
        at -= metres[metre][0]
        starts.append(at)
        metre = before
    return np.array(starts[::-1], dtype=np.int64), float(total)
