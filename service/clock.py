"""Time as the service sees it, injected so that tests never sleep."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

_log = logging.getLogger(__name__)

_SYNC_EVERY_S = 5.0
_TRY_EVERY_S = 0.25  # until it was read once: what is written before goes by this machine's own clock
_JUMP_MS = 2000  # more than drift and a slow answer explain


class Clock(Protocol):
    """Where "now" comes from."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000


class DatabaseClock:
    """The database server's clock: the one that all processes of a fleet share, however far apart their own are.

    Read now and then, and carried on between by the machine's steady clock, which nobody sets.  Until it was read for
    the first time, the machine's own.

    Args:
        read_ms: asks the database; Unix milliseconds.
    """

    def __init__(self, read_ms: Callable[[], Awaitable[int]]) -> None:
        self._read_ms = read_ms
        self._ahead_ms = time.time_ns() // 1_000_000 - _steady_ms()  # of the steady clock
        self._synced = False

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return _steady_ms() + self._ahead_ms

    async def sync(self) -> None:
        """Ask the database once; its answer is taken to be of the middle of the time that it took."""
        asked_ms = _steady_ms()
        there_ms = await self._read_ms()
        answered_ms = _steady_ms()
        if self._synced and answered_ms - asked_ms > _JUMP_MS:
            return  # it says too little of when that was
        ahead_ms = there_ms - (asked_ms + answered_ms) // 2
        if self._synced and abs(ahead_ms - self._ahead_ms) > _JUMP_MS:
            _log.warning("the database's clock was set: it is %+d ms from where it was", ahead_ms - self._ahead_ms)
        self._ahead_ms, self._synced = ahead_ms, True

    async def keep(self) -> None:
        """Ask again and again, until cancelled; a database that does not answer leaves the time as it goes."""
        while True:
            try:
                await self.sync()
            except Exception as error:
                _log.debug("the database's clock could not be read: %s", error)
            await asyncio.sleep(_SYNC_EVERY_S if self._synced else _TRY_EVERY_S)


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000
