"""Where the beats are, told from the onsets of the notes.

Two steps: the tempo by how well evenly spaced beats collect the onsets of short stretches of the song, then the beats
themselves by dynamic programming (D. Ellis, "Beat Tracking by Dynamic Programming", J. New Music Research 36(1), 2007).
When the onsets do not lie on a grid clearly enough, the grid says so instead of guessing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from pipeline.notes import Instrument, Note

FloatArray = NDArray[np.float64]

MIN_BPM, MAX_BPM = 60.0, 200.0
FALLBACK_BPM = 120.0
BEATS_PER_BAR = 4

# How much an onset tells of the beat.
_KICKS, _SNARES = frozenset({35, 36}), frozenset({38, 39, 40})
_CYMBALS = frozenset({49, 52, 55, 57})
_KICK_OR_SNARE_WEIGHT, _OTHER_DRUM_WEIGHT = 1.0, 0.35
_BASS_WEIGHT, _PITCHED_WEIGHT = 0.6, 0.4
_BASS_PROGRAMS = range(32, 40)
_TOGETHER_S = 0.03  # notes of a chord start within this
_LASTING_S = 0.25  # shorter notes count for less: they are ornaments, or were never played

# Tempo: candidates half a percent apart keep 24 beats of a stretch within 30 ms of the true ones.
_CANDIDATES_BPM = np.geomspace(MIN_BPM, MAX_BPM, 242)
_STRETCH_S, _HOP_S = 12.0, 6.0
_PHASES = 64
_TOLERANCE_S = 0.025  # standard deviation of onsets around their beat: players are 10-30 ms off
# The balance between collecting all weight and collecting much per beat, and what a tempo keeps whose every second beat
# gets no snare: set on made-up rock, house and funk grooves at 62-170 BPM, where all tempos came out right with these
# (bar the slowest and fastest songs without drums, which double and halve).
_PER_BEAT = 1.4
_WITHOUT_SNARE = 0.15
# People tap around 2 Hz; twice and half of it are about equally rare (the log-normal of Ellis, with his 0.9 octaves).
_USUAL_BPM, _USUAL_OCTAVES = 115.0, 0.9

_FRAMES_PER_S = 100
_TIGHTNESS = 300.0  # of the tracker; follows a tempo that drifts by some percent, not single late notes
_LAG_RANGE = (0.8, 1.25)
_STEADY_S = 0.03  # beats that stay this close to evenly spaced ones are taken as evenly spaced
_SMOOTHED_BEATS = 17  # else a tempo is the mean of four bars

_MIN_ONSETS, _MIN_SPAN_S = 12, 4.0
_MIN_SNARES = 8
DETECTED_FROM = 0.5


@dataclass(frozen=True, slots=True)
class BeatGrid:
    """The beats of a song.

    Attributes:
        beats_s: times of the beats in seconds, increasing; the first is a downbeat at or before the first note (so it
            may be negative), the last lies after the last note.
        bpm: quarter notes per minute, the median of the song.
        confidence: 0-1, how clearly the onsets lie on the beats.
        detected: whether the beats were found; if not, they are the fixed grid of :data:`FALLBACK_BPM`.
    """

    beats_s: FloatArray
    bpm: float
    confidence: float
    detected: bool

    def position(self, times_s: FloatArray) -> FloatArray:
        """Times in seconds as beats since the first downbeat, fractional."""
        return np.interp(times_s, self.beats_s, np.arange(len(self.beats_s), dtype=np.float64))


def estimate_grid(instruments: Sequence[Instrument]) -> BeatGrid:
    """Find the beats of 60-200 BPM that the onsets of all notes lie on; drums weigh more.

    A metre of four beats is assumed; which beat begins the bar is told from bass drum, bass and crash cymbals.
    The confidence is calibrated so that random onsets stay below :data:`DETECTED_FROM`.
    """
    times, weights = _onsets(instruments)
    last_s = max((note.end_s for one in instruments for note in one.notes), default=0.0)
    if len(times) < _MIN_ONSETS or times[-1] - times[0] < _MIN_SPAN_S:
        return _fixed_grid(times, last_s, 0.0)
    period = 60.0 / _tempo(times, weights, _snares(instruments))
    beats = _regular(_tracked(times, weights, period), times, weights)
    confidence = _confidence(times, weights, beats)
    if confidence < DETECTED_FROM:
        return _fixed_grid(times, last_s, confidence)
    beats = _extended(beats, times[0], last_s)
    beats = beats[_downbeat(instruments, beats) :]
    beats = _covering(beats, times[0])
    return BeatGrid(beats, float(60.0 / np.median(np.diff(beats))), confidence, detected=True)


def _onsets(instruments: Iterable[Instrument]) -> tuple[FloatArray, FloatArray]:
    """Times of the onsets, sorted, and what each weighs."""
    found: list[tuple[float, float]] = []
    for instrument in instruments:
        start_s, weight, count = -1.0, 0.0, 0
        for note in instrument.notes:
            if count and note.start_s - start_s > _TOGETHER_S:
                found.append((start_s, weight / count**0.5))
                weight, count = 0.0, 0
            if not count:
                start_s = note.start_s
            weight += _weight(instrument, note)
            count += 1
        if count:
            found.append((start_s, weight / count**0.5))
    found.sort()
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _snares(instruments: Iterable[Instrument]) -> FloatArray:
    """Times of the snare strokes that are meant to be heard, not of ghost notes."""
    strokes = [note for one in instruments if one.is_drum for note in one.notes if note.pitch in _SNARES]
    loudest = max((stroke.velocity for stroke in strokes), default=0.0)
    return np.array([stroke.start_s for stroke in strokes if stroke.velocity > loudest / 2], dtype=np.float64)


def _weight(instrument: Instrument, note: Note) -> float:
    loud = 0.4 + 0.6 * note.velocity
    if instrument.is_drum:
        return loud * (_KICK_OR_SNARE_WEIGHT if note.pitch in _KICKS | _SNARES else _OTHER_DRUM_WEIGHT)
    lasting = min(max((note.end_s - note.start_s) / _LASTING_S, 0.4), 1.0)
    return loud * lasting * (_BASS_WEIGHT if instrument.program in _BASS_PROGRAMS else _PITCHED_WEIGHT)


def _tempo(times: FloatArray, weights: FloatArray, snares: FloatArray) -> float:
    """The tempo in BPM whose beats collect the onsets best, and every second of whose beats the snare."""
    periods = 60.0 / _CANDIDATES_BPM
    scores = _collected(times, weights, periods)
    scores /= scores.max()
    if len(snares) >= _MIN_SNARES:
        backbeats = _collected(snares, np.ones_like(snares), 2 * periods)
        scores *= _WITHOUT_SNARE + backbeats / backbeats.max()
    usual = np.exp(-0.5 * (np.log2(_CANDIDATES_BPM / _USUAL_BPM) / _USUAL_OCTAVES) ** 2)
    return float(_CANDIDATES_BPM[np.argmax(scores * usual)])


def _collected(times: FloatArray, weights: FloatArray, periods: FloatArray) -> FloatArray:
    """How much weight evenly spaced beats collect, of all there is times per beat; placed anew in each stretch.

    Twice the tempo collects more of all but less per beat, half the tempo the other way round: the product has its
    maximum where beats are neither empty nor left out.
    """
    scores = np.zeros(len(periods))
    # Transfer function of the smoothing over phases, shape (candidates, harmonics).
    harmonics = np.arange(_PHASES // 2 + 1)
    smoothing = np.exp(-2 * (np.pi * harmonics * (_TOLERANCE_S / periods)[:, None]) ** 2)
    rows = np.arange(len(periods))[:, None]
    for start_s in np.arange(times[0], max(times[-1] - _STRETCH_S / 2, times[0] + 0.1), _HOP_S):
        first, last = np.searchsorted(times, (start_s, start_s + _STRETCH_S))
        if last - first < 2:
            continue
        phases = np.mod((times[first:last] - start_s) / periods[:, None], 1.0)
        bins = rows * _PHASES + (phases * _PHASES).astype(np.int64) % _PHASES
        held = np.bincount(bins.ravel(), np.tile(weights[first:last], len(periods)), len(periods) * _PHASES)
        smooth = np.fft.irfft(np.fft.rfft(held.reshape(-1, _PHASES)) * smoothing, _PHASES)
        on_beats = smooth.max(axis=1) / periods  # up to a constant
        scores += on_beats**2 * periods**_PER_BEAT / weights[first:last].sum()
    return scores


def _tracked(times: FloatArray, weights: FloatArray, period: float) -> FloatArray:
    """Beats about ``period`` seconds apart that meet the onsets, by dynamic programming; seconds."""
    origin = times[0] - period
    n_frames = int((times[-1] - origin + period) * _FRAMES_PER_S) + 1
    envelope = np.bincount(np.rint((times - origin) * _FRAMES_PER_S).astype(np.int64), weights, n_frames)
    envelope = scipy.ndimage.gaussian_filter1d(envelope, _TOLERANCE_S * _FRAMES_PER_S)
    envelope /= envelope.std()
    lag = period * _FRAMES_PER_S
    lags = np.arange(int(lag * _LAG_RANGE[0]), int(lag * _LAG_RANGE[1]) + 1)
    cost = -_TIGHTNESS * np.log(lags / lag) ** 2
    longest = int(lags[-1])
    score = np.concatenate([np.zeros(longest), envelope])
    backwards = cost[::-1]
    before = np.full(n_frames, -1, dtype=np.int64)
    for frame in range(int(lags[0]), n_frames):
        reached = score[frame + longest - lags[-1] : frame + longest - lags[0] + 1] + backwards
        best = int(reached.argmax())
        score[frame + longest] += reached[best]
        before[frame] = frame - lags[-1] + best
    at = int(score[-int(lag) :].argmax()) + n_frames - int(lag)
    beats = []
    while at >= 0:
        beats.append(at)
        at = int(before[at])
    return np.asarray(beats[::-1], dtype=np.float64) / _FRAMES_PER_S + float(origin)


def _regular(beats: FloatArray, times: FloatArray, weights: FloatArray) -> FloatArray:
    """Beats without the jitter of single notes: evenly spaced where that fits, else with a tempo that varies slowly."""
    beats = _on_onsets(beats, times, weights)
    index = np.arange(len(beats))
    even: FloatArray = np.polyval(np.polyfit(index, beats, 1), index).astype(np.float64)
    if len(beats) < _SMOOTHED_BEATS:
        return even
    smooth: FloatArray = scipy.signal.savgol_filter(beats, _SMOOTHED_BEATS, 1, mode="interp")
    return even if np.abs(smooth - even).max() < _STEADY_S else smooth


def _on_onsets(beats: FloatArray, times: FloatArray, weights: FloatArray) -> FloatArray:
    """Each beat at the mean of the onsets near it, where there are any; frames are too coarse."""
    nearest = np.clip(np.searchsorted(beats, times), 1, len(beats) - 1)
    nearest -= times - beats[nearest - 1] < beats[nearest] - times
    near = np.abs(times - beats[nearest]) < 2 * _TOLERANCE_S
    total = np.bincount(nearest[near], weights[near], len(beats))
    offset = np.bincount(nearest[near], weights[near] * (times - beats[nearest])[near], len(beats))
    return beats + np.divide(offset, total, out=np.zeros_like(beats), where=total > 0)


def _confidence(times: FloatArray, weights: FloatArray, beats: FloatArray) -> float:
    """How far the onsets are on beats or half beats beyond chance: 0.5 where random onsets never came."""
    period = float(np.median(np.diff(beats)))
    position = np.interp(times, beats, np.arange(len(beats)))
    clear = 0.0
    for parts in (1, 2):
        off_s = np.abs(position * parts - np.rint(position * parts)) / parts * period
        share = float((weights * np.exp(-0.5 * (off_s / _TOLERANCE_S) ** 2)).sum() / weights.sum())
        chance = min(np.sqrt(2 * np.pi) * _TOLERANCE_S * parts / period, 0.9)
        clear = max(clear, (share - chance) / (1 - chance))
    # Few random onsets fall in line more easily.  The most in 25 random songs: .48 with 30 onsets, .39 with 60, .27
    # with 120, .14 with 400, .09 with 1 600.
    by_chance = 0.05 + 2.6 / np.sqrt(len(times))
    return float(np.clip(0.5 * clear / by_chance, 0.0, 1.0))


def _extended(beats: FloatArray, first_s: float, last_s: float) -> FloatArray:
    """With beats before and after, at the tempo of the ends, so that a bar can begin before the first note."""
    ends = min(len(beats) - 1, 8)
    at_start, at_end = (beats[ends] - beats[0]) / ends, (beats[-1] - beats[-1 - ends]) / ends
    before = int(np.ceil(max(beats[0] - first_s, 0.0) / at_start)) + BEATS_PER_BAR
    after = int(np.ceil(max(last_s - beats[-1], 0.0) / at_end)) + 1
    head = beats[0] - at_start * np.arange(before, 0, -1)
    return np.concatenate([head, beats, beats[-1] + at_end * np.arange(1, after + 1)])


def _downbeat(instruments: Iterable[Instrument], beats: FloatArray) -> int:
    """Which of the first four beats begins a bar: where bass drum, crashes and long or low notes start, not snares."""
    strength = np.zeros(len(beats))
    for instrument in instruments:
        starts = np.array([note.start_s for note in instrument.notes])
        nearest = np.rint(np.interp(starts, beats, np.arange(len(beats)))).astype(np.int64)
        accents = np.array([_accent(instrument, note) for note in instrument.notes])
        near = np.abs(beats[nearest] - starts) < 2 * _TOLERANCE_S
        np.add.at(strength, nearest[near], accents[near])
    return int(np.argmax([strength[first::BEATS_PER_BAR].sum() for first in range(BEATS_PER_BAR)]))


def _accent(instrument: Instrument, note: Note) -> float:
    """How much a note on a beat speaks for a new bar."""
    if instrument.is_drum:
        kind = (
            1.0 if note.pitch in _KICKS else 4.0 if note.pitch in _CYMBALS else -1.0 if note.pitch in _SNARES else 0.0
        )
        return kind * note.velocity
    length = min(note.end_s - note.start_s, 2.0)
    return note.velocity * length * (1.0 if instrument.program in _BASS_PROGRAMS else 0.5)


def _covering(beats: FloatArray, first_s: float) -> FloatArray:
    """From the bar on in which the first note starts; one just ahead of its downbeat belongs to it."""
    nearly_s = float(np.median(np.diff(beats))) / 8  # half a sixteenth: it is written on the downbeat
    bars = np.searchsorted(beats[::BEATS_PER_BAR], first_s + nearly_s, side="right")
    return beats[max(int(bars) - 1, 0) * BEATS_PER_BAR :]


def _fixed_grid(times: FloatArray, last_s: float, confidence: float) -> BeatGrid:
    n_beats = int(last_s * FALLBACK_BPM / 60) + 2 * BEATS_PER_BAR
    beats: FloatArray = np.arange(n_beats, dtype=np.float64) * (60 / FALLBACK_BPM)
    return BeatGrid(_covering(beats, times[0] if len(times) else 0.0), FALLBACK_BPM, confidence, detected=False)
