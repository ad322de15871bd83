"""Where the notes of one voice start and end: a small network's opinion, frame by frame, and the best reading of it.

The network gives, for every 10 ms, how likely a note starts there and how likely one sounds.  A reading of the whole
recording is a sequence of notes and pauses; the best one is found by dynamic programming over the moments where
something may happen, and has to agree with the pitch too.  Vibrato and scoops cost a note little, because the cost of a
wrong pitch is bounded, and far less than another note would.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from pipeline.progress import OnProgress, unheard
from pipeline.transcription.singing_features import FRAMES_PER_S, VOICED, FloatArray, Voice, span_means

WEIGHTS_PATH = Path(__file__).with_name("vocals_network.npz")
DILATIONS = (1, 2, 4, 8, 16)
FIRST_WIDTH = 5  # frames that the first layer looks at

# What a reading of the recording gains and loses by, in units of log odds.  All were tried on the synthetic singer,
# where onset F is .837 with a pitch weight of 0.1, .822 with 0.25 and .795 with 0.4: the network knows that singer.  Of
# real singers it is less sure and the pitch says more: there 0.4 is no worse than 0.25 unaccompanied, and better out of
# a mix (.53 against .52, with offsets .41 against .38).
PITCH_WEIGHT = 0.4  # per voiced frame and semitone off
LARGEST_MISS = 1.5  # semitones; being further off costs no more (3.0: onset F -.015)
ACTIVE_WEIGHT = 0.5  # 0.2 and 1.0 differ by less than .003
NOTE_COST = 1.0  # 0.5 and 2.0: onset F -.003 and -.006
LOGIT_LIMIT = 5.0  # no single frame decides
POSSIBLE_ONSET = 0.04  # least probability at which a peak is weighed as an onset
SHORTEST_FRAMES = 7  # shorter than 70 ms is an ornament (90 ms: onset F -.001)
LONGEST_FRAMES = 12 * FRAMES_PER_S  # bounds the search
STEP_SPAN = 8  # frames whose mean pitch is taken before and after a step
SMALLEST_STEP = 0.5  # semitones
PITCH_STEP = 1 / 3  # semitones between the pitches a note may have while its bounds are sought (Mauch et al. 2015)

# Semitones.  On the synthetic singer .863 of the notes get the right number, .851 with the median of their middle.
DENSITY_WIDTH, DENSITY_STEP = 0.3, 0.05
FEWEST_TUNED = 10  # notes
# Length of the mean of the notes' pitches on a circle of one semitone; 1 = all on one grid.  Of simulated singers with
# an intonation of 0.16 semitones .995 of the notes come out right (.972 without), with 0.3 as many as without.
CLEAR_TUNING = 0.5
MOMENTS_PER_REPORT = 256
LONG_ENOUGH_FRAMES = 30  # a longer note says no more about the tuning


@dataclass(frozen=True, slots=True)
class Opinion:
    """Probabilities, both float32, shape (n_frames,): that a note starts in a frame, that one sounds."""

    onset: FloatArray
    active: FloatArray


@dataclass(frozen=True, slots=True)
class Segment:
    """One note: frames ``[start, end)``, fractional MIDI pitch, probability that it starts there."""

    start: int
    end: int
    midi: float
    onset: float


@cache
def _load(path: Path) -> dict[str, FloatArray]:
    with np.load(path) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _convolved(values: FloatArray, weights: FloatArray, bias: FloatArray, dilation: int) -> FloatArray:
    """Convolution over time, edges taken as zero: values (n, in), weights (width, in, out) -> (n, out)."""
    n_frames, width = len(values), len(weights)
    margin = (width // 2) * dilation
    padded = np.pad(values, ((margin, margin), (0, 0)))
    out = np.tile(bias, (n_frames, 1))
    for tap in range(width):
        out += padded[tap * dilation : tap * dilation + n_frames] @ weights[tap]
    return out


def opinion(features: FloatArray, path: Path = WEIGHTS_PATH, on_progress: OnProgress = unheard) -> Opinion:
    """Run the network: float32 features, shape (n_frames, N_FEATURES); ``on_progress`` is told of every layer."""
    weights = _load(path)
    normal = (features - weights["mean"]) / weights["deviation"]
    hidden = np.maximum(_convolved(normal, weights["first"], weights["first_bias"], 1), 0.0)
    for layer, dilation in enumerate(DILATIONS):
        on_progress((layer + 1) / (len(DILATIONS) + 1))
        hidden = hidden + np.maximum(
            _convolved(hidden, weights[f"layer{layer}"], weights[f"bias{layer}"], dilation), 0.0
        )
    values = 1.0 / (1.0 + np.exp(-(hidden @ weights["last"] + weights["last_bias"])))
    return Opinion(values[:, 0], values[:, 1])


def _logit(probability: FloatArray) -> NDArray[np.float64]:
    bounded = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.clip(np.log(bounded / (1 - bounded)), -LOGIT_LIMIT, LOGIT_LIMIT)


def _pitch_steps(voice: Voice) -> NDArray[np.int64]:
    """Frames where the pitch changes from one level to another faster than anywhere near."""
    before, after = span_means(voice.midi, voice.confidence >= VOICED, STEP_SPAN)
    step = np.nan_to_num(np.abs(after - before), nan=0.0)
    highest = scipy.ndimage.maximum_filter1d(step, STEP_SPAN + 1, mode="nearest")
    return np.flatnonzero((step >= highest) & (step > SMALLEST_STEP))


def _moments(voice: Voice, heard: Opinion) -> NDArray[np.int64]:
    """Frames where a note may start or end.

    They are the peaks of the onset probability, where activity sets in or dies, and where the pitch changes.
    """
    highest = scipy.ndimage.maximum_filter1d(heard.onset, 5, mode="nearest")
    peaks = np.flatnonzero((heard.onset >= highest) & (heard.onset >= POSSIBLE_ONSET))
    sounding = heard.active > 0.5
    edges = np.flatnonzero(np.diff(sounding.astype(np.int8))) + 1
    return np.unique(np.concatenate([[0], peaks, edges, _pitch_steps(voice), [len(heard.onset)]]))


def segments(voice: Voice, heard: Opinion, on_progress: OnProgress = unheard) -> list[Segment]:
    """The best reading of a voice.

    Args:
        voice: pitch and confidence of every frame.
        heard: the network's opinion of the same frames.
        on_progress: told after some hundred of the moments that are weighed.

    Returns:
        Notes by start; they do not overlap.
    """
    believed = voice.confidence >= VOICED
    if not believed.any():
        return []
    lowest, highest = voice.midi[believed].min(), voice.midi[believed].max()
    pitches = np.arange(lowest, highest + PITCH_STEP, PITCH_STEP, dtype=np.float32)
    moments = _moments(voice, heard)
    misses = np.minimum(np.abs(voice.midi[:, None] - pitches), LARGEST_MISS) * (believed * voice.confidence)[:, None]
    missed = np.concatenate([np.zeros((1, len(pitches))), np.cumsum(misses, axis=0, dtype=np.float64)])[moments]
    activity = np.concatenate([[0.0], np.cumsum(_logit(heard.active) * ACTIVE_WEIGHT)])[moments]
    inner = np.append(moments[:-1], len(heard.onset) - 1)
    started = _logit(heard.onset[inner]) - NOTE_COST

    # Everything is counted relative to silence: a note gains or loses by each of its parts, a pause nothing.
    best = np.zeros(len(moments))
    back = np.zeros(len(moments), dtype=np.int64)  # where the last piece started
    is_note = np.zeros(len(moments), dtype=bool)
    for b in range(1, len(moments)):
        if b % MOMENTS_PER_REPORT == 0:
            on_progress(b / len(moments))
        best[b] = best[b - 1]
        back[b] = b - 1
        first = int(np.searchsorted(moments, moments[b] - LONGEST_FRAMES))
        last = int(np.searchsorted(moments, moments[b] - SHORTEST_FRAMES, side="right"))
        if last <= first:
            continue
        costs = PITCH_WEIGHT * (missed[b] - missed[first:last]).min(axis=1)
        gains = best[first:last] + started[first:last] + (activity[b] - activity[first:last]) - costs
        a = int(gains.argmax())
        if gains[a] > best[b]:
            best[b] = gains[a]
            back[b], is_note[b] = first + a, True
    found = []
    b = len(moments) - 1
    while b > 0:
        a = int(back[b])
        if is_note[b]:
            midi = _main_pitch(voice, int(moments[a]), int(moments[b]))
            found.append(Segment(int(moments[a]), int(moments[b]), midi, float(heard.onset[inner[a]])))
        b = a
    return [segment for segment in found[::-1] if not np.isnan(segment.midi)]


def _main_pitch(voice: Voice, start: int, end: int) -> float:
    """The pitch a note stays at most: the peak of its pitches' density; NaN if no frame is voiced."""
    midi = voice.midi[start:end][voice.confidence[start:end] >= VOICED]
    if len(midi) == 0:
        return float("nan")
    grid = np.arange(midi.min(), midi.max() + DENSITY_STEP, DENSITY_STEP)
    density = np.exp(-0.5 * ((grid[:, None] - midi) / DENSITY_WIDTH) ** 2).sum(axis=1)
    return float(grid[density.argmax()])


def tuning(found: list[Segment]) -> float:
    """How far a voice lies from equal temperament at 440 Hz, in semitones, -0.5 to 0.5; 0 where that is unclear.

    It is clear where the notes lie close to one grid: an inexact singer's offset is chance, and correcting it would
    move as many notes away from what was meant as towards it.
    """
    if len(found) < FEWEST_TUNED:
        return 0.0
    lengths = np.array([segment.end - segment.start for segment in found], dtype=np.float64)
    turns = np.exp(2j * np.pi * np.array([segment.midi for segment in found]))
    mean = complex(
        (np.minimum(lengths, LONG_ENOUGH_FRAMES) * turns).sum() / np.minimum(lengths, LONG_ENOUGH_FRAMES).sum()
    )
    return float(np.angle(mean) / (2 * np.pi)) if abs(mean) > CLEAR_TUNING else 0.0
