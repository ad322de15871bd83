"""Segments of a long signal through a network and back together, with memory that does not grow with its length.

Placement, padding and weights are those of ``demucs.apply.apply_model(split=True, shifts=0)``, so that the result is
the same to rounding; what differs is that segments go through the network in batches and that finished samples
leave at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

OVERLAP = 0.25  # of a segment, as the reference's default


@dataclass(frozen=True, slots=True)
class Segment:
    """One excerpt of the signal.

    Attributes:
        offset: its first sample.
        n_samples: its length; a full segment's but for the last ones.
        padded_start: where the network's input begins, perhaps before 0: a short segment stands in the middle of a
            full one, with what lies before it in the signal on its left and zeros beyond the end.
    """

    offset: int
    n_samples: int
    padded_start: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a signal is cut into segments.

    Attributes:
        n_samples: length of the signal.
        segment_samples: length of a full segment, and of every input of the network.
    """

    n_samples: int
    segment_samples: int

    @property
    def stride(self) -> int:
        """Samples from one segment's start to the next one's."""
        return int((1 - OVERLAP) * self.segment_samples)

    def segments(self) -> list[Segment]:
        """All segments in order."""
        segments = []
        for offset in range(0, self.n_samples, self.stride):
            n_samples = min(self.segment_samples, self.n_samples - offset)
            missing = self.segment_samples - n_samples
            segments.append(Segment(offset, n_samples, offset - missing // 2))
        return segments

    def weight(self) -> Tensor:
        """Triangular weight of a full segment: float32, shape (segment_samples,), 1 in the middle."""
        half = self.segment_samples // 2
        weight = torch.cat([torch.arange(1, half + 1), torch.arange(self.segment_samples - half, 0, -1)])
        return weight / weight.max()


class OverlapAdd:
    """Adds up weighted segments and gives back what no later segment will change.

    Args:
        plan: how the signal was cut.
        shape: of a segment's output without its time axis, e.g. (n_sources, channels).
    """

    def __init__(self, plan: Plan, shape: Sequence[int]) -> None:
        self._plan = plan
        self._weight = plan.weight()
        self._sum = torch.zeros(*shape, plan.segment_samples)
        self._weights = torch.zeros(plan.segment_samples)

    def add(self, segment: Segment, output: Tensor) -> Tensor:
        """Add the network's output for a segment; segments must come in order.

        Args:
            segment: where it belongs.
            output: float32 on the CPU, shape (*shape, segment_samples).

        Returns:
            The samples from this segment's start to the next one's (or to the end): float32, shape (*shape, n).
        """
        at = segment.offset - segment.padded_start
        weight = self._weight[: segment.n_samples]
        self._sum[..., : segment.n_samples] += weight * output[..., at : at + segment.n_samples]
        self._weights[: segment.n_samples] += weight
        n_done = min(self._plan.stride, self._plan.n_samples - segment.offset)
        done = self._sum[..., :n_done] / self._weights[:n_done]
        self._shift(n_done)
        return done

    def _shift(self, n: int) -> None:
        rest = self._plan.segment_samples - n
        for buffer in (self._sum, self._weights):
            buffer[..., :rest] = buffer[..., n:].clone()
            buffer[..., rest:] = 0


def batches(segments: Sequence[Segment], size: int) -> Iterator[Sequence[Segment]]:
    """Consecutive groups of at most ``size``."""
    for start in range(0, len(segments), size):
        yield segments[start : start + size]
