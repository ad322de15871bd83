"""From requests to tasks: where the audio is, what is checked, and how a refusal reads."""

import uuid
from dataclasses import replace
from pathlib import Path

import httpx

from pipeline.conversion.formats import FORMATS
from service.api.auth import Caller
from service.api.checks import check_url, find_task, is_expired, read_record, track_behind_url
from service.api.incoming import scratch_file, stored_source
from service.api.injection import KeyRequest
from service.api.made_files import made_file, shared_source
from service.api.wording import shown
from service.context import Context
from service.db.models import Dialect, File, Task, TaskKind
from service.errors import BadRequest, Invalid, NotFound, NotOffered
from service.limits import limits_of
from service.musicgpt.body import FILE_FIELD, Fields, read_body
from service.musicgpt.endpoints import BY_TYPE, NOT_OFFERED_TYPES, Endpoint
from service.names import clean_name, converted_name
from service.storage.source_buckets import is_object_address
from service.store.records import NewTask, TaskRecord, TrackFile

_ADDRESS_FIELDS = ("audio_url", "audio_path")
_SOURCES = (*_ADDRESS_FIELDS, FILE_FIELD)
_LINK_MARGIN_MS = 7 * 24 * 3600 * 1000  # a promised link outlasts a file that had to wait so long to be made
# Of these the header tells the length to the sample; of others it is an estimate, and the worker finds out.
_EXACT = ("audio/wav", "audio/flac", "audio/aiff")


async def create(endpoint: Endpoint, request: KeyRequest, context: Context) -> Task:
    """Queue what a request asks for.

    Raises:
        BadRequest, TooLarge: the body cannot be read, or is too large; a parameter is missing.
        Invalid: a parameter is wrong.
        NotFound: there is no such object in the storage.
        AudioError: the file that was sent along is no audio that is taken.
        TooManyRequests, PaymentRequired: a limit of the key.
    """
    async with scratch_file(context) as path:
        fields = await read_body(
            request.stream(), request.headers.get("content-type", ""), path, context.settings.max_upload_bytes
        )
        task_id = request.user.task_id
        if task_id is not None and (made := await find_task(task_id, request.user.key, context)) is not None:
            return made  # by an attempt at this very request that broke off; its source may be gone since
        address = _address(fields)
        params = endpoint.params(fields, context)
        callback = fields.text("webhook_url") or None
        if callback is not None:
            await check_url("webhook_url", callback, context)
        new = NewTask(
            key_id=request.user.key.id,
            kind=endpoint.kind,
            dialect=Dialect.MUSICGPT,
            task_id=task_id,
            params=params,
            callback_url=callback,
        )
        if address is None:
            return await _over_upload(new, fields, path, request.user, context)
        return await _over_address(new, *address, request.user, context)


async def find(
    conversion_type: str | None, task_id: str | None, conversion_id: str | None, caller: Caller, context: Context
) -> TaskRecord:
    """The record that ``byId`` shows.

    Raises:
        BadRequest: a parameter is missing.
        Invalid: no such type.
        NotOffered: a type of the vendor's that is not offered here.
        NotFound: no such task of this type and this key, or its time is over.
    """
    if not conversion_type:
        raise BadRequest("Missing required parameter: conversionType.")
    if not task_id and not conversion_id:
        raise BadRequest("Missing required parameter: task_id, or conversion_id.")
    name = conversion_type.strip().upper().replace(" ", "_")  # webhooks say "Audio to MIDI"
    if name in NOT_OFFERED_TYPES:
        raise NotOffered(f"conversionType {name} is not offered here; there is {', '.join(BY_TYPE)}.")
    endpoint = BY_TYPE.get(name)
    if endpoint is None:
        raise Invalid(
            f"conversionType must be one of {', '.join(BY_TYPE)}, not {shown(conversion_type)}.", field="conversionType"
        )
    ids = {one.strip().lower().replace("-", "") for one in (task_id, conversion_id) if one}
    if len(ids) > 1:
        raise NotFound("task_id and conversion_id are not of one conversion; give one of them.")
    task = await find_task(ids.pop(), caller.key, context, endpoint.kind)
    if task is None or is_expired(task, context):
        raise NotFound(f"There is no conversion of the type {name} with this id.")
    return await read_record(task, context, with_notes=False)


def _address(fields: Fields) -> tuple[str, str] | None:
    """The field that the audio's address came in, and the address; None for a file that was sent along.

    Raises:
        Invalid: there is no source, or more than one.
    """
    if fields.has(FILE_FIELD):
        raise Invalid(f"{FILE_FIELD} must be a file, in a body of multipart/form-data.", field=FILE_FIELD)
    given = [name for name in _ADDRESS_FIELDS if fields.has(name)]
    if fields.upload is not None:
        given.append(FILE_FIELD)
    if len(given) != 1:
        found = f"{' and '.join(given)} were given" if given else "none was given"
        if not given and fields.other_files:
            found += f"; a file came as {shown(fields.other_files[0])}: send it as {FILE_FIELD}"
        raise Invalid(f"Give exactly one of {', '.join(_SOURCES)}; {found}.", field=given[0] if given else "audio_url")
    return None if given[0] == FILE_FIELD else (given[0], fields.text(given[0]) or "")


async def _over_upload(new: NewTask, fields: Fields, path: Path, caller: Caller, context: Context) -> Task:
    upload = fields.upload
    assert upload is not None  # noqa: S101 (there is no address)
    task_id, name = caller.task_id or uuid.uuid4().hex, clean_name(upload.file_name)
    limits = limits_of(TaskKind(new.kind), context.settings)
    async with stored_source(
        path, task_id=task_id, name=name, sha256=upload.sha256, context=context, limits=limits
    ) as source:
        new = replace(
            _with_output(new, name, context),
            task_id=task_id,
            source_track_id=str(uuid.uuid4()),
            source=source,
            audio_s=source.duration_s,
        )
        _check_span(new, source.duration_s, source.file.mime_type)
        return await context.store.tasks.create(new)


async def _over_address(new: NewTask, field: str, address: str, caller: Caller, context: Context) -> Task:
    if is_object_address(address):
        await context.source_buckets.check(field, address)
        new.params["audio_object"] = address
        return await context.store.tasks.create(_with_output(new, address, context).over(None))
    if (made := await made_file(address, caller.key, context)) is not None:
        return await _over_made(new, made, field, caller, context)
    if "://" not in address:
        raise Invalid(
            f"{field} must be an address, http(s) or s3; send a file of your own as {FILE_FIELD}.", field=field
        )
    if context.links.file_id(address) is not None:
        track = await _own_track(field, address, caller, context)
    else:
        track = await track_behind_url(field, address, caller.key, context)
    if track is None:
        new.params["audio_url"] = address
        return await context.store.tasks.create(_with_output(new, httpx.URL(address).path, context).over(None))
    new = _with_output(new, track.file.name, context).over(track)
    _check_span(new, track.track.duration_s, track.file.mime_type)
    return await context.store.tasks.create(new)


async def _own_track(field: str, address: str, caller: Caller, context: Context) -> TrackFile | None:
    try:
        return await track_behind_url(field, address, caller.key, context)
    except Invalid as error:
        raise Invalid(
            f"{field}: this link of ours leads to no audio of yours that is still kept.", field=field
        ) from error


async def _over_made(new: NewTask, file: File, field: str, caller: Caller, context: Context) -> Task:
    task_id = caller.task_id or uuid.uuid4().hex
    async with shared_source(file, field, task_id=task_id, context=context) as source:
        new = replace(
            _with_output(new, file.name, context),
            task_id=task_id,
            source_track_id=str(uuid.uuid4()),
            source=source,
        )
        return await context.store.tasks.create(new)


def _with_output(new: NewTask, source_name: str, context: Context) -> NewTask:
    """With the name of the file that it makes, and the end of the link to it, where the answer promises that link."""
    if "file_id" not in new.params:
        return new
    suffix = FORMATS[new.params["format"]].suffix
    expires_ms = context.clock.now_ms() + context.settings.retention_ms + _LINK_MARGIN_MS
    name = converted_name(clean_name(source_name), suffix)
    return replace(new, params={**new.params, "name": name, "link_expires_ms": expires_ms})


def _check_span(new: NewTask, duration_s: float | None, mime_type: str) -> None:
    """Refuse at once what can be known to lie outside the audio.

    Raises:
        Invalid: names the audio's length.
    """
    span_ms = new.params.get("span_ms")
    if span_ms is None or duration_s is None or mime_type not in _EXACT:
        return
    if span_ms[1] > -(-duration_s * 1000 // 1):
        raise Invalid(
            f"start_time and end_time are in milliseconds; {span_ms[0]} to {span_ms[1]} ms lies outside the audio, "
            f"which is {duration_s * 1000:.0f} ms long.",
            field="start_time" if span_ms[0] >= duration_s * 1000 else "end_time",
        )
