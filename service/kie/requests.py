"""What the requests for tasks share: how they are spelled, and the checks that all of them need."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from service.api.checks import check_url, find_track, is_expired, kept_task, read_record
from service.context import Context
from service.db.models import Dialect, Task, TaskKind
from service.errors import Invalid
from service.store.records import NewTask, TaskRecord, TrackFile

if TYPE_CHECKING:  # the worker, which presents records in callbacks, does without the HTTP framework
    from service.api.auth import Caller

_REQUEST = "request"  # where a task's params keep what was sent
_MAX_KEPT_BYTES = 10_000  # two addresses of the greatest length; what is longer has junk in fields that are ignored


@dataclass(frozen=True, slots=True)
class Route:
    """By which kind of route a task is asked for.

    Attributes:
        dialect: whose shapes its callback has.
        field: what the client calls a field of ours.
        needs_callback: whether ``callBackUrl`` must be there.
    """

    dialect: Dialect
    field: Callable[[str], str]
    needs_callback: bool

    def task(self, kind: TaskKind, params: dict[str, Any], callback: str | None, caller: "Caller") -> NewTask:
        """A task that was asked for by this route; what it works on is still to be told."""
        return NewTask(
            key_id=caller.key.id,
            kind=kind,
            dialect=self.dialect,
            task_id=caller.task_id,
            params=params,
            callback_url=callback,
        )


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


GENERATE = Route(Dialect.KIE, _camel, needs_callback=True)
JOBS = Route(Dialect.KIE_JOBS, "input.{}".format, needs_callback=False)


def sent(request: msgspec.Struct) -> dict[str, Any]:
    """Task parameters that keep a request as it was sent."""
    if len(msgspec.json.encode(request)) > _MAX_KEPT_BYTES:
        return {}
    return {_REQUEST: msgspec.to_builtins(request)}


def sent_request(task: Task) -> dict[str, Any]:
    """The request that a task was made by; empty where it was not kept."""
    request: dict[str, Any] = task.params.get(_REQUEST, {})
    return request


async def callback_url(url: str | None, route: Route, context: Context) -> str | None:
    """The address that a request gives for its callback, checked.

    Raises:
        Invalid: it is missing, or may not be reached.
    """
    if url:
        await check_url("callBackUrl", url, context)
        return url
    if route.needs_callback:
        raise Invalid("Please enter callBackUrl.")
    return None


async def track_by_id(
    task_id: str | None, audio_id: str | None, route: Route, caller: "Caller", context: Context
) -> TrackFile:
    """The track that two ids name.

    Raises:
        Invalid: one is missing, or there is no such track of the caller's.
    """
    task_field, audio_field = route.field("task_id"), route.field("audio_id")
    if not task_id:
        raise Invalid(f"{task_field} is required beside {audio_field}.")
    if not audio_id:
        raise Invalid(f"{audio_field} is required beside {task_field}.")
    return await find_track(task_id, audio_id, caller.key, context)


def refuse_expired(separation: Task, context: Context) -> None:
    """Refuse a separation whose stems are gone, or are going.

    Raises:
        Invalid: its time is over; the message says since when.
    """
    if is_expired(separation, context):
        when = datetime.fromtimestamp((separation.expires_ms or 0) / 1000, UTC)
        raise Invalid(f"The separation {separation.id} expired on {when:%Y-%m-%d %H:%M} UTC; its stems are gone.")


async def record_asked_for(task_id: str | None, caller: "Caller", context: Context, *kinds: TaskKind) -> TaskRecord:
    """The record that record-info shows.

    Raises:
        Invalid: no taskId was given.
        NotFound: no such task of these kinds and this key, or its time is over.
    """
    if not task_id:
        raise Invalid("taskId is required.")
    return await read_record(await kept_task(task_id, caller.key, context, *kinds), context)
