"""Writing what must be written, however long the database or the storage is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.db.database import is_away
from service.errors import StorageError

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0

_DATABASE_AWAY = "The database is away"

T = TypeVar("T")


async def insist(act: Callable[[], Awaitable[T]]) -> T:
    """Do something with the database or the storage, again and again while that is away; other errors pass.

    What was lost with the connection may have been a yes: ``act`` must stand being done twice.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await act()
        except Exception as error:
            if not (is_away(error) or isinstance(error, StorageError)):
                raise
            if pause_s == _FIRST_PAUSE_S:
                _log.warning(
                    "%s; what is done waits", error.detail if isinstance(error, StorageError) else _DATABASE_AWAY
                )
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
