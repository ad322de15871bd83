"""A task's progress as server-sent events, until it has ended.

Every event says all that there is to say, so a client that was cut off has lost nothing: it is told how things stand,
unless its ``Last-Event-ID`` shows that it knows.  Comments keep proxies from taking a silent stream for a dead one.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from weakref import WeakSet

import msgspec

from service.context import Context
from service.db.models import LIVE, Task, TaskStatus
from service.errors import TooManyRequests
from service.eta import estimate
from service.native.present import error_of
from service.native.wire import Progress

HEADERS = {
    "Cache-Control": "no-cache, no-transform",  # a proxy that compresses would hold events back
    "X-Accel-Buffering": "no",  # nginx
}
MOST_PER_KEY = 32  # streams at once, of one process
_LOOK_EVERY_S = 0.5
_HEARTBEAT_S = 10.0  # the shortest time after which proxies commonly cut a silent connection is 30 s
_RECONNECT_MS = 2000
_RETRY_AFTER_S = 5


class _Stream:
    """One open stream: as long as somebody holds it."""


class Streams:
    """Counts the open streams of every key; one that was never begun, or broken off, counts itself out."""

    def __init__(self) -> None:
        self._open: defaultdict[str, WeakSet[_Stream]] = defaultdict(WeakSet)

    def open(self, key_id: str) -> _Stream:
        """Count one more; it is open until nobody holds what is returned.

        Raises:
            TooManyRequests: the key has as many as it may.
        """
        of_key = self._open[key_id]
        if len(of_key) >= MOST_PER_KEY:
            raise TooManyRequests(f"This key follows {MOST_PER_KEY} tasks, which is its limit.", _RETRY_AFTER_S)
        stream = _Stream()
        of_key.add(stream)
        return stream


def event_id(task: Task) -> str:
    """Names the state of a task: it has another id when, and only when, there is something new to tell."""
    return f"{task.fence}-{task.status}-{task.stage or ''}-{task.progress:.4f}"


async def follow(
    task: Task, last_event_id: str | None, digest: str, context: Context, stream: _Stream
) -> AsyncIterator[bytes]:
    """The events of a task, encoded; they end with the task, with its record, with the key, and with the process.

    Args:
        task: as it is now.
        last_event_id: of the event that the client had last.
        digest: of the token that the client showed.
        context: the service's adapters.
        stream: held to the end.
    """
    now = asyncio.get_running_loop().time
    yield f"retry: {_RECONNECT_MS}\n\n".encode()
    told, told_at = last_event_id, now()
    current: Task | None = task
    while current is not None:
        if (latest := event_id(current)) != told:
            yield await _event(current, context)
            told, told_at = latest, now()
        elif now() - told_at >= _HEARTBEAT_S:
            # of a task that waits its turn, only the estimate moves
            yield await _event(current, context) if current.status == TaskStatus.QUEUED else b": still running\n\n"
            told_at = now()
        if current.status not in LIVE or await _stopping(context):
            break
        if await context.store.keys.find(digest) is None:  # revoked, or rotated and its time of grace over
            break
        current = await context.store.tasks.find(task.key_id, task.id)
    del stream


async def _stopping(context: Context) -> bool:
    """Wait until it is time for the next look; True if the process is to end."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(context.stopping.wait(), _LOOK_EVERY_S)
    return context.stopping.is_set()


async def _event(task: Task, context: Context) -> bytes:
    name = "progress" if task.status in LIVE else str(task.status)
    data = Progress(
        id=task.id,
        status=task.status,  # type: ignore[arg-type]  # the wire's names are the column's
        stage=task.stage,
        progress=round(task.progress, 4),
        eta_s=await estimate(task, context),
        error=error_of(task),
    )
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id(task).encode(), name.encode(), msgspec.json.encode(data))
