"""The stream of estimates over any length: placed as the reference places them, in constant memory."""

import tracemalloc
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from demucs.apply import apply_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.source import AudioSource
from pipeline.models.network import SeparationModel
from pipeline.separation.overlap_add import OverlapAdd, plan_segments
from pipeline.separation.separator import Separator

SHARES = (0.5, -0.3, 0.125)


class Sloping(nn.Module):
    """Gives more of the mix towards the end of a segment: a sample that was elsewhere in its segment comes out other.

    Args:
        segment_samples: the one length it takes.
        rate_hz: for the length in seconds that demucs asks for.
        slope: how much more from one sample to the next.
    """

    def __init__(self, segment_samples: int, rate_hz: int, slope: float) -> None:
        super().__init__()
        self.sources, self.samplerate = ["drums", "vocals", "other"], rate_hz
        self.segment = Fraction(segment_samples, rate_hz)
        self.gain = nn.Buffer(1 + slope * torch.arange(segment_samples))

    def valid_length(self, _length: int) -> int:
        return len(self.gain)

    def forward(self, mix: Tensor) -> Tensor:
        return torch.tensor(SHARES)[:, None, None] * (mix * self.gain)[:, None]


def noise(n_samples: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.2 * np.random.default_rng(seed).standard_normal((2, n_samples)) + 0.05).astype(np.float32)


def reference(network: nn.Module, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """As demucs.api separates: float32, shape (n_sources, channels, n)."""
    audio = torch.from_numpy(samples)
    mono = audio.mean(0)
    mean, std = mono.mean(), mono.std() + 1e-8
    return np.asarray(apply_model(network, ((audio - mean) / std)[None], shifts=0)[0] * std + mean)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(n_samples=st.integers(1, 700), segment_samples=st.integers(2, 130))
def test_segments_join_as_in_the_reference(n_samples: int, segment_samples: int) -> None:
    network = Sloping(segment_samples, 1000, slope=0.1)
    mix = torch.from_numpy(noise(n_samples))
    expected = apply_model(network, mix[None], shifts=0, split=True, overlap=0.25)[0]

    joined = OverlapAdd((3, 2), segment_samples)
    blocks = []
    for segment in plan_segments(n_samples, segment_samples):
        window = torch.zeros(1, 2, segment_samples)
        for at in range(segment_samples):
            if 0 <= segment.window_start + at < n_samples:
                window[0, :, at] = mix[:, segment.window_start + at]
        blocks.append(joined.add(segment, network(window)[0].numpy()))

    np.testing.assert_allclose(np.concatenate(blocks, axis=-1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("n_samples", [2, 6614, 6615, 8819, 8820, 8821, 13_230, 50_021, 300_000])
def test_streams_of_any_length_equal_the_reference(
    model_of: Callable[..., SeparationModel], source: Callable[..., AudioSource], n_samples: int, batch_size: int
) -> None:
    network = Sloping(8820, 44_100, slope=1e-4)
    samples = noise(n_samples)
    samples[:, : n_samples // 2] *= 0.01  # parts of different level and offset: the level is that of the whole
    separator = Separator(
        model_of(network, segment_samples=8820), device="cpu", precision="fp32", batch_size=batch_size
    )

    blocks = list(separator.stream(source(samples)))

    np.testing.assert_allclose(np.concatenate(blocks, axis=-1), reference(network, samples), rtol=0, atol=1e-6)


def test_memory_does_not_grow_with_the_length(
    model_of: Callable[..., SeparationModel], source: Callable[..., AudioSource]
) -> None:
    model = model_of(Sloping(100_000, 44_100, slope=0.0), segment_samples=100_000)
    separator = Separator(model, device="cpu", precision="fp32")

    def peak_bytes(n_samples: int) -> int:
        mix = source(noise(n_samples))
        tracemalloc.start()
        try:
            for _block in separator.stream(mix):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(300_000)  # makes the network ready
    assert peak_bytes(1_500_000) < 1.02 * peak_bytes(600_000)
