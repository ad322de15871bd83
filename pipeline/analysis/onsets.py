"""Onsets of a song and how beats are placed on them: to the millisecond, and evenly where the song is steady."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from pipeline.notes import Instrument, Note

FloatArray = NDArray[np.float64]

_KICKS_AND_SNARES = frozenset({35, 36, 37, 38, 39, 40})
_SNARES = frozenset({37, 38, 39, 40})
_BASS_PROGRAMS = range(32, 40)
# How much an onset tells of where the beat is.
_KICK_OR_SNARE_WEIGHT, _OTHER_DRUM_WEIGHT, _BASS_WEIGHT, _PITCHED_WEIGHT = 1.0, 0.5, 0.5, 0.4
_MIN_BACKBEATS, _BACKBEAT_RANGE_S, _BACKBEAT_SHARE, _ALIKE = 8, (0.55, 2.0), 0.5, 0.05
_REACH_S = 0.045  # the tracker is 10-20 ms off, players are as much
_AVERAGED_BEATS = 13
_SMOOTHED_BEATS = 5
# A song is steady where most beats are this near to evenly spaced ones, and these are heard as clearly as the beats.
# Where the tempo jumps half-way, .64 of them can be near by chance.
_STEADY_S, _STEADY_SHARE, _EVEN_IS_BETTER = 0.035, 0.68, 0.15
_SHARED, _REFITS = 0.006, 8
_WHOLE_BPM_S = 0.006  # a whole number of beats a minute is meant where it moves no beat by more


@dataclass(frozen=True, slots=True)
class Onsets:
    """When notes start, in order, and what each weighs."""

    times_s: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, instruments: Sequence[Instrument]) -> "Onsets":
        found = sorted((note.start_s, _weight(one, note)) for one in instruments for note in one.notes)
        table = np.array(found, dtype=np.float64).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1])

    def nearest(self, beats: FloatArray) -> FloatArray:
        """Each beat at the mean of the onsets near it; where there are none, where it was."""
        index = np.clip(np.searchsorted(beats, self.times_s), 1, len(beats) - 1)
        index -= self.times_s - beats[index - 1] < beats[index] - self.times_s
        off_s = self.times_s - beats[index]
        near = np.abs(off_s) < min(_REACH_S, 0.2 * float(np.median(np.diff(beats))))
        total = np.bincount(index[near], self.weights[near], len(beats))
        moved = np.bincount(index[near], (self.weights * off_s)[near], len(beats))
        out: FloatArray = beats + np.divide(moved, total, out=np.zeros_like(beats), where=total > 0)
        return out


def backbeat_s(instruments: Sequence[Instrument]) -> float | None:
    """The time from one back beat to the next: the usual one between loud strokes of the snare, if there is one."""
    strokes = sorted(
        (note.start_s, note.velocity)
        for one in instruments
        if one.is_drum
        for note in one.notes
        if note.pitch in _SNARES
    )
    if len(strokes) < _MIN_BACKBEATS:
        return None
    loud = 0.6 * float(np.percentile([velocity for _, velocity in strokes], 90))
    gaps_s = np.diff([start_s for start_s, velocity in strokes if velocity >= loud])
    gaps_s = gaps_s[(gaps_s > _BACKBEAT_RANGE_S[0]) & (gaps_s < _BACKBEAT_RANGE_S[1])]
    if len(gaps_s) < _MIN_BACKBEATS:
        return None
    alike = np.abs(np.log(gaps_s[:, None] / gaps_s)) < _ALIKE
    best = int(alike.sum(axis=1).argmax())
    return float(np.median(gaps_s[alike[best]])) if alike[best].mean() > _BACKBEAT_SHARE else None


def _weight(instrument: Instrument, note: Note) -> float:
    loud = (0.4 + 0.6 * note.velocity) * note.confidence
    if instrument.is_drum:
        return loud * (_KICK_OR_SNARE_WEIGHT if note.pitch in _KICKS_AND_SNARES else _OTHER_DRUM_WEIGHT)
    return loud * (_BASS_WEIGHT if instrument.program in _BASS_PROGRAMS else _PITCHED_WEIGHT)


def regular(beats: FloatArray, clear: Callable[[FloatArray], float]) -> tuple[FloatArray, bool]:
    """Beats without the jitter of single notes, and whether they are evenly spaced: to a click, as it were.

    Args:
        beats: increasing times in seconds, at least :data:`_AVERAGED_BEATS`, else they are taken as they are.
        clear: how clearly beats at any times are heard, on a scale of logarithms.
    """
    if len(beats) < _AVERAGED_BEATS:
        return beats, False
    even = _even(beats)
    if even is not None and clear(even) > clear(beats) - _EVEN_IS_BETTER:
        return even, True
    smooth: FloatArray = scipy.signal.savgol_filter(beats, _SMOOTHED_BEATS, 1)
    return smooth, False


def _even(beats: FloatArray) -> FloatArray | None:
    """Evenly spaced times from the first beat to the last that most beats are near, if there are such."""
    steps = _AVERAGED_BEATS - 1
    spans = beats[steps:] - beats[:-steps]
    # The stretch whose tempo most others share; where the tracker stumbled, beats are not counted but placed.
    shared = np.abs(np.log(spans[:, None] / spans)) < _SHARED
    start = int(shared.sum(axis=1).argmax())
    period = float(np.median(spans[shared[start]])) / steps
    origin = float(beats[start])
    for _ in range(_REFITS):
        index = np.rint((beats - origin) / period)
        near = np.abs(beats - origin - index * period) < _STEADY_S
        if near.sum() < _AVERAGED_BEATS:
            return None
        slope, origin_off = np.polyfit(index[near], beats[near], 1)
        period, origin = float(slope), float(origin_off)
    index = np.rint((beats - origin) / period)
    off = np.abs(beats - origin - index * period)
    if np.mean(off < _STEADY_S) < _STEADY_SHARE:
        return None
    period, origin = _whole_bpm(period, origin, index[off < _STEADY_S], beats[off < _STEADY_S])
    return origin + period * np.arange(index[0], index[-1] + 1)


def _whole_bpm(period: float, origin: float, index: FloatArray, beats: FloatArray) -> tuple[float, float]:
    """A whole number of beats a minute where that moves no beat by more than the beats are sure."""
    whole = 60.0 / round(60.0 / period)
    if abs(whole - period) * np.ptp(index) / 2 > _WHOLE_BPM_S:
        return period, origin
    return whole, float(np.median(beats - whole * index))
