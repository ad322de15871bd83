"""Cutting audio into overlapping segments and joining what was made of them, in constant memory.

Where segments lie, how they are padded and how they are weighted is that of ``apply_model`` in demucs 4.1
(``demucs/apply.py``, with ``split=True``, ``overlap=0.25``, ``transition_power=1`` and ``shifts=0``), so that the
result is the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERLAP = 0.25  # fraction of a segment that the next one covers too


@dataclass(frozen=True, slots=True)
class Segment:
    """One excerpt of the audio, and the window of ``segment_samples`` around it that a network is given.

    Attributes:
        start: first sample of the excerpt.
        n_samples: its length: ``segment_samples``, or less at the end of the audio.
        window_start: first sample of the window. A shorter excerpt lies in the middle of its window, with the audio
            before it on its left; what lies outside of the audio is zero.
        n_new: samples after which the next segment starts, or the audio ends.
    """

    start: int
    n_samples: int
    window_start: int
    n_new: int


def plan_segments(n_samples: int, segment_samples: int) -> tuple[Segment, ...]:
    """The segments of audio of ``n_samples``, in order; none if there is no audio."""
    stride = int((1 - OVERLAP) * segment_samples)
    segments = []
    for start in range(0, n_samples, stride):
        length = min(segment_samples, n_samples - start)
        segments.append(Segment(start, length, start - (segment_samples - length) // 2, min(stride, length)))
    return tuple(segments)


class OverlapAdd:
    """Adds up estimates of segments, weighted, and gives back the samples that no later segment reaches.

    Args:
        shape: what comes before time in an estimate's shape, such as (n_sources, channels).
        segment_samples: length of a window.
    """

    def __init__(self, shape: tuple[int, ...], segment_samples: int) -> None:
        self._triangle = _triangle(segment_samples)
        self._sum = np.zeros((*shape, segment_samples), dtype=np.float32)
        self._weight = np.zeros(segment_samples, dtype=np.float32)

    def add(self, segment: Segment, estimate: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add what was made of the next segment.

        Args:
            segment: segments come in order, each once.
            estimate: float32, shape (*shape, segment_samples), for the whole window.

        Returns:
            float32, shape (*shape, segment.n_new): the samples from ``segment.start`` on.
        """
        inset = segment.start - segment.window_start
        triangle = self._triangle[: segment.n_samples]
        self._sum[..., : segment.n_samples] += triangle * estimate[..., inset : inset + segment.n_samples]
        self._weight[: segment.n_samples] += triangle
        done = self._sum[..., : segment.n_new] / self._weight[: segment.n_new]
        for total in (self._sum, self._weight):
            kept = total.shape[-1] - segment.n_new
            total[..., :kept] = total[..., segment.n_new :]
            total[..., kept:] = 0
        return done


def _triangle(n: int) -> NDArray[np.float32]:
    """Weights over a segment: up to 1 in the middle in equal steps, and down again."""
    rise = np.arange(1, n // 2 + 1)
    fall = np.arange(n - n // 2, 0, -1)
    weights = np.concatenate([rise, fall]).astype(np.float32)
    weights /= weights.max()
    return weights
