"""How far a job is, told across threads; and the way to stop it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pipeline.errors import Cancelled

T = TypeVar("T")


class JobProgress:
    """Written by the job's thread, read by the worker's loop.

    The pipeline calls :meth:`report` after every segment and every stem; that is where a stop takes effect.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._on_stop: list[Callable[[], object]] = []
        self.stage = "starting"
        self.fraction = 0.0

    def report(self, stage: str, fraction: float) -> None:
        """Say where the job is.

        Args:
            stage: a word for people (``separating``).
            fraction: of the whole job, 0-1.

        Raises:
            Cancelled: the job is to stop.
        """
        if self._stopped.is_set():
            raise Cancelled("The worker was told to stop this task.")
        self.stage, self.fraction = stage, fraction

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
        self.report(self.stage, self.fraction)
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
