"""Networks small enough to run in no time, and audio on disk for them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.source import AudioSource
from pipeline.models.network import SeparationModel
from pipeline.separation.batcher import Batcher
from pipeline.separation.networks import Networks
from support.batching import SEGMENT_SAMPLES, Fills, MakeBatcher

SOURCES = ("drums", "vocals", "other")

MakeSource = Callable[..., AudioSource]
MakeModel = Callable[..., SeparationModel]


class Shares(nn.Module):
    """Separates by giving every stem a fixed share of the mix."""

    def __init__(self, *shares: float) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.tensor(shares), requires_grad=False)

    def forward(self, mix: Tensor) -> Tensor:
        return self.shares[:, None, None] * mix[:, None]


@pytest.fixture
def shares() -> type[Shares]:
    """The class of network that :class:`Shares` is."""
    return Shares


@pytest.fixture
def model_of() -> MakeModel:
    """Puts networks together as a model with segments of a fifth of a second."""

    def make(*networks: nn.Module, sources: tuple[str, ...] = SOURCES, **fields: Any) -> SeparationModel:
        model = SeparationModel(
            name="small",
            networks=networks,
            weights=((1.0,) * len(sources),) * len(networks),
            sources=sources,
            rate_hz=44_100,
            channels=2,
            segment_samples=8821,
        )
        return replace(model, **fields)

    return make


@pytest.fixture
def source(tmp_path: Path) -> MakeSource:
    """Puts samples of shape (channels, n) on disk as a decoder would."""

    def make(samples: NDArray[np.floating], rate_hz: int = 44_100, bits: int = 16) -> AudioSource:
        path = tmp_path / f"source-{len(list(tmp_path.iterdir()))}.f32"
        path.write_bytes(np.ascontiguousarray(samples.T, dtype="<f4").tobytes())
        return AudioSource(path, rate_hz, samples.shape[0], samples.shape[1], bits)

    return make


@pytest.fixture(scope="session")
def small_htdemucs() -> HTDemucs:
    """All the parts of htdemucs, a thousandth of the work, one second a segment, random weights that all matter."""
    torch.manual_seed(3)
    network = HTDemucs(
        list(SOURCES), channels=8, bottom_channels=32, t_layers=3, t_heads=4, dconv_mode=3, segment=Fraction(1)
    )
    for weight in network.parameters():
        # Norms and layer scales start at 0, 1 or 0.001 everywhere, where mistakes with them would not show.
        if weight.dim() == 1:
            weight.data += 0.3 * torch.rand_like(weight)
    return network.eval().requires_grad_(False)


@pytest.fixture
def fills() -> Fills:
    """What the observer was told."""
    return []


@pytest.fixture
def batcher_of(model_of: MakeModel, fills: Fills) -> MakeBatcher:
    def make(
        *networks: nn.Module,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        filling_s: float = 0.0,
        **fields: object,
    ) -> Batcher:
        model = model_of(*networks, segment_samples=SEGMENT_SAMPLES, **fields)
        ready = Networks(model, torch.device("cpu"), dtype)
        return Batcher(ready, batch_size, lambda *told: fills.append(told), filling_s=filling_s)

    return make


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads
