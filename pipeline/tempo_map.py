"""Where the ticks of a MIDI file lie in time: its tempos, bars and resolution, from the beats of a song.

Time 0 of the file is time 0 of the audio, so that both, dropped at bar 1, stay together; and every whole beat of the
file is a beat of the song, every bar line a downbeat.  The music seldom begins at time 0, so the file has a lead-in up
to the first beat:

* Where whole bars fit it at nearly the song's tempo, it is made of whole bars at a tempo of their own.
* Else of whole beats, and the file begins with an incomplete bar, which has a time signature of its own.
* A first beat that comes in the first few hundredths of a second is put at the beginning of the file.

From the first beat on, a tempo lasts for as many beats as stay within a few milliseconds of their times: a song in one
tempo has one, one that drifts has as many as it needs, at worst one for each beat.  What is left over is made up for by
the next tempo, so that nothing adds up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.beats import Beats, bar_signature

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Without beats: 120 BPM, the standard's default.  A tick is 1.04 ms: onsets are at most 0.52 ms off.  At 960 an
# 87-minute file would pass the 10 million ticks up to which pretty_midi reads.
TIME_BASE_BPM = 120
TIME_BASE_TICKS = 480
_US = 1_000_000

# With beats: the coarsest of these at which half a tick is at most 0.6 ms, which 960 is down to 52 BPM; or less, where
# the file would have more ticks than pretty_midi reads.
_RESOLUTIONS = (960, 1920, 3840)
_LEAST_RESOLUTION = 240
_TICK_S = 0.0012
_MAX_TICK = 9_900_000

# Beats are heard to some 10 ms, so beats 5 ms off are as good, and a program shows fewer tempos: the 400 beats of a
# drummer who drifts take 15 (at 2 ms 26, at 0.5 ms 58), those of a rubato with 4 ms of jitter 100 for 344 (205; 294).
_OFF_US = 5_000.0
# Programs take tempos up to 960 BPM (Reaper; Ableton Live 999): one beat cannot be shorter.
_AT_ONCE_S = 60 / 960
_NEARLY = 2**0.5  # a lead-in's tempo up to this times that of the song, or down to its inverse
_MAX_TEMPO = (1 << 24) - 1  # what fits the three bytes of the event


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature from a tick on, with the MIDI clocks (24 to a quarter) of a beat."""

    tick: int
    numerator: int
    denominator: int
    clocks: int


@dataclass(frozen=True, slots=True)
class TempoMap:
    """The time line of a file.

    Attributes:
        resolution: ticks in a quarter note.
        tempos: ticks, increasing from 0, and microseconds per quarter from each on.
        metres: time signatures, in order; none where bars are not known.
        bars: ticks of the bar lines, as far as they are known.
        detected: whether the tempos are those of the song, not the mere time base.
    """

    resolution: int
    tempos: tuple[tuple[int, int], ...]
    metres: tuple[Metre, ...]
    bars: tuple[int, ...]
    detected: bool = True

    def ticks(self, times_s: FloatArray) -> IntArray:
        """The ticks nearest to times in seconds, which are not negative; same shape."""
        at = np.array([tick for tick, _ in self.tempos], dtype=np.float64)
        us_per_tick = np.array([tempo for _, tempo in self.tempos], dtype=np.float64) / self.resolution
        starts_us = np.concatenate([[0.0], np.cumsum(np.diff(at) * us_per_tick[:-1])])
        times_us = np.asarray(times_s, dtype=np.float64) * _US
        segment = np.searchsorted(starts_us, times_us, side="right") - 1
        found: IntArray = np.rint(at[segment] + (times_us - starts_us[segment]) / us_per_tick[segment]).astype(np.int64)
        return found

    def nearest_bar(self, tick: int) -> int:
        """The bar line nearest to a tick; the tick itself where bars are not known."""
        return min(self.bars, key=lambda bar: abs(bar - tick), default=tick)


def tempo_map(beats: Beats | None, end_s: float) -> TempoMap:
    """The time line for a song.

    Args:
        beats: its beats; None where they are not known, for the time base alone.
        end_s: when its last note ends.
    """
    if beats is None or np.count_nonzero(beats.times_s > -_AT_ONCE_S) < 2:
        return TempoMap(TIME_BASE_TICKS, ((0, 60 * _US // TIME_BASE_BPM),), (), (), detected=False)
    skipped = int(np.count_nonzero(beats.times_s <= -_AT_ONCE_S))
    times = beats.times_s[skipped:]
    downbeats = [int(index) - skipped for index in beats.downbeats if index >= skipped]
    signature, per_bar = beats.time_signature, beats.beats_per_bar
    if signature is None or per_bar is None or not downbeats or signature[0] % per_bar:
        signature, per_bar, downbeats = (4, 4), 4, []
    quarters = Fraction(4 * signature[0], signature[1] * per_bar)  # in a beat
    lead = _lead_in(times, downbeats[0] % per_bar if downbeats else None, per_bar)
    lines = _bar_lines(lead, downbeats, lead + len(times) - 1, per_bar)
    tempos = _tempos(times, lead, quarters)
    resolution = _resolution(tempos, quarters, end_s)
    beat = int(resolution * quarters)
    metres = _metres(lines, signature, per_bar, beat, clocks=round(24 * quarters)) if downbeats else ()
    in_ticks = [(at * beat, us) for at, us in tempos]
    if len(in_ticks) > 1 and (lead or times[0]):
        in_ticks = _opened(in_ticks)
    return TempoMap(resolution, tuple(in_ticks), metres, tuple(at * beat for at in lines))


def _lead_in(times: FloatArray, pickup: int | None, per_bar: int) -> int:
    """How many beats the file has before the first one; ``pickup`` is how many there are from it to a downbeat."""
    if times[0] < _AT_ONCE_S:
        return 0
    usual = float(times[0]) / float(np.median(np.diff(times[:9])))
    if pickup is not None:
        whole = max(-pickup % per_bar + per_bar * round((usual - -pickup % per_bar) / per_bar), 1)
        if (whole + pickup) % per_bar == 0 and 1 / _NEARLY <= whole / usual <= _NEARLY:
            return whole
    return max(round(usual), 1)


def _opened(tempos: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same with the song's tempo for one tick before that of the lead-in.

    Some programs read the first tempo alone, and a lead-in of a tenth of a second may be a beat at 580.
    """
    (_, lead_in), (end, song), *_ = tempos
    rest = round((lead_in * end - song) / (end - 1))
    return [(0, song), (1, rest), *tempos[1:]] if 0 < rest <= _MAX_TEMPO else tempos


def _bar_lines(lead: int, downbeats: list[int], last: int, per_bar: int) -> list[int]:
    """The beats of the file, from 0 on, that begin a bar; those between known downbeats where these are far apart."""
    if not downbeats:
        return []
    first = lead + downbeats[0]
    lines = [0] if first % per_bar else []
    lines += range(first % per_bar, first, per_bar)
    for at, following in pairwise(downbeats):
        while following - at >= 2 * per_bar:
            lines.append(lead + at)
            at += per_bar
        lines.append(lead + at)
    return lines + list(range(lead + downbeats[-1], last + 1, per_bar))


def _metres(lines: list[int], signature: tuple[int, int], per_bar: int, beat: int, clocks: int) -> tuple[Metre, ...]:
    """A time signature for the first bar, and for each bar that is not as long as the one before."""
    lengths = [*np.diff(lines).tolist(), per_bar]
    metres = []
    for at, length, before in zip(lines, lengths, [0, *lengths], strict=False):
        if length != before:
            numerator, denominator = bar_signature(length, signature, per_bar)
            metres.append(Metre(at * beat, numerator, denominator, 24 if denominator == 4 else clocks))
    return tuple(metres)


def _tempos(times: FloatArray, lead: int, quarters: Fraction) -> list[tuple[int, int]]:
    """Beats of the file and microseconds per quarter from each on."""
    places = lead + np.arange(len(times))
    if lead:
        places, times = np.append(0, places), np.append(0.0, times)
    at_beats = [float(place * quarters) for place in places.tolist()]
    at_us = [0.0, *(times[1:] * _US).tolist()]  # a first beat at once is put at the beginning
    found: list[tuple[int, int]] = []
    for index, tempo in _slopes(at_beats, at_us, alone=bool(lead or times[0])):
        if not found or tempo != found[-1][1]:
            found.append((int(places[index]), tempo))
    return found


def _slopes(quarters: list[float], times_us: list[float], *, alone: bool) -> Iterator[tuple[int, int]]:
    """Cuts the beats into as few straight lines as reach all of them: index of the first, microseconds per quarter.

    A line begins where the one before really ends.  ``alone``: the first interval has a line of its own.
    """
    at, at_us = 0, 0.0
    while at < len(quarters) - 1:
        low, high, end = 1.0, float(_MAX_TEMPO), at
        for index in range(at + 1, len(quarters)):
            span, off = quarters[index] - quarters[at], times_us[index] - at_us
            least, most = max(low, (off - _OFF_US) / span), min(high, (off + _OFF_US) / span)
            if end > at and ceil(least) > floor(most):
                break
            low, high, end = least, most, index
            if alone and at == 0:
                break
        aim = (times_us[end] - at_us) / (quarters[end] - quarters[at])
        tempo = min(max(round(aim), ceil(low)), floor(high))
        yield at, tempo
        at_us += tempo * (quarters[end] - quarters[at])
        at = end


def _resolution(tempos: list[tuple[int, int]], quarters: Fraction, end_s: float) -> int:
    """Ticks in a quarter."""
    slowest_s = max(tempo for _, tempo in tempos) / _US
    fitting = (ticks for ticks in _RESOLUTIONS if slowest_s / ticks <= _TICK_S)
    resolution = next(fitting, _RESOLUTIONS[-1])
    last_beat, last_us = tempos[-1]
    at_us = sum((b - a) * float(quarters) * us for (a, us), (b, _) in pairwise(tempos))
    n_quarters = float(last_beat * quarters) + max(end_s * _US - at_us, 0.0) / last_us
    while n_quarters * resolution > _MAX_TICK and resolution > _LEAST_RESOLUTION:
        resolution //= 2
    return resolution
