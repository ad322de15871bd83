"""The native routes, below ``/v1``."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, post, route
from litestar.datastructures import ResponseHeader, State
from litestar.di import NamedDependency, Provide
from litestar.enums import HttpMethod
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT, HTTP_304_NOT_MODIFIED

from service.api.checks import kept_task
from service.api.documentation import reads
from service.api.errors import MAX_JSON_BYTES, handlers, problem_answer
from service.api.files import file_download, send, stems_download
from service.api.gate import guards
from service.api.incoming import FORM_OVERHEAD_BYTES
from service.api.injection import Injected, KeyRequest
from service.api.wording import shown
from service.db.models import LIVE, TaskKind, TaskStatus
from service.errors import NotFound
from service.links import STEMS_ZIP
from service.native import events, present, requests, wire
from service.native.stored import task_answer

TaskId = Annotated[str, PathParameter(description="The task's id.")]
FileName = Annotated[str, PathParameter(description="The file's name.")]

_NO_CONTENT = ResponseSpec(None, generate_examples=False, description="Deleted, with its files.")


@post(
    "/transcriptions",
    status_code=HTTP_202_ACCEPTED,
    summary="Transcribe a song: its stems, their notes, and files of both",
    operation_class=reads(form=wire.TranscriptionForm, json=wire.TranscriptionRequest),
    response_headers=[ResponseHeader(name="Location", description="The task's address.", documentation_only=True)],
)
async def transcribe(request: KeyRequest, context: Injected) -> Response[wire.TaskAccepted]:
    """Queue a transcription of a song that is sent along (multipart ``file``) or lies at an address (JSON ``url``).

    ``stems`` are those to be returned as files, ``instruments`` those whose notes are to be written down: all, where
    they are left out.  A ``url`` may be a link of ours; any other is fetched when the task's turn comes.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        task = await requests.transcribe_upload(request.stream(), content_type, request.user, context)
    elif kind == "application/json":
        task = await requests.transcribe_url(request.stream(), request.user, context)
    else:
        raise requests.refuse_other_body(kind)
    accepted = present.accepted(task, context.links)
    return Response(accepted, status_code=HTTP_202_ACCEPTED, headers={"Location": accepted.links.this})


@get("/tasks", summary="List tasks, newest first")
async def list_tasks(
    request: KeyRequest,
    context: Injected,
    status: Annotated[
        str | None, QueryParameter(description="Only tasks that stand so.", schema_extra={"enum": [*TaskStatus]})
    ] = None,
    kind: Annotated[
        str | None, QueryParameter(description="Only tasks of this kind.", schema_extra={"enum": [*TaskKind]})
    ] = None,
    cursor: Annotated[str | None, QueryParameter(description="The next_cursor of an earlier answer.")] = None,
    limit: Annotated[
        int, QueryParameter(description="At most so many.", schema_extra={"minimum": 1, "maximum": requests.MAX_PAGE})
    ] = 20,
) -> wire.TaskList:
    """Every task of the key, whichever dialect asked for it."""
    tasks, next_cursor = await requests.list_tasks(status, kind, cursor, limit, request.user, context)
    return wire.TaskList([present.summary(task, context.links) for task in tasks], next_cursor)


@get(
    "/tasks/{task_id:str}",
    summary="Where a task stands, and what it gave",
    responses={HTTP_304_NOT_MODIFIED: ResponseSpec(None, generate_examples=False, description="Nothing is new.")},
)
async def show_task(
    request: KeyRequest,
    context: Injected,
    state: State,
    task_id: TaskId,
    notes: Annotated[bool, QueryParameter(description="Whether to list the notes of every instrument.")] = True,
) -> Response[wire.Task]:
    """A task of any kind, whichever dialect asked for it; has an ETag, so that a poll can be answered with 304."""
    return await task_answer(request, task_id, context, state, with_notes=notes)


@delete(
    "/tasks/{task_id:str}",
    status_code=HTTP_200_OK,
    summary="Cancel a task, or delete one that has ended",
    responses={HTTP_204_NO_CONTENT: _NO_CONTENT},
)
async def delete_task(request: KeyRequest, context: Injected, state: State, task_id: TaskId) -> Response[wire.Task]:
    """A task that is queued or runs is cancelled, and answered; one that has ended is deleted with its files."""
    record = await requests.cancel_or_delete(task_id, request.user, context)
    if record is None:
        state.answers.forget(
            (request.user.key.id, task_id)
        )  # the other dialect's, which it would serve a second longer
        return Response(None, status_code=HTTP_204_NO_CONTENT)  # type: ignore[arg-type]  # the other of its answers
    return Response(present.full_task(record, [], 0.0, context.links), status_code=HTTP_200_OK)


@route(
    "/tasks/{task_id:str}",
    http_method=[HttpMethod.OPTIONS],
    status_code=HTTP_204_NO_CONTENT,
    include_in_schema=False,
)
async def task_methods() -> Response[None]:
    """What DELETE and GET are both registered for; of two handlers, the framework's own answer names one."""
    return Response(None, status_code=HTTP_204_NO_CONTENT, headers={"Allow": "DELETE, GET, OPTIONS"})


@get(
    "/tasks/{task_id:str}/events",
    summary="Follow a task (server-sent events)",
    media_type="text/event-stream",
    responses={
        HTTP_200_OK: ResponseSpec(
            Any, generate_examples=False, media_type="text/event-stream", description="Events until the task has ended."
        ),
        HTTP_204_NO_CONTENT: ResponseSpec(
            None, generate_examples=False, description="The client had the last event: it need not come again."
        ),
    },
)
async def follow_task(
    request: KeyRequest,
    context: Injected,
    streams: NamedDependency[events.Streams],
    task_id: TaskId,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="Of the event that the client had last.")
    ] = None,
) -> Response[Any]:
    """Events ``progress`` as things move, then ``succeeded``, ``failed`` or ``cancelled``, and the stream ends.

    Each has the task's ``id``, ``status``, ``stage``, ``progress``, ``eta_s`` and ``error`` as JSON.
    """
    task = await kept_task(task_id, request.user.key, context)
    if task.status not in LIVE and last_event_id == events.event_id(task):
        return Response(None, status_code=HTTP_204_NO_CONTENT)
    stream = streams.open(task.key_id)
    followed = events.follow(task, last_event_id, request.user.digest, context, stream)
    return Stream(followed, headers=events.HEADERS, media_type="text/event-stream")


@post("/tasks/{task_id:str}/redeliver", status_code=HTTP_202_ACCEPTED, summary="Send a task's callback again")
async def redeliver(request: KeyRequest, context: Injected, task_id: TaskId) -> wire.Callback:
    """Send it at once, and on the schedule from its start if that fails: the same event, under the same id."""
    return present.callback(await requests.redeliver(task_id, request.user, context))


@route(
    "/tasks/{task_id:str}/files/{name:str}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    status_code=HTTP_200_OK,
    summary="Download a file of a task by its name",
)
async def download_file(request: KeyRequest, context: Injected, task_id: TaskId, name: FileName) -> Response[Any]:
    """``song.mid``, ``<stem>.mid``, ``notes.csv``, ``<stem>.flac``, ``stems.zip`` and what else the task has left.

    Byte ranges and ETags work, in the archive too.
    """
    record = await requests.find_record(task_id, request.user, context, with_notes=False)
    files = present.files(record)
    if name in files:
        return await send(request, await file_download(files[name], context))
    if name == STEMS_ZIP and record.tracks:
        return await send(request, await stems_download(record.tracks, context))
    names = [*files, *([STEMS_ZIP] if record.tracks else [])]
    raise NotFound(f"There is no file {shown(name)}; the task has {', '.join(names) or 'none'}.")


def native_router(max_upload_bytes: int) -> Router:
    """The routes below ``/v1``; the framework's own limit of a song stands just above ours, which names itself."""
    streams = events.Streams()
    songs = Router("/", route_handlers=[transcribe], request_max_body_size=max_upload_bytes + FORM_OVERHEAD_BYTES)
    tasks = Router(
        "/",
        route_handlers=[task_methods, list_tasks, show_task, delete_task, follow_task, redeliver, download_file],
        request_max_body_size=MAX_JSON_BYTES,
    )
    return Router(
        "/v1",
        route_handlers=[songs, tasks],
        dependencies={"streams": Provide(lambda: streams, sync_to_thread=False)},
        middleware=guards(),
        exception_handlers=handlers(problem_answer),
        security=[{"BearerToken": []}],
        tags=["native"],
    )
