"""Several processes that train one network: each hears samples of its own, all take the same steps.

On a CPU a process for each core is faster than one process with as many threads (by 1.2 times on two cores).
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as distributed
from torch import multiprocessing, nn

_TIMEOUT = timedelta(hours=1)  # a process may be stopped for a while


@dataclass(frozen=True)
class ProcessGroup:
    """The place of this process among those that train.

    Attributes:
        rank: 0 for the one that keeps checkpoints.
        world_size: how many there are.
    """

    rank: int = 0
    world_size: int = 1

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all processes' gradients."""
        if self.world_size == 1:
            return
        gradients = [value.grad for value in parameters if value.grad is not None]
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(joined)
        joined /= self.world_size
        pieces = torch.split(joined, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


def run_processes(work: Callable[[ProcessGroup], None], world_size: int) -> None:
    """Do the same work in ``world_size`` processes of one thread each; in this one if there is but one.

    Args:
        work: can be pickled.
        world_size: number of processes.
    """
    if world_size == 1:
        work(ProcessGroup())
        return
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_member, (work, world_size, Path(folder) / "meeting"), nprocs=world_size)  # type: ignore[attr-defined,no-untyped-call]


def _member(rank: int, work: Callable[[ProcessGroup], None], world_size: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=meeting.as_uri(), rank=rank, world_size=world_size, timeout=_TIMEOUT
    )
    try:
        work(ProcessGroup(rank, world_size))
    finally:
        distributed.destroy_process_group()
