"""From Kie requests to tasks: what is checked, in which order, and how a refusal reads."""

import asyncio
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx

from service.context import Context
from service.db.models import ApiKey, Task, TaskKind, TaskStatus
from service.errors import AddressRefused, Invalid, NotFound, SourceFetchFailed
from service.kie.wire import MidiRequest, SeparationRequest
from service.net.addresses import endpoint, resolve
from service.store.records import TaskRecord

SEPARATION_TYPES = ("separate_vocal", "split_stem")
_MAX_URL_LENGTH = 2048
_RESOLVE_TIMEOUT_S = 2.0
_NO_RECORD = "Record does not exist"
# What ids look like; anything else does not exist, and the database is not asked (PostgreSQL fails on a NUL).
_HEX_ID = re.compile("[0-9a-f]{32}")  # of tasks and files
_AUDIO_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def create_separation(request: SeparationRequest, key: ApiKey, context: Context) -> Task:
    """Queue a separation.

    Raises:
        Invalid: a field is missing or wrong, or the source does not exist.
    """
    callback_url = await _callback_url(request.call_back_url, context)
    kind = request.type or SEPARATION_TYPES[0]
    if kind not in SEPARATION_TYPES:
        raise Invalid(f"type must be one of {', '.join(SEPARATION_TYPES)}, not {kind!r}.")
    by_id = bool(request.task_id or request.audio_id)
    if by_id == bool(request.audio_url):
        raise Invalid("Give either taskId and audioId, or audioUrl.")
    params: dict[str, Any] = {"type": kind, "model": context.settings.separation_model}
    if request.audio_url:
        source_id, parent_id = await _source_by_url(request.audio_url, params, key, context)
    else:
        source_id, parent_id = await _source_by_id(request, key, context)
    return await context.store.tasks.create(
        key_id=key.id,
        kind=TaskKind.SEPARATION,
        params=params,
        callback_url=callback_url,
        source_track_id=source_id,
        parent_task_id=parent_id,
    )


async def create_midi(request: MidiRequest, key: ApiKey, context: Context) -> Task:
    """Queue the transcription of a finished separation, or of one of its stems.

    Raises:
        Invalid: a field is missing or wrong, the separation does not exist, is not finished, or has expired.
    """
    callback_url = await _callback_url(request.call_back_url, context)
    if not request.task_id:
        raise Invalid("taskId is required: the id of a completed separation.")
    separation = await _find_task(request.task_id, key, context, TaskKind.SEPARATION)
    if separation is None:
        raise Invalid(_NO_RECORD)
    if separation.status != TaskStatus.SUCCEEDED:
        raise Invalid(f"The separation {separation.id} is {separation.status}, not finished: MIDI needs its stems.")
    _refuse_expired(separation, context)
    stems = [item.track.id for item in await context.store.tasks.tracks(separation.id) if item.track.stem]
    if request.audio_id and request.audio_id not in stems:
        raise Invalid(_NO_RECORD)
    return await context.store.tasks.create(
        key_id=key.id,
        kind=TaskKind.MIDI,
        params={"audio_id": request.audio_id or None},
        callback_url=callback_url,
        parent_task_id=separation.id,
    )


async def find_record(task_id: str | None, kind: TaskKind, key: ApiKey, context: Context) -> TaskRecord:
    """The record that record-info shows.

    Raises:
        Invalid: no taskId was given.
        NotFound: no such task of this kind and key, or its time is over.
    """
    if not task_id:
        raise Invalid("taskId is required.")
    task = await _find_task(task_id, key, context, kind)
    record = None if task is None else await context.store.tasks.record(task.id)
    if record is None or _is_expired(record.task, context):
        raise NotFound(_NO_RECORD)
    return record


async def _find_task(task_id: str, key: ApiKey, context: Context, *kinds: TaskKind) -> Task | None:
    if not _HEX_ID.fullmatch(task_id):
        return None
    return await context.store.tasks.find(key.id, task_id, *kinds)


async def _source_by_id(request: SeparationRequest, key: ApiKey, context: Context) -> tuple[str, str]:
    if not request.task_id:
        raise Invalid("taskId is required beside audioId.")
    if not request.audio_id:
        raise Invalid("audioId is required beside taskId.")
    if not _AUDIO_ID.fullmatch(request.audio_id):
        raise Invalid(_NO_RECORD)
    task = await _find_task(request.task_id, key, context)
    track = await context.store.tasks.track(request.audio_id)
    if task is None or track is None or track.track.task_id != task.id or _is_expired(task, context):
        raise Invalid(_NO_RECORD)
    return track.track.id, task.id


async def _source_by_url(url: str, params: dict[str, Any], key: ApiKey, context: Context) -> tuple[str, str | None]:
    """A link of our own is the track it points to; any other address is fetched by the worker."""
    if (file_id := context.links.file_id(url)) is not None:
        known = _HEX_ID.fullmatch(file_id)
        track = await context.store.tasks.track_of_file(key.id, file_id) if known else None
        if track is None:
            raise Invalid(_NO_RECORD)
        return track.track.id, track.track.task_id
    await check_url("audioUrl", url, context)
    params["audio_url"] = url
    return str(uuid.uuid4()), None  # the id its track will have once it is fetched


async def _callback_url(url: str | None, context: Context) -> str:
    if not url:
        raise Invalid("Please enter callBackUrl.")
    await check_url("callBackUrl", url, context)
    return url


async def check_url(field: str, url: str, context: Context) -> None:
    """Refuse what can be known to be wrong at once; whatever is reached later is vetted again then.

    Raises:
        Invalid: not an http(s) address, too long, or of a host that may not be reached.
    """
    if len(url) > _MAX_URL_LENGTH:
        raise Invalid(f"{field} is longer than {_MAX_URL_LENGTH} characters.")
    try:
        host, port = endpoint(httpx.URL(url))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Invalid(f"{field} must be an http or https URL. {error}") from error
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            await resolve(host, port, context.settings.allow_addresses)
    except AddressRefused as error:
        raise Invalid(f"{field}: {error.message}") from error
    except (SourceFetchFailed, TimeoutError):
        return  # a name that does not resolve now may do so when it is needed


def _is_expired(task: Task, context: Context) -> bool:
    return task.expires_ms is not None and task.expires_ms <= context.clock.now_ms()


def _refuse_expired(task: Task, context: Context) -> None:
    if _is_expired(task, context):
        when = datetime.fromtimestamp((task.expires_ms or 0) / 1000, UTC)
        raise Invalid(f"The separation {task.id} expired on {when:%Y-%m-%d %H:%M} UTC; its stems are gone.")
