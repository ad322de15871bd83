"""What the drum network says to strokes: peaks of probability, between the frames, of the likeliest class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from pipeline.transcription.drum_classes import FAMILIES
from pipeline.transcription.drum_features import FRAMES_PER_S, FloatArray

PEAK_FRAMES = 3  # a stroke must be the highest within 30 ms to both sides: faster than any roll
QUIETEST = 1 / 127


@dataclass(frozen=True)
class Stroke:
    """One stroke: time in s, name of its class, velocity 0-1."""

    time_s: float
    name: str
    velocity: float


def peak_frames(probability: FloatArray, threshold: float) -> npt.NDArray[np.intp]:
    """Frames where the probability is above the threshold and the highest nearby; of a plateau the first."""
    highest = scipy.ndimage.maximum_filter1d(probability, 2 * PEAK_FRAMES + 1, mode="constant")
    frames = np.flatnonzero((probability >= threshold) & (probability == highest))
    apart = np.diff(frames, prepend=-PEAK_FRAMES - 1) > PEAK_FRAMES
    return frames[apart]


def _refined(probability: FloatArray, frames: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Times in seconds: the vertex of the parabola through each peak and its neighbours."""
    left, right = np.pad(probability, 1)[frames], np.pad(probability, 1)[frames + 2]
    bend = np.maximum(2.0 * probability[frames] - left - right, 1e-6)
    shift = np.clip(0.5 * (right - left) / bend, -0.5, 0.5)
    return np.asarray(np.maximum((frames + shift) / FRAMES_PER_S, 0.0), dtype=np.float64)


def strokes(onset: FloatArray, velocity: FloatArray, kinds: FloatArray, threshold: float) -> list[Stroke]:
    """The strokes of a recording, family by family.

    Args:
        onset: probabilities, (n_frames, 5).
        velocity: 0-1, (n_frames, 5).
        kinds: logits of all classes, (n_frames, 11).
        threshold: of the probability.
    """
    found = []
    first = 0
    for family, names in enumerate(FAMILIES.values()):
        probability = onset[:, family]
        frames = peak_frames(probability, threshold)
        chosen = kinds[frames, first : first + len(names)].argmax(axis=1)
        times = _refined(probability, frames)
        loudness = np.clip(velocity[frames, family], QUIETEST, 1.0)
        found += [
            Stroke(float(time_s), names[kind], float(loud))
            for time_s, kind, loud in zip(times, chosen, loudness, strict=True)
        ]
        first += len(names)
    return found
