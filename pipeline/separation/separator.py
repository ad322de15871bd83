"""A resident separator: audio at the model's rate in, stems out, a piece at a time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.audio.source import AudioSource
from pipeline.models.network import SeparationModel
from pipeline.separation.device import choose_device, has_fast_bf16
from pipeline.separation.overlap_add import OverlapAdd, Plan, Segment, batches

_EPSILON = 1e-8  # as the reference adds to the standard deviation
_BATCH_SIZES = {"cuda": 8, "mps": 2, "cpu": 1}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a separation is, in segments."""

    done: int
    total: int


OnProgress = Callable[[Progress], None]


class Separator:
    """Applies a separation model; for one caller at a time.

    Args:
        model: the networks and what they say of themselves.
        device: auto, cuda, mps or cpu.
        precision: fp32, bf16, or auto: bf16 where the hardware multiplies it faster.
        batch_size: segments that go through a network together; by the device if not given.

    Raises:
        DeviceMissing: the device is not on this machine.
    """

    def __init__(
        self,
        model: SeparationModel,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        self.model = model
        self._device = choose_device(device)
        self._bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16(self._device))
        self._batch_size = batch_size or _BATCH_SIZES[self._device.type]
        self._networks = [network.to(self._device) for network in model.networks]

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, as the model gives them."""
        return self.model.sources

    def stream(self, mix: AudioSource, on_progress: OnProgress | None = None) -> Iterator[NDArray[np.float32]]:
        """Separate, giving finished samples as they come.

        Args:
            mix: audio at the model's rate; mono is heard as stereo with equal channels.
            on_progress: told after every segment; what it raises ends the separation.

        Yields:
            float32, shape (n_stems, model channels, n), in order; together as long as the mix.
        """
        mean, std = _mean_and_std(mix)
        if std == 0.0:  # silence, or a constant: there is nothing to separate
            yield from self._silence(mix)
            return
        plan = Plan(mix.n_samples, self.model.segment_samples)
        segments = plan.segments()
        overlap_add = OverlapAdd(plan, (len(self.stems), self.model.channels))
        done = 0
        for batch in batches(segments, self._batch_size):
            inputs = torch.stack([self._input(mix, segment, plan, mean, std) for segment in batch])
            for segment, output in zip(batch, self._apply(inputs), strict=True):
                finished = overlap_add.add(segment, output) * std + mean
                done += 1
                if on_progress is not None:
                    on_progress(Progress(done, len(segments)))
                yield finished.numpy()

    def _silence(self, mix: AudioSource) -> Iterator[NDArray[np.float32]]:
        for block in mix.blocks():
            yield np.zeros((len(self.stems), self.model.channels, block.shape[1]), dtype=np.float32)

    def _input(self, mix: AudioSource, segment: Segment, plan: Plan, mean: float, std: float) -> Tensor:
        """The network's input for a segment: float32, shape (channels, segment_samples)."""
        before = max(0, -segment.padded_start)
        samples = mix.read(max(0, segment.padded_start), plan.segment_samples - before)
        normal = np.zeros((self.model.channels, plan.segment_samples), dtype=np.float32)
        normal[:, before : before + samples.shape[1]] = (samples - mean) / std
        return torch.from_numpy(normal)

    def _apply(self, inputs: Tensor) -> Tensor:
        """Stems of a batch: float32 on the CPU, shape (batch, n_stems, channels, segment_samples)."""
        total = torch.tensor(self.model.weights).sum(0)[:, None, None]
        stems = torch.zeros(len(inputs), len(self.stems), *inputs.shape[1:])
        for network, weights in zip(self._networks, self.model.weights, strict=True):
            if any(weights):
                stems += self._run(network, inputs) * torch.tensor(weights)[:, None, None]
        return stems / total

    def _run(self, network: torch.nn.Module, inputs: Tensor) -> Tensor:
        on_device = inputs.to(self._device)
        if self._bf16:
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
                out: Tensor = network(on_device).float().cpu()
            if out.isfinite().all():
                return out.clone()
        with torch.inference_mode():
            return torch.Tensor(network(on_device).float().cpu()).clone()


def _mean_and_std(mix: AudioSource) -> tuple[float, float]:
    """Mean and standard deviation (with the reference's epsilon; 0 for silence) of the mean of the channels."""
    total = total_square = 0.0
    for block in mix.blocks():
        mono = block.mean(axis=0, dtype=np.float64)
        total += float(mono.sum())
        total_square += float(np.square(mono).sum())
    n = mix.n_samples
    if n < 2:
        return 0.0, 0.0
    mean = total / n
    variance = max(0.0, (total_square - n * mean * mean) / (n - 1))
    return (mean, math.sqrt(variance) + _EPSILON) if variance > 0.0 else (mean, 0.0)
