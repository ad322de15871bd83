"""What a process does besides its work, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from service.db.database import is_away

_log = logging.getLogger(__name__)


async def every(seconds: float, do: Callable[[], Awaitable[object]], unless: Callable[[], bool] = bool) -> None:
    """Do something again and again, until cancelled; one failed round is logged, not fatal."""
    while True:
        try:
            if not unless():
                await do()
        except Exception as error:
            known = is_away(error)
            _log.log(
                logging.WARNING if known else logging.ERROR,
                "%s failed: %s", getattr(do, "__qualname__", do), error, exc_info=None if known else error,
            )  # fmt: skip
        await asyncio.sleep(seconds)
