"""Networks that are watched, held or made to fail, and segments that are known again, for tests of batches."""

import threading
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.source import AudioSource
from pipeline.errors import Cancelled
from pipeline.models.network import SeparationModel
from pipeline.separation.batcher import Batcher, Lane
from pipeline.separation.separator import Separator

SEGMENT_SAMPLES = 44_100
ALL = (0, 1, 2)
LONG_S = 60.0  # longer than any test takes
MARK = 50.0  # a window with a sample beyond this is the one that something happens to

Samples = NDArray[np.float32]
Fills = list[tuple[int, int]]
MakeModel = Callable[..., SeparationModel]
MakeSource = Callable[..., AudioSource]
MakeBatcher = Callable[..., Batcher]


class Watch:
    """Runs a network and keeps the first sample of every row that it was given."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        self.rows.append([round(value, 3) for value in mix[:, 0, 0].tolist()])
        return network(mix)

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # separators run copies of their networks


class Gate(Watch):
    """Runs only when it is let; tells when it would."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.let = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        self.arrived.release()
        assert self.let.acquire(timeout=LONG_S)
        return super().__call__(network, mix)

    def open(self) -> None:
        self.let.release(1000)


class SmallMemory(Watch):
    """Has room for only so many segments."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        if len(mix) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB.")
        return super().__call__(network, mix)


class NotNumbers(Watch):
    """Gives NaN for marked windows; only in bfloat16, or always."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.always = always

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        estimate = super().__call__(network, mix)
        if self.always or torch.is_autocast_enabled("cpu"):
            estimate[mix.amax(dim=(1, 2)) > MARK, 0, 0, 7] = torch.nan
        return estimate


class Crash(Watch):
    """Fails where a marked window is in the batch."""

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        estimate = super().__call__(network, mix)
        if mix.amax() > MARK:
            raise RuntimeError("a kernel failed")
        return estimate


class LateRiser(threading.Condition):
    """One of its threads, once woken up, does nothing until it is let."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.asleep, self.let = threading.Event(), threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name != self.name:
            return super().wait(timeout)
        self.asleep.set()
        woken = super().wait(timeout)
        self.release()
        assert self.let.wait(LONG_S)
        self.acquire()
        return woken


class Acting(nn.Module):
    """A network with something around it."""

    def __init__(self, network: nn.Module, act: Watch) -> None:
        super().__init__()
        self.network, self.act = network, act

    def forward(self, mix: Tensor) -> Tensor:
        return self.act(self.network, mix)


def window(value: float) -> Samples:
    """Noise that begins with a known sample."""
    samples = np.random.default_rng(round(1000 * value)).standard_normal((2, SEGMENT_SAMPLES)).astype(np.float32)
    samples[:, 0] = value
    return samples


def marked(value: float) -> Samples:
    samples = window(value)
    samples[:, 1] = 2 * MARK
    return samples


def unheard() -> None:
    """What is called by a song that nobody stops."""


def stop() -> None:
    raise Cancelled("enough")


def put(lane: Lane, *values: float) -> None:
    for value in values:
        lane.put(window(value))


def alone(batcher: Batcher, samples: Samples, stems: tuple[int, ...] = ALL, *, row: int = 0) -> Samples:
    """What comes of a segment with nothing but silence in its batch."""
    with batcher.lane(stems, 1, row) as lane:
        lane.put(samples)
        return lane.take(unheard)


def everything(separator: Separator, mix: AudioSource, stems: tuple[str, ...] | None = None) -> Samples:
    return np.concatenate(list(separator.stream(mix, stems=stems)), axis=-1)


def noise(n_samples: int) -> Samples:
    return (0.1 * np.random.default_rng(n_samples).standard_normal((2, n_samples))).astype(np.float32)
