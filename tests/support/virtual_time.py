"""Virtual time: the clock stands while anybody does something, then jumps to when the next one is to go on.

What is simulated are processes, coroutines that sleep only here.  Between two sleeps they do real work, with a real
database, which takes no virtual time.  Those that wake in the same tick run at once, and so contend with each other.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Coroutine, Iterator
from typing import Any

START_MS = 1_800_000_000_000


class VirtualTime:
    """A :class:`service.clock.Clock`, and what moves it.

    Args:
        tick_s: the grain of time; who wakes within the same tick, runs at once.
    """

    def __init__(self, tick_s: float = 0.5) -> None:
        self._tick_ms = max(1, round(1000 * tick_s))
        self._now_ms = START_MS
        self._sleepers: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._number = itertools.count()
        self._active = 0
        self._idle = asyncio.Event()
        self._processes: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self._now_ms - START_MS) / 1000

    def start(self, process: Coroutine[Any, Any, Any]) -> None:
        """Begin a process; one that fails ends the simulation."""
        self._active += 1  # before it runs: else time might go on without it
        task = asyncio.get_running_loop().create_task(process)
        self._processes.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._processes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed = self._failed or task.exception()
        self._rest()

    @contextlib.contextmanager
    def process(self) -> Iterator[None]:
        """Be a process, in a task that somebody else began."""
        self._active += 1
        try:
            yield
        finally:
            self._rest()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await self.wait(seconds, [])

    async def wait(self, seconds: float, waiting: "list[asyncio.Future[bool]]") -> bool:
        """Sleep, or be woken earlier by who takes this process from the ``waiting``; whether that happened."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        ticks = max(1, round(1000 * seconds / self._tick_ms))
        heapq.heappush(self._sleepers, (self._now_ms + ticks * self._tick_ms, next(self._number), future))
        waiting.append(future)
        self._rest()
        woken = await future
        if future in waiting:
            waiting.remove(future)
        return woken

    def wake(self, waiting: "list[asyncio.Future[bool]]") -> None:
        """Wake the one that has waited longest."""
        while waiting:
            if self._go_on(waiting.pop(0), woken=True):
                return

    def _go_on(self, future: "asyncio.Future[bool]", *, woken: bool) -> bool:
        if future.done():
            return False
        self._active += 1
        future.set_result(woken)
        return True

    def _rest(self) -> None:
        self._active -= 1
        if self._active == 0:
            self._idle.set()

    async def run(self) -> None:
        """Until every process has ended.

        Raises:
            RuntimeError: they all wait for each other.
        """
        while self._processes:
            await self._idle.wait()
            self._idle.clear()
            if self._failed is not None:
                await self._cancel()
                raise self._failed
            if self._active or not self._processes:
                continue
            if not self._sleepers:
                raise RuntimeError("all processes wait, and nobody sleeps")
            self._now_ms = max(self._now_ms, self._sleepers[0][0])
            woke = False
            while self._sleepers and self._sleepers[0][0] <= self._now_ms:
                woke |= self._go_on(heapq.heappop(self._sleepers)[2], woken=False)
            if not woke:  # they had been woken before
                self._idle.set()

    async def _cancel(self) -> None:
        for task in list(self._processes):
            task.cancel()
        await asyncio.gather(*self._processes, return_exceptions=True)
