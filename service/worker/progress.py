"""How far a job is, told across threads; how long its stages took; and the way to stop it."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from pipeline.errors import Cancelled

T = TypeVar("T")
_TELLING_FRACTION = 0.05


class JobProgress:
    """Written by the job's thread, read by the worker's loop.

    The pipeline calls :meth:`report` many times a second; that is where a stop takes effect.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._on_stop: list[Callable[[], object]] = []
        self._before = 0.0  # of the whole job: what the stages that are done make up
        self._share = 1.0  # and the one that is running
        self.stage = "starting"
        self.fraction = 0.0
        self._started_s = time.monotonic()
        self.stage_seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str, share: float = 1.0) -> Iterator[None]:
        """A stage of the job, whose time is taken when it ends well.

        Args:
            name: what its speed is kept under.
            share: how much of the job's time it takes, 0-1; its reports are scaled to that.
        """
        self._share = share
        started_s = time.monotonic()
        yield
        self.stage_seconds[name] = time.monotonic() - started_s
        self._before += share

    def skip(self, share: float) -> None:
        """Go past a stage that was done before."""
        self._before += share

    def remaining_s(self) -> float:
        """How long the rest should take, from how long it took so far; infinite where that tells nothing."""
        if self.fraction < _TELLING_FRACTION:
            return math.inf
        return (time.monotonic() - self._started_s) * (1 - self.fraction) / self.fraction

    def report(self, stage: str, fraction: float) -> None:
        """Say where the job is.

        Args:
            stage: a word for people (``separating``).
            fraction: of the part that is running, 0-1.

        Raises:
            Cancelled: the job is to stop.
        """
        if self._stopped.is_set():
            raise Cancelled("The worker was told to stop this task.")
        self.stage, self.fraction = stage, self._before + self._share * fraction

    def stop(self) -> None:
        """Make the next report raise, and call what asked to be called; from the loop's thread only."""
        self._stopped.set()
        for call in self._on_stop:
            call()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something that makes no reports, such as a download; a stop cancels it.

        Raises:
            Cancelled: the job is to stop.
        """
        try:
            self.report(self.stage, 0.0)
        except Cancelled:
            work.close()  # never begun
            raise
        task = asyncio.ensure_future(work)
        self._on_stop.append(task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            if self._stopped.is_set():
                raise Cancelled("The worker was told to stop this task.") from None
            raise
        finally:
            self._on_stop.remove(task.cancel)
