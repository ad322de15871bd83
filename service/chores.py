"""What a process does besides its work, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from service.outages import log_failure

_log = logging.getLogger(__name__)


async def every(seconds: float, do: Callable[[], Awaitable[object]], unless: Callable[[], bool] = bool) -> None:
    """Do something again and again, until cancelled; one failed round is logged, not fatal."""
    while True:
        try:
            if not unless():
                await do()
        except Exception as error:
            log_failure(_log, f"{getattr(do, '__qualname__', do)} failed", error)
        await asyncio.sleep(seconds)
