"""The networks of a separator on their device."""

from collections.abc import Callable
from functools import cache
from threading import Lock

import torch
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.models.network import SeparationModel
from pipeline.separation.fast_network import make_fast


class Networks:
    """Runs batches of segments through every network of a model, and takes the weighted mean.

    Args:
        model: the networks and their weights; left as they are.
        device: where to run them.
        dtype: float32 or bfloat16.
    """

    def __init__(self, model: SeparationModel, device: torch.device, dtype: torch.dtype) -> None:
        self._model = model
        self._device = device
        self._dtype = dtype
        self._ready = cache(self._make_ready)
        self._lock = Lock()  # one batch at a time: memory is the limit, and one fills the device

    def estimate(self, batch: Tensor, stems: tuple[int, ...], on_network: Callable[[], None]) -> Tensor:
        """Separate segments.

        Args:
            batch: float32, shape (batch, channels, n_samples), on the CPU.
            stems: which of the model's sources are wanted. Networks without weight in any of them do not run.
            on_network: called before each network runs. An exception that it raises passes through.

        Returns:
            float32, shape (batch, len(stems), channels, n_samples), on the CPU.

        Raises:
            ModelError: the networks give values that are not numbers.
        """
        with self._lock, torch.inference_mode():
            for dtype in dict.fromkeys((self._dtype, torch.float32)):
                estimate = self._weighted_mean(batch, stems, dtype, on_network)
                low, high = estimate.aminmax()
                if low.isfinite() and high.isfinite():
                    return estimate
        raise ModelError(
            f"{self._model.name} gave values that are not numbers. Its weights may be damaged: try "
            f"`stemscribe models verify {self._model.name}`."
        )

    def _weighted_mean(
        self, batch: Tensor, stems: tuple[int, ...], dtype: torch.dtype, on_network: Callable[[], None]
    ) -> Tensor:
        weights = torch.tensor([[float(row[stem]) for stem in stems] for row in self._model.weights])
        weights /= weights.sum(0)
        batch = batch.to(self._device)
        parts = []
        for index in weights.any(1).nonzero().flatten().tolist():
            on_network()
            network = self._ready(index, dtype)
            with torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32):
                estimate = network(batch)
            parts.append(weights[index, :, None, None] * estimate[:, stems].float().cpu())
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _make_ready(self, index: int, dtype: torch.dtype) -> nn.Module:
        return make_fast(self._model.networks[index], dtype).to(self._device)
