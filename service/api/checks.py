"""Checks that every dialect makes of what clients send: ids, addresses, links of our own."""

import asyncio
import re

import httpx

from pipeline.transcription.choices import AUTO, TRANSCRIBERS
from service.api.wording import shown
from service.context import Context
from service.db.models import ApiKey, Task, TaskKind
from service.errors import AddressRefused, Invalid, NotFound, SourceFetchFailed
from service.net.addresses import endpoint, resolve
from service.store.records import TaskRecord, TrackFile

NO_RECORD = "Record does not exist"
_MAX_URL_LENGTH = 2048
_RESOLVE_TIMEOUT_S = 2.0
# What ids look like; anything else does not exist, and the database is not asked (PostgreSQL fails on a NUL).
_HEX_ID = re.compile("[0-9a-f]{32}")  # of tasks and files
_AUDIO_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def known_transcriber(field: str, name: str | None) -> str:
    """The transcriber that a request names; the default where it names none.

    Raises:
        Invalid: there is no such transcriber.
    """
    if not name:
        return AUTO
    if name not in TRANSCRIBERS:
        raise Invalid(f"{field} must be one of {', '.join(TRANSCRIBERS)}, not {shown(name)}.", field=field)
    return name


async def find_task(task_id: str, key: ApiKey, context: Context, *kinds: TaskKind) -> Task | None:
    """The caller's task of one of ``kinds`` (any, when none is named), its time over or not."""
    if not _HEX_ID.fullmatch(task_id):
        return None
    return await context.store.tasks.find(key.id, task_id, *kinds)


async def kept_task(task_id: str, key: ApiKey, context: Context, *kinds: TaskKind) -> Task:
    """The caller's task of one of ``kinds`` (any, when none is named), its time not over.

    Raises:
        NotFound: no such task of this key, or its time is over.
    """
    task = await find_task(task_id, key, context, *kinds)
    if task is None or is_expired(task, context):
        raise NotFound(NO_RECORD)
    return task


async def read_record(task: Task, context: Context, *, with_notes: bool = True) -> TaskRecord:
    """A task with all that belongs to it, without its note lists if so wished.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    record = await context.store.tasks.record(task.id, with_notes=with_notes)
    if record is None:
        raise NotFound(NO_RECORD)
    return record


async def find_track(task_id: str, audio_id: str, key: ApiKey, context: Context) -> TrackFile:
    """One track of one of the caller's tasks.

    Raises:
        Invalid: no such track of that task, or its time is over.
    """
    task = await find_task(task_id, key, context)
    track = await context.store.tasks.track(audio_id) if _AUDIO_ID.fullmatch(audio_id) else None
    if task is None or track is None or track.track.task_id != task.id or is_expired(task, context):
        raise Invalid(NO_RECORD)
    return track


async def track_behind_url(field: str, url: str, key: ApiKey, context: Context) -> TrackFile | None:
    """The caller's track that a link of our own points to; None for an address that audio can be fetched from.

    Raises:
        Invalid: a link of our own, but to no track of the caller's; or an address that may not be reached.
    """
    file_id = context.links.file_id(url)
    if file_id is None:
        await check_url(field, url, context)
        return None
    track = await context.store.tasks.track_of_file(key.id, file_id) if _HEX_ID.fullmatch(file_id) else None
    if track is None:
        raise Invalid(NO_RECORD, field=field)
    return track


async def check_url(field: str, url: str, context: Context) -> None:
    """Refuse what can be known to be wrong at once; whatever is reached later is vetted again then.

    Raises:
        Invalid: not an http(s) address, too long, or of a host that may not be reached.
    """
    if len(url) > _MAX_URL_LENGTH:
        raise Invalid(f"{field} is longer than {_MAX_URL_LENGTH} characters.", field=field)
    try:
        host, port = endpoint(httpx.URL(url))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Invalid(f"{field} must be an http or https URL. {error}", field=field) from error
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            await resolve(host, port, context.settings.allow_addresses)
    except AddressRefused as error:
        raise Invalid(f"{field}: {error.message}", field=field) from error
    except (SourceFetchFailed, TimeoutError):
        return  # a name that does not resolve now may do so when it is needed


def is_expired(task: Task, context: Context) -> bool:
    """Whether a task's time is over, though the janitor has not been there yet."""
    return task.expires_ms is not None and task.expires_ms <= context.clock.now_ms()
