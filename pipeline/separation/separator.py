"""A song in, the estimates of its stems out, a piece at a time."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource
from pipeline.errors import ModelError
from pipeline.models.network import SeparationModel
from pipeline.progress import OnProgress, unheard
from pipeline.separation.batcher import Batcher, OnBatch
from pipeline.separation.device import choose_device, choose_dtype
from pipeline.separation.networks import Networks
from pipeline.separation.overlap_add import OverlapAdd, Segment, plan_segments

_STD_EPSILON = 1e-8  # added to the standard deviation, as in demucs/api.py

# On a CPU a batch of two takes 1.1 times as long as two batches of one, and 0.8 GB more memory.
_CPU_BATCH = 1
_MAX_GPU_BATCH = 16
_GPU_BYTES_PER_SEGMENT = 3 << 29  # 1.5 GiB; a batch of one takes 0.8 GB on a CPU, in either precision


class Separator:
    """A separation model, resident on a device.

    Deterministic: same input, model, device, batch size and settings give the same samples, whatever else is
    separated. Several threads may stream at once; their segments share batches
    (:mod:`pipeline.separation.batcher`).

    Args:
        model: the model; left as it is.
        device: auto, cuda, mps or cpu.
        precision: fp32, bf16, or auto for bf16 where the hardware multiplies it.
        batch_size: segments to run at once; by default one on a CPU, and on a GPU what its memory has room for. When
            that proves too many, it is halved.
        on_batch: told of every batch (:data:`pipeline.separation.batcher.OnBatch`).

    Raises:
        DeviceMissing: the device is not on this machine.
        ValueError: no such precision.
    """

    def __init__(
        self,
        model: SeparationModel,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.model = model
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device, precision)
        networks = Networks(model, self.device, self.dtype)
        self._batcher = Batcher(networks, batch_size or _default_batch(self.device), on_batch)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the model's order."""
        return self.model.sources

    @property
    def rate_hz(self) -> int:
        """The sample rate it works at."""
        return self.model.rate_hz

    def stream(
        self, mix: AudioSource, on_progress: OnProgress = unheard, *, stems: Sequence[str] | None = None
    ) -> Generator[NDArray[np.float32]]:
        """Estimate the stems of a mix; memory does not grow with its length.

        Each segment is the one that ``demucs.apply.apply_model`` would separate, and the mix is normalised as
        ``demucs.api`` does it: by mean and standard deviation of the mean of its channels. As there, an offset in
        the mix is in every stem.

        Args:
            mix: at :attr:`rate_hz`; stereo, or mono, which every channel of the model is given.
            on_progress: told while the mix is measured, then of every segment, before each network hears it and four
                times a second while it waits for other songs'. An exception that it raises passes through.
            stems: names of those wanted; by default all.

        Returns:
            float32 arrays of shape (len(stems), the model's channels, n), in order, of ``mix.n_samples`` together.
            All zeros for a mix that does not move, such as silence.  Close it when you stop halfway: what is left of
            this mix would go into others' batches.

        Raises:
            ModelError: the model has no such stem, or gives values that are not numbers.
            OutOfMemory: the device has too little memory for even one segment.
        """
        names = self.stems if stems is None else tuple(stems)
        if missing := [name for name in names if name not in self.stems]:
            raise ModelError(
                f"The model {self.model.name} has no stem {missing[0]!r}, only {', '.join(self.stems)}. "
                "Choose another model."
            )
        if mix.rate_hz != self.rate_hz or mix.channels not in (1, self.model.channels):
            raise ValueError(
                f"A mix of {mix.channels} channels at {mix.rate_hz} Hz does not fit {self.model.name}, "
                f"which takes 1 or {self.model.channels} at {self.rate_hz} Hz."
            )
        return self._stream(mix, tuple(self.stems.index(name) for name in names), on_progress)

    def _stream(
        self, mix: AudioSource, stems: tuple[int, ...], on_progress: OnProgress
    ) -> Generator[NDArray[np.float32]]:
        segments = plan_segments(mix.n_samples, self.model.segment_samples)
        shape = (len(stems), self.model.channels)
        level = _measure(mix, lambda _measured: on_progress(0.0))
        joined = OverlapAdd(shape, self.model.segment_samples)
        windows = (self._window(mix, segment, level) for segment in segments)
        with self._batcher.lane(stems, 0 if level.is_still else len(segments), first=mix.n_samples) as lane:
            for index, segment in enumerate(segments):
                tell = partial(on_progress, index / len(segments))
                if level.is_still:
                    tell()
                    yield np.zeros((*shape, segment.n_new), dtype=np.float32)
                else:
                    for window in islice(windows, lane.room):
                        lane.put(window)
                    yield joined.add(segment, lane.take(tell)) * level.std + level.mean
        on_progress(1.0)

    def _window(self, mix: AudioSource, segment: Segment, level: "_Level") -> NDArray[np.float32]:
        """What the networks are given of a segment: normalised, float32, shape (channels, segment_samples)."""
        window = np.zeros((self.model.channels, self.model.segment_samples), dtype=np.float32)
        start = max(segment.window_start, 0)
        audio = mix.read(start, segment.window_start + self.model.segment_samples - start)
        inset = start - segment.window_start
        window[:, inset : inset + audio.shape[1]] = (audio - level.mean) / level.std
        return window


@dataclass(frozen=True, slots=True)
class _Level:
    """What a mix is normalised by.

    Attributes:
        mean: of the mean of its channels.
        std: standard deviation of the mean of its channels, and a little more.
        is_still: whether no channel ever changes.
    """

    mean: np.float32
    std: np.float32
    is_still: bool


def _measure(mix: AudioSource, on_progress: OnProgress) -> _Level:
    n, mean, square = 0, 0.0, 0.0  # square: the sum of squared differences from the mean
    first = mix.read(0, 1)
    is_still = True
    for block in mix.blocks(on_progress=on_progress):
        is_still = is_still and bool((block == first).all())
        mono = block.mean(axis=0, dtype=np.float64)
        step = mono.mean() - mean
        square += mono.var() * len(mono) + step**2 * n * len(mono) / (n + len(mono))  # Chan et al. 1979
        n += len(mono)
        mean += step * len(mono) / n
    std = np.sqrt(square / max(n - 1, 1))
    return _Level(np.float32(mean), np.float32(std + _STD_EPSILON), is_still)


def _default_batch(device: torch.device) -> int:
    if device.type != "cuda":
        return _CPU_BATCH
    _free, total = torch.cuda.mem_get_info(device)  # what is free now would make results depend on the moment
    return min(max(total // _GPU_BYTES_PER_SEGMENT, 1), _MAX_GPU_BATCH)
