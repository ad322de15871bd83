"""From native requests to tasks: what is checked, in which order, and how a refusal reads."""

import binascii
import dataclasses
import re
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from pipeline.models.catalogue import find
from service import metrics
from service.api import checks
from service.api.auth import Caller
from service.api.checks import check_url, kept_task, track_behind_url
from service.api.errors import MAX_JSON_BYTES
from service.api.incoming import scratch_file, stored_source
from service.api.multipart import StreamedUpload, receive
from service.api.wording import cut, shown, unknown_field, wrong_field
from service.context import Context
from service.db.models import LIVE, Dialect, Outbox, Task, TaskKind, TaskStatus
from service.errors import BadRequest, Conflict, Invalid, TooLarge
from service.names import clean_name
from service.native.wire import TranscriptionForm, TranscriptionRequest
from service.store.records import NewTask, TaskRecord

MAX_PAGE = 100
_CURSOR = re.compile(r"(\d{1,15})\.([0-9a-f]{32})")
MAX_PRIORITY = 100
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_MAX_CURSOR_LENGTH = 100
_SONG = "Send the song as multipart/form-data with a part named file, or JSON with its url."

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What both forms of the request have in common, checked."""

    params: dict[str, Any]
    priority: int
    callback_url: str | None


async def transcribe_upload(chunks: AsyncIterator[bytes], content_type: str, caller: Caller, context: Context) -> Task:
    """Queue the transcription of a song that is sent along.

    Raises:
        BadRequest, TooLarge: the form cannot be read, or is too large.
        Invalid: a field is wrong.
        AudioError: the file is no audio that is taken.
    """
    async with scratch_file(context) as path:
        limit = context.settings.max_upload_bytes
        form = await receive(chunks, content_type, file_field="file", to=path, max_bytes=limit)
        _refuse_unknown(form)
        wishes = await _wishes(
            _listed("stems", form.values.get("stems", ())),
            _listed("instruments", form.values.get("instruments", ())),
            form.fields.get("transcriber"),
            _number("priority", form.fields.get("priority")),
            form.fields.get("callback_url") or None,
            context,
        )
        task_id = caller.task_id or uuid.uuid4().hex
        name = clean_name(form.file_name)
        async with stored_source(path, task_id=task_id, name=name, sha256=form.sha256, context=context) as source:
            return await context.store.tasks.create(
                NewTask(
                    key_id=caller.key.id,
                    kind=TaskKind.TRANSCRIPTION,
                    dialect=Dialect.NATIVE,
                    task_id=task_id,
                    params=wishes.params,
                    priority=wishes.priority,
                    callback_url=wishes.callback_url,
                    source_track_id=str(uuid.uuid4()),
                    source=source,
                    audio_s=source.duration_s,
                )
            )


async def transcribe_url(chunks: AsyncIterator[bytes], caller: Caller, context: Context) -> Task:
    """Queue the transcription of a song at an address; of a link of ours, of the track it points to.

    Raises:
        BadRequest, TooLarge: the body cannot be read, or is too large.
        Invalid: a field is missing or wrong.
    """
    request = await _read_json(chunks)
    if not request.url:
        raise Invalid(f"url is required. {_SONG}", field="url")
    wishes = await _wishes(
        request.stems, request.instruments, request.transcriber, request.priority, request.callback_url, context
    )
    source = await track_behind_url("url", request.url, caller.key, context)
    if source is None:
        wishes.params["audio_url"] = request.url
    new = NewTask(
        key_id=caller.key.id,
        kind=TaskKind.TRANSCRIPTION,
        dialect=Dialect.NATIVE,
        task_id=caller.task_id,
        params=wishes.params,
        priority=wishes.priority,
        callback_url=wishes.callback_url,
    )
    return await context.store.tasks.create(new.over(source))


def refuse_other_body(content_type: str) -> BadRequest:
    """For a body that is neither a form nor JSON."""
    return BadRequest(f"The body is {cut(content_type) or 'of no declared type'}. {_SONG}")


async def list_tasks(
    status: str | None, kind: str | None, cursor: str | None, limit: int, caller: Caller, context: Context
) -> tuple[Sequence[Task], str | None]:
    """A page of the caller's tasks, newest first, and the cursor of the next.

    Raises:
        Invalid: a parameter is wrong.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(f"limit must be 1 to {MAX_PAGE}, not {cut(str(limit))}.", field="limit")
    tasks = await context.store.tasks.list(
        caller.key.id,
        status=_choice("status", status, TaskStatus),
        kind=_choice("kind", kind, TaskKind),
        before=None if cursor is None else _read_cursor(cursor),
        limit=limit + 1,
    )
    page = tasks[:limit]
    return page, _cursor(page[-1]) if len(tasks) > limit else None


async def read_record(task: Task, context: Context, *, with_notes: bool = True) -> TaskRecord:
    """A task with all that belongs to it, without its note lists if so wished; an upload's own track is its source.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    record = await checks.read_record(task, context, with_notes=with_notes)
    if task.kind == TaskKind.UPLOAD:
        tracks = await context.store.tasks.tracks(task.id)
        record = dataclasses.replace(record, source=next(iter(tracks), None))
    return record


async def find_record(task_id: str, caller: Caller, context: Context, *, with_notes: bool = True) -> TaskRecord:
    """One of the caller's tasks, as :func:`read_record` gives it.

    Raises:
        NotFound: no such task of this key, or its time is over.
    """
    return await read_record(await kept_task(task_id, caller.key, context), context, with_notes=with_notes)


async def cancel_or_delete(task_id: str, caller: Caller, context: Context) -> TaskRecord | None:
    """Cancel a task that has not ended; delete one that has, and its files.

    Returns:
        The cancelled task, or the one that ended just before it could be; None for a deleted one.

    Raises:
        NotFound: no such task of this key, or its time is over.
    """
    task = await kept_task(task_id, caller.key, context)
    if task.status in LIVE:
        if await context.store.leases.cancel(task_id):
            metrics.task_finished(task.kind, TaskStatus.CANCELLED)
        return await find_record(task_id, caller, context)
    await context.files.delete_task(task.id)
    return None


async def redeliver(task_id: str, caller: Caller, context: Context) -> Outbox:
    """Send an ended task's callback again, as the same event.

    Raises:
        NotFound: no such task of this key, or its time is over.
        Conflict: the task has not ended, or asked for no callback.
    """
    task = await kept_task(task_id, caller.key, context)
    if task.status in LIVE:
        raise Conflict(f"The task is {task.status}: a callback is sent when it has ended.")
    outbox = await context.store.outbox.redeliver(task.id)
    if outbox is None:
        raise Conflict("The task asked for no callback.")
    return outbox


async def _read_json(chunks: AsyncIterator[bytes]) -> TranscriptionRequest:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(f"The request body is larger than the limit of {MAX_JSON_BYTES / 1e6:g} MB.")
    try:
        return msgspec.json.decode(body, type=TranscriptionRequest)
    except msgspec.ValidationError as error:
        if (unknown := unknown_field(str(error))) is not None:
            raise _unknown(unknown, TranscriptionRequest) from error
        field, message = wrong_field(str(error)) or (None, "The body must be a JSON object.")
        raise Invalid(message, field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error


def _unknown(field: str, request: type[msgspec.Struct]) -> Invalid:
    """For a field that is most likely misspelled: ignored, it would be missed only when the task has ended."""
    known = ", ".join(item.encode_name for item in msgspec.structs.fields(request))
    return Invalid(f"There is no field {shown(field)}; there are {known}.", field=cut(field))


def _refuse_unknown(form: StreamedUpload) -> None:
    known = {item.encode_name for item in msgspec.structs.fields(TranscriptionForm)}
    if "url" in form.values:
        raise Invalid("Give either the file or a url, which goes into a JSON body; not both.", field="url")
    for field in form.values:
        if field not in known:
            raise _unknown(field, TranscriptionForm)


def _listed(name: str, values: Iterable[str]) -> list[str] | None:
    """A form's list: repeated fields, names separated by commas, or a JSON list; None where all of it is empty."""
    items: list[str] = []
    for value in values:
        if not value.lstrip().startswith("["):
            items += value.split(",")
            continue
        try:
            items += msgspec.json.decode(value, type=list[str])
        except msgspec.DecodeError as error:
            raise Invalid(f"{name} is not a JSON list of names.", field=name) from error
    return [item for item in (item.strip() for item in items) if item] or None


async def _wishes(
    stems: list[str] | None,
    instruments: list[str] | None,
    transcriber: str | None,
    priority: int | None,
    callback_url: str | None,
    context: Context,
) -> _Wishes:
    params: dict[str, Any] = {
        "stems": _stem_names("stems", stems, context),
        "instruments": _stem_names("instruments", instruments, context),
        "transcriber": checks.known_transcriber("transcriber", transcriber),
        "model": context.settings.separation_model,
    }
    if priority is not None:
        if abs(priority) > MAX_PRIORITY:
            raise Invalid(
                f"priority must be {-MAX_PRIORITY} to {MAX_PRIORITY}, not {cut(str(priority))}.", field="priority"
            )
        params["priority"] = priority
    if callback_url is not None:
        await check_url("callback_url", callback_url, context)
    return _Wishes(params, priority or 0, callback_url)


def _number(field: str, text: str | None) -> int | None:
    if not text:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        raise Invalid(f"{field} must be a whole number, not {shown(text)}.", field=field)
    return int(text)


def _stem_names(field: str, names: list[str] | None, context: Context) -> list[str] | None:
    """The named stems in the model's order; None for all."""
    if names is None:
        return None
    known = find(context.settings.separation_model).stems
    allowed = f"{context.settings.separation_model} has {', '.join(known)}"
    if not names:
        raise Invalid(f"{field} is empty: name some ({allowed}), or leave it out for all.", field=field)
    if unknown := [name for name in names if name not in known]:
        raise Invalid(f"{field}: there is no stem {shown(unknown[0])}; {allowed}.", field=field)
    return [name for name in known if name in names]


def _choice(field: str, value: str | None, choices: type[Choice]) -> Choice | None:
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise Invalid(f"{field} must be one of {', '.join(choices)}, not {shown(value)}.", field=field) from None


def _cursor(task: Task) -> str:
    return urlsafe_b64encode(f"{task.created_ms}.{task.id}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[int, str]:
    try:
        text = urlsafe_b64decode(cursor[:_MAX_CURSOR_LENGTH] + "==").decode()
    except (binascii.Error, ValueError):
        text = ""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise Invalid("cursor must be the next_cursor of an earlier answer.", field="cursor")
    return int(found[1]), found[2]
