"""The beats and bars of a song as a grid that can be written: metres of quarters, of dotted quarters, of eighths.

Time is in ticks, twelve to a quarter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.beats import Beats, bar_signature
from pipeline.notes import Instrument

FloatArray = NDArray[np.float64]

QUARTER, DOTTED_QUARTER, EIGHTH = 12, 18, 6
FALLBACK_BPM = 120.0


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature: ``numerator`` over ``denominator``, 4 or 8."""

    numerator: int
    denominator: int

    @property
    def beat(self) -> int:
        """Ticks of a beat as :class:`pipeline.analysis.beats.Beats` counts them."""
        if self.denominator == 4:
            return QUARTER
        return DOTTED_QUARTER if self.numerator % 3 == 0 else EIGHTH

    @property
    def ticks(self) -> int:
        """Ticks of a bar."""
        return self.numerator * 48 // self.denominator

    @property
    def groups(self) -> tuple[int, ...]:
        """What is beamed together, in ticks: quarters, dotted quarters; quarters and a dotted one in 5/8 and 7/8."""
        if self.beat != EIGHTH:
            return (self.beat,) * (self.ticks // self.beat)
        return (QUARTER,) * ((self.numerator - 3) // 2) + (DOTTED_QUARTER,)


COMMON = Metre(4, 4)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its first tick and its metre."""

    start: int
    metre: Metre

    @property
    def end(self) -> int:
        return self.start + self.metre.ticks


@dataclass(frozen=True, slots=True)
class BeatGrid:
    """The beats of a song.

    Attributes:
        beats_s: times of the beats in seconds, increasing; the first begins a bar at or before the first note (so it
            may be negative), the last lies after the last note.
        bpm: beats per minute, the median of the song.
        detected: whether the beats were found; if not, they are the fixed grid of :data:`FALLBACK_BPM`.
        metre: the usual one.
        bars: how many beats each bar has, from the first on; those after them are in the usual metre.
        bars_detected: whether the bars were found; else 4/4 is only assumed.
    """

    beats_s: FloatArray
    bpm: float
    detected: bool
    metre: Metre = COMMON
    bars: tuple[int, ...] = field(default=())
    bars_detected: bool = False

    def position(self, times_s: FloatArray) -> FloatArray:
        """Times in seconds as beats since the first downbeat, fractional."""
        return np.interp(times_s, self.beats_s, np.arange(len(self.beats_s), dtype=np.float64))

    def written_bars(self, end: int) -> list[Bar]:
        """The bars up to the one that ``end`` (ticks) lies in or begins at the end of; at least one."""
        out: list[Bar] = []
        at, index = 0, 0
        while not out or at < end:
            metre = self.metre
            if index < len(self.bars):
                usual = (self.metre.numerator, self.metre.denominator)
                metre = Metre(*bar_signature(self.bars[index], usual, self._per_bar))
            out.append(Bar(at, metre))
            at, index = at + metre.ticks, index + 1
        return out

    @property
    def _per_bar(self) -> int:
        return self.metre.ticks // self.metre.beat


def written_grid(beats: Beats | None, instruments: Iterable[Instrument]) -> BeatGrid:
    """The grid to write the notes on.

    Args:
        beats: of the song; None gives the fixed grid; where they tell no bars, 4/4 is assumed.
        instruments: what is to be written.
    """
    notes = [note for one in instruments for note in one.notes]
    first_s = min((note.start_s for note in notes), default=0.0)
    last_s = max((note.end_s for note in notes), default=0.0)
    if beats is None or len(beats.times_s) < 2:
        return _fixed_grid(first_s, last_s)
    sure = len(beats.downbeats) > 0 and beats.time_signature is not None
    metre = Metre(*beats.time_signature) if sure and beats.time_signature else COMMON
    per_bar = metre.ticks // metre.beat
    downbeats = beats.downbeats.tolist() if sure else list(range(0, len(beats.times_s), per_bar))
    times, added = _extended(beats.times_s, first_s, last_s, per_bar)
    starts = [index + added for index in downbeats]
    while starts[0] - per_bar >= 0:
        starts.insert(0, starts[0] - per_bar)
    nearly_s = float(np.median(np.diff(times))) / 8  # half a sixteenth: it is written on the downbeat
    skipped = max(int(np.searchsorted(times[starts], first_s + nearly_s, side="right")) - 1, 0)
    starts = starts[skipped:]
    bars = tuple(np.diff(starts).tolist())
    if any(length > 2 * per_bar or metre.numerator * length % per_bar for length in bars):
        bars = ()  # a bar line was missed: steady bars are read more easily than one of eleven beats
    times = times[starts[0] :]
    return BeatGrid(times, float(60 / np.median(np.diff(times))), True, metre, bars, sure)


def _extended(times: FloatArray, first_s: float, last_s: float, per_bar: int) -> tuple[FloatArray, int]:
    """With beats before and after, at the tempo of the ends, so that a bar can begin before the first note."""
    ends = min(len(times) - 1, 8)
    at_start, at_end = (times[ends] - times[0]) / ends, (times[-1] - times[-1 - ends]) / ends
    before = int(np.ceil(max(times[0] - first_s, 0.0) / at_start)) + per_bar
    after = int(np.ceil(max(last_s - times[-1], 0.0) / at_end)) + 1
    head = times[0] - at_start * np.arange(before, 0, -1)
    return np.concatenate([head, times, times[-1] + at_end * np.arange(1, after + 1)]), before


def _fixed_grid(first_s: float, last_s: float) -> BeatGrid:
    period = 60 / FALLBACK_BPM
    first = int(first_s / period + 1 / 8) // 4 * 4
    beats = np.arange(first, int(last_s / period) + 9, dtype=np.float64) * period
    return BeatGrid(beats, FALLBACK_BPM, detected=False)
