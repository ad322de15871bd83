"""Waiting for what other tasks, threads or processes do."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 20.0


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return as soon as a condition holds.

    Raises:
        TimeoutError: it does not in time.
    """
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 (conditions of processes and servers set no event)
            await asyncio.sleep(0.02)
