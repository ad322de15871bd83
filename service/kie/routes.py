"""The Kie routes: separation and MIDI, each asked for by ``generate`` and shown by ``record-info``."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from service.api.auth import KeyAuthentication
from service.api.errors import MAX_JSON_BYTES, handlers, kie_answer
from service.api.injection import Injected, KeyRequest
from service.db.models import TaskKind
from service.kie.present import midi_record, separation_record
from service.kie.requests import create_midi, create_separation, find_record
from service.kie.wire import (
    Envelope,
    MidiRecord,
    MidiRequest,
    SeparationRecord,
    SeparationRequest,
    TaskCreated,
)

TaskId = Annotated[str | None, QueryParameter(name="taskId", description="The task's id.")]


@post("/vocal-removal/generate", status_code=HTTP_200_OK, summary="Separate a song into stems")
async def generate_separation(
    request: KeyRequest, data: JSONBody[SeparationRequest], context: Injected
) -> Envelope[TaskCreated]:
    """Queue the separation of an upload, an earlier stem, or audio at an address."""
    task = await create_separation(data, request.user, context)
    return Envelope(200, "success", TaskCreated(task.id))


@get("/vocal-removal/record-info", summary="State and stems of a separation")
async def show_separation(request: KeyRequest, context: Injected, task_id: TaskId = None) -> Envelope[SeparationRecord]:
    """Where a separation stands, with its stems when it is done."""
    record = await find_record(task_id, TaskKind.SEPARATION, request.user, context)
    return Envelope(200, "success", separation_record(record, context.links))


@post("/midi/generate", status_code=HTTP_200_OK, summary="Write down the notes of a separation's stems")
async def generate_midi(request: KeyRequest, data: JSONBody[MidiRequest], context: Injected) -> Envelope[TaskCreated]:
    """Queue the transcription of a finished separation, or of one of its stems."""
    task = await create_midi(data, request.user, context)
    return Envelope(200, "success", TaskCreated(task.id))


@get("/midi/record-info", summary="State and notes of a transcription")
async def show_midi(request: KeyRequest, context: Injected, task_id: TaskId = None) -> Envelope[MidiRecord]:
    """Where a transcription stands, with its notes when it is done."""
    record = await find_record(task_id, TaskKind.MIDI, request.user, context)
    return Envelope(200, "success", midi_record(record, context.links))


def kie_router() -> Router:
    """The routes below ``/api/v1``."""
    return Router(
        "/api/v1",
        route_handlers=[generate_separation, show_separation, generate_midi, show_midi],
        middleware=[KeyAuthentication],
        exception_handlers=handlers(kie_answer),
        request_max_body_size=MAX_JSON_BYTES,
        security=[{"BearerToken": []}],
        tags=["kie"],
    )
