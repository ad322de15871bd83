"""From how likely each frame is a beat to beats: the most likely sequence whose tempo changes little from beat to beat.

A hidden semi-Markov model: a state is a beat with the time since the one before.  It is the bar pointer model of Krebs,
Boeck and Widmer ("An efficient state-space model for joint tempo and meter tracking", ISMIR 2015) less the bars.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.progress import OnProgress

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_BPM, MAX_BPM = 50.0, 250.0
_FASTER = 2  # frames of the tracker to one of the network: a beat at 250 BPM is 24
# A change of tempo by 10 % from one beat to the next costs this much, in nats; a frame more or less next to nothing.
# Twice as much made no difference to the 26 songs for tuning (beat F .800 and .799).
_CHANGE_COST = 6.0
_WIDEST_CHANGE = 0.12  # of the longest beat; larger changes take more than one beat
# How much a frame without a beat counts: neighbours are not independent (.5: tempo .58 for .635).
_OFF_WEIGHT = 0.8
_LEAST, _MOST = 0.05, 0.99
# People tap around 2 Hz: twice and half of it are rarer.  And they tap twice from one back beat to the next.  Both in
# nats a second: tempo .80 of the songs for tuning; .74 where only the first beat tells.
_USUAL_BPM, _USUAL_OCTAVES, _USUAL_WEIGHT = 115.0, 0.7, 1.5
_BACKBEAT_WEIGHT, _BACKBEAT_OCTAVES = 1.0, 0.06


def track_beats(logits: FloatArray, frames_per_s: int, backbeat_s: float | None, on_progress: OnProgress) -> FloatArray:
    """The beats, in seconds.

    Args:
        logits: of a beat in each frame, shape (n_frames,); music from the first frame to the last.
        frames_per_s: of the logits.
        backbeat_s: time from one back beat to the next, if there are any.
        on_progress: told every few seconds of the song.

    Returns:
        Increasing times, shape (n_beats,); at least two, or none if the song is shorter than two beats.
    """
    rate = frames_per_s * _FASTER
    n = (len(logits) - 1) * _FASTER + 1
    fine = np.interp(np.arange(n) / _FASTER, np.arange(len(logits)), logits)
    p = np.clip(1.0 / (1.0 + np.exp(-fine)), _LEAST, _MOST)
    on, off = np.log(p), np.log1p(-p) * _OFF_WEIGHT
    until = np.concatenate([[0.0], np.cumsum(off)])
    lags = np.arange(int(np.floor(60 / MAX_BPM * rate)), int(np.ceil(60 / MIN_BPM * rate)) + 1)
    if n <= lags[0]:
        return np.zeros(0)
    usual = -0.5 * _USUAL_WEIGHT * (np.log2(60 * rate / lags / _USUAL_BPM) / _USUAL_OCTAVES) ** 2
    if backbeat_s is not None:
        octaves = np.log2(lags * 2 / rate / backbeat_s)
        usual += _BACKBEAT_WEIGHT * np.exp(-0.5 * (octaves / _BACKBEAT_OCTAVES) ** 2)
    usual *= lags / rate
    offsets = np.arange(-int(_WIDEST_CHANGE * lags[-1]), int(_WIDEST_CHANGE * lags[-1]) + 1)
    steps = np.abs(offsets)[None, :]
    tenths = np.maximum(steps - _FASTER, 0.1 * steps) / (0.1 * lags[:, None])
    change = -_CHANGE_COST * tenths  # [to, from - to]
    padded = np.full(len(lags) + 2 * offsets[-1], -np.inf)
    nearby = np.lib.stride_tricks.sliding_window_view(padded, len(offsets))
    longest, rows = int(lags[-1]), np.arange(len(lags))
    # Of the best beats until one at t, lags[i] after the one before: score[t, i] is how good they are, is_first whether
    # there is none before.  Of those until one at t whose next follows after lags[i]: onward[t, i] is how good they
    # are, came_by[t, i] by how much the interval before t is longer.  Scores are kept for the last beats only.
    score, onward = np.full((longest, len(lags)), -np.inf), np.full((longest + 1, len(lags)), -np.inf)
    is_first = np.empty((n, len(lags)), dtype=np.bool_)
    came_by = np.empty((n, len(lags)), dtype=np.int8)
    for t in range(n):
        if t % (8 * rate) == 0:
            on_progress(t / n)
        before = t - lags
        reached = onward[before % len(onward), rows] - until[np.maximum(before + 1, 0)] + usual
        begun = 0.0 if t < longest else -np.inf  # the first beat comes at once
        is_first[t] = reached < begun
        padded[offsets[-1] : -offsets[-1]] = score[t % longest] = on[t] + until[t] + np.maximum(reached, begun)
        options = change + nearby
        best = options.argmax(axis=1)
        came_by[t] = offsets[best]
        onward[t % len(onward)] = options[rows, best]
    ends = np.arange(max(n - longest, 0), n)
    final = score[ends % longest] - until[ends + 1, None]
    last, lag = np.unravel_index(int(final.argmax()), final.shape)
    return _traced(int(ends[last]), int(lag), lags, is_first, came_by) / rate


def _traced(at: int, lag: int, lags: IntArray, is_first: NDArray[np.bool_], came_by: NDArray[np.int8]) -> FloatArray:
    """The beats that led to the one at frame ``at``, ``lags[lag]`` after the one before: frames, increasing."""
    beats = [at]
    while not is_first[at, lag]:
        at -= int(lags[lag])
        lag += int(came_by[at, lag])
        beats.append(at)
    return np.array(beats[::-1], dtype=np.float64)
