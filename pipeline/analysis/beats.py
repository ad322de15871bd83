"""Tempo, beats, bars and time signature of a song, each with how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.bars import Bars, find_bars
from pipeline.analysis.beat_network import beat_logits
from pipeline.analysis.beat_tracking import track_beats
from pipeline.analysis.note_features import FRAMES_PER_S, note_features
from pipeline.analysis.onsets import Onsets, backbeat_s, regular
from pipeline.notes import Instrument
from pipeline.progress import OnProgress, part, unheard

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


_BEFORE_S = 0.3  # a song can begin on an up-beat, or its first note be missed
# Beats and bars less sure than this are not told.
LEAST_CONFIDENCE = 0.3
# Middle and width of the logistic curve from the mean probability of the beats found to how often they are right; the
# same for the nats a bar by which the bars found beat others.  From 110 random songs worn down as transcriptions are:
# of those at .5-.6 .61 had a beat F above .8, at .6-.7 .47, at .7-.8 .83, above .8 .91, below .5 one in thirteen;
# random onsets, rubato and drones (47) had .43 at most.
_CLEAR_BEATS = (0.57, 0.07)
_CLEAR_BARS = (0.55, 0.35)
# However clear: of the 11 songs for tuning above .9, from their true notes, 10 have a downbeat F above .9 and 9 the
# right time signature; bars of 2/4 and 4/4, of 6/8 and 12/8 sound alike.
_MOST_BARS_CONFIDENCE = 0.9
# People seldom tap faster than the first: of 26 songs for tuning none is beaten faster, two were heard so.
_FAST_BPM, _RATHER_FAST_BPM, _ALIKE = 186.0, 130.0, 0.05
# Beats are taken for twice too fast where every second one is less of a beat than the others and little is played
# between them.  Of 83 songs for tuning that were heard above the least tempo here, 27 of them twice too fast, that is
# right of 77 that it was not fitted to; by the evenness of the beats alone of 74.
_UNEVEN_FROM_BPM, _UNEVEN, _OCTAVE_OF_ONSETS = 108.0, 0.94, 0.2
_DISTINCT_S = 0.05
# Of songs for tuning, the rarer third is used .92 and .99 as often as the other in 6/8 and 12/8, .57 in jazz, .10 in a
# shuffle.
_NEAR_PLACE, _BOTH_THIRDS, _LEAST_THIRDS = 0.07, 0.7, 0.06
# The network was fitted with downbeats that weigh six times: half of that, in logits.
_DOWNBEAT_BIAS = 0.9
_MIN_ONSETS, _MIN_SPAN_S, _MIN_BEATS = 12, 4.0, 6


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats of a song.

    A beat is the pulse that a musician taps: a quarter note in x/4, a dotted quarter in 6/8, 9/8 and 12/8.  Beats of
    5/8 and 7/8 are the even eighths, not their groups of two and three, so that neighbouring beats are always alike.

    Attributes:
        times_s: float64, shape (n,): times of the beats in seconds, strictly increasing; the first can be before 0.
        downbeats: int64, shape (m,): increasing indices into ``times_s`` of the beats that begin a bar; empty where
            unsure.  A change of metre shows in their distances.
        beats_per_bar: the usual number of beats in a bar; None when unsure.
        time_signature: the usual one, (4, 4), (3, 4), (6, 8); None when unsure.
        bpm: median tempo in quarter notes, or dotted quarters in 6/8, 9/8 and 12/8, per minute.
        confidence: 0-1, of the beats and the tempo.
        downbeat_confidence: 0-1, of the downbeats and the metre.
        steady: whether the song keeps one tempo, as music made to a click does; the beats are then evenly spaced.
    """

    times_s: FloatArray
    downbeats: IntArray
    beats_per_bar: int | None
    time_signature: tuple[int, int] | None
    bpm: float
    confidence: float
    downbeat_confidence: float
    steady: bool


def bar_signature(n_beats: int, usual: tuple[int, int], beats_per_bar: int) -> tuple[int, int]:
    """The time signature of a bar of ``n_beats`` in a song whose usual one has ``beats_per_bar``.

    Where the beats are eighths, an even number of them is written in quarters: among bars of 7/8 eight make 4/4.
    """
    numerator, denominator = n_beats * usual[0] // beats_per_bar, usual[1]
    if denominator == 8 and usual[0] == beats_per_bar and numerator % 2 == 0:
        return numerator // 2, 4
    return numerator, denominator


def estimate_beats(
    instruments: Sequence[Instrument], on_progress: OnProgress = unheard, *, least_confidence: float = LEAST_CONFIDENCE
) -> Beats | None:
    """Find the beats of a song from its notes.

    Args:
        instruments: its notes; those of drums and of a bass tell most, but any will do.
        on_progress: told several times a second.
        least_confidence: how sure of the beats to be before telling them.

    Returns:
        The beats, the first within a beat of the first note, the last within a beat of the last; None where they are
        less sure than asked for.  Where only the bars are, the beats alone are told.
    """
    onsets = Onsets.of(instruments)
    if len(onsets.times_s) < _MIN_ONSETS or onsets.times_s[-1] - onsets.times_s[0] < _MIN_SPAN_S:
        return None
    n_frames = int((onsets.times_s[-1] + 1.0) * FRAMES_PER_S)
    logits = beat_logits(note_features(instruments, n_frames), part(on_progress, 0.0, 0.4)).astype(np.float64)
    logits[:, 1] -= _DOWNBEAT_BIAS
    first = max(int((onsets.times_s[0] - _BEFORE_S) * FRAMES_PER_S), 0)
    backbeat = backbeat_s(instruments)
    tracked = track_beats(logits[first:, 0], FRAMES_PER_S, backbeat, part(on_progress, 0.4, 0.95))
    tracked += first / FRAMES_PER_S
    if len(tracked) < _MIN_BEATS:
        return None
    times, steady = regular(onsets.nearest(tracked), partial(_clear, logits[:, 0]))
    compound = divided_in_three(times, onsets)
    bars = find_bars(_at(logits[:, 1], _halves(times)), compound=compound)
    slower = _slower(times, bars, backbeat, _at(logits[:, 0], times), onsets)
    if len(slower) < len(times):
        times, compound = slower, divided_in_three(slower, onsets)
        bars = find_bars(_at(logits[:, 1], _halves(times)), compound=compound)
    on_progress(1.0)
    beats = _result(times, steady, bars, compound, logits)
    return beats if beats.confidence >= least_confidence else None


def _halves(times: FloatArray) -> FloatArray:
    """The beats and the middles between them."""
    return np.interp(np.arange(2 * len(times) - 1) / 2, np.arange(len(times)), times)


def _at(logits: FloatArray, times: FloatArray) -> FloatArray:
    """The highest probability within a frame of each time."""
    frames = np.rint(times * FRAMES_PER_S).astype(np.int64)
    near = np.clip(frames[:, None] + np.array([-1, 0, 1]), 0, len(logits) - 1)
    return np.asarray(1.0 / (1.0 + np.exp(-logits[near].max(axis=1))), dtype=np.float64)


def _clear(logits: FloatArray, times: FloatArray) -> float:
    """How clearly beats are heard at those times: the mean logarithm of their probability."""
    return float(np.log(np.maximum(_at(logits, times), 0.02)).mean())


def _slower(times: FloatArray, bars: Bars, backbeat: float | None, sure: FloatArray, onsets: Onsets) -> FloatArray:
    """Every second or third of beats that are too fast.

    They are where they cannot be tapped, where the back beats say that they are twice as fast as they should be, and
    where every second of them is less of a beat than the others and there is little between them.
    """
    period = float(np.median(np.diff(times)))
    taps = None if backbeat is None else backbeat / 2 / period
    confirmed = taps is not None and abs(taps - 1) <= _ALIKE
    too_fast = 60 / period > _FAST_BPM and not confirmed
    twice = taps is not None and abs(taps / 2 - 1) < _ALIKE and 60 / period > _RATHER_FAST_BPM
    if bars.length % 2 or len(bars.starts) == 0:
        return times
    if too_fast or twice:
        step = 3 if bars.length % 6 == 0 and not twice else 2
        return times[int(np.bincount(bars.starts // 2 % step).argmax()) :: step]
    first, second = float(sure[::2].mean()), float(sure[1::2].mean())
    per_beat = (1 + np.count_nonzero(np.diff(onsets.times_s) > _DISTINCT_S)) / len(times)
    even = min(first, second) / max(first, second) + _OCTAVE_OF_ONSETS * np.log2(per_beat)
    if 60 / period > _UNEVEN_FROM_BPM and not confirmed and even < _UNEVEN:
        return times[int(second > first) :: 2]
    return times


def _result(times: FloatArray, steady: bool, bars: Bars, compound: bool, logits: FloatArray) -> Beats:
    halves = _halves(times)
    odd = bool(bars.length % 2)  # a metre of eighths: these are the beats
    off_beat = not odd and len(bars.starts) > 0 and float(np.mean(bars.starts % 2)) > 0.5
    if odd:
        beats, starts, per_bar = halves, bars.starts, bars.length
    else:
        beats = halves[int(off_beat) :: 2]
        starts = bars.starts[bars.starts % 2 == int(off_beat)] // 2
        per_bar = bars.length // 2
    starts = starts[starts < len(beats)]
    signature = (per_bar, 8) if odd else (3 * per_bar, 8) if compound else (per_bar, 4)
    bpm = float(60.0 / np.median(np.diff(beats))) / (2 if odd else 1)
    confidence = _sure(float(_at(logits[:, 0], beats).mean()), *_CLEAR_BEATS)
    bars_confidence = min(confidence * _sure(bars.margin, *_CLEAR_BARS), _MOST_BARS_CONFIDENCE)
    if bars_confidence < LEAST_CONFIDENCE:
        none = np.zeros(0, dtype=np.int64)
        return Beats(beats, none, None, None, bpm, confidence, bars_confidence, steady)
    return Beats(beats, starts.astype(np.int64), per_bar, signature, bpm, confidence, bars_confidence, steady)


def _sure(value: float, middle: float, width: float) -> float:
    return float(1.0 / (1.0 + np.exp((middle - value) / width)))


def divided_in_three(beats: FloatArray, onsets: Onsets) -> bool:
    """Whether beats are dotted quarters: all three of their eighths are played, not only the last, as in a shuffle."""
    place = np.interp(onsets.times_s, beats, np.arange(len(beats)), left=np.nan, right=np.nan) % 1.0
    place = place[np.isfinite(place)]
    if len(place) == 0:
        return False

    def used(at: float) -> float:
        return float(np.mean(np.abs(place - at) < _NEAR_PLACE))

    first, last = sorted((used(1 / 3), used(2 / 3)))
    return first > _BOTH_THIRDS * last and first > max(used(1 / 2), _LEAST_THIRDS)
