"""The networks of a separator on their device."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.models.network import SeparationModel
from pipeline.separation.fast_network import make_fast


class Networks:
    """Runs batches of segments through every network of a model, and takes the weighted mean.

    For one thread at a time.

    Args:
        model: the networks and their weights; left as they are.
        device: where to run them.
        dtype: float32 or bfloat16.
    """

    def __init__(self, model: SeparationModel, device: torch.device, dtype: torch.dtype) -> None:
        self._model = model
        self._device = device
        self._dtype = dtype
        weights = torch.tensor(model.weights, dtype=torch.float32)
        self._shares = weights / weights.sum(0)  # of a network in a stem
        self._ready = cache(self._make_ready)
        # Of cuDNN's kernels for transposed convolutions the fastest may add up in any order.
        torch.backends.cudnn.deterministic = True

    def estimate(
        self, windows: Tensor, wanted: Mapping[int, tuple[int, ...]], on_network: Callable[[], None]
    ) -> dict[int, NDArray[np.float32] | ModelError]:
        """Separate segments.

        Args:
            windows: float32, shape (batch, channels, n_samples), on the CPU.
            wanted: by the row in ``windows``, which of the model's sources are wanted; the other rows only fill up the
                batch.  Networks without weight in any source that is wanted do not run.
            on_network: called before each network runs.  An exception that it raises passes through.

        Returns:
            By row, float32, shape (number of its sources, channels, n_samples); or an error, where the networks give
            values that are not numbers, even in float32.

        Raises:
            torch.OutOfMemoryError: the batch is too large for the device.
        """
        with torch.inference_mode():
            estimates = self._weighted_means(windows, wanted, self._dtype, on_network)
            outcomes: dict[int, NDArray[np.float32] | ModelError] = {}
            for row, estimate in estimates.items():
                is_finite = _is_finite(estimate)
                if not is_finite and self._dtype != torch.float32:
                    # Alone, whatever else is in the batch: the result must not depend on that.
                    one = windows[row : row + 1], {0: wanted[row]}
                    estimate = self._weighted_means(*one, torch.float32, on_network)[0]
                    is_finite = _is_finite(estimate)
                outcomes[row] = estimate.numpy() if is_finite else self._not_numbers()
            return outcomes

    def _weighted_means(
        self,
        windows: Tensor,
        wanted: Mapping[int, tuple[int, ...]],
        dtype: torch.dtype,
        on_network: Callable[[], None],
    ) -> dict[int, Tensor]:
        batch = windows.to(self._device)
        parts: dict[int, list[Tensor]] = {row: [] for row in wanted}
        for index, shares in enumerate(self._shares):
            asking = {row: list(stems) for row, stems in wanted.items() if shares[list(stems)].any()}
            if not asking:
                continue
            on_network()
            network = self._ready(index, dtype)
            with torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32):
                estimate = network(batch)
            for row, stems in asking.items():
                parts[row].append(shares[stems, None, None] * estimate[row, stems].float().cpu())
        return {row: torch.stack(some).sum(0) if len(some) > 1 else some[0] for row, some in parts.items()}

    def _make_ready(self, index: int, dtype: torch.dtype) -> nn.Module:
        return make_fast(self._model.networks[index], dtype).to(self._device)

    def _not_numbers(self) -> ModelError:
        return ModelError(
            f"{self._model.name} gave values that are not numbers. Its weights may be damaged: try "
            f"`stemscribe models verify {self._model.name}`."
        )


def _is_finite(estimate: Tensor) -> bool:
    low, high = estimate.aminmax()
    return bool(low.isfinite() and high.isfinite())
