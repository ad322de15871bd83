"""The Kie routes below ``/api/v1``: tasks, each asked for by one route and shown by another, and the account."""

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.datastructures import State
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from service.api.errors import MAX_JSON_BYTES, handlers, kie_answer
from service.api.gate import guards
from service.api.injection import Injected, KeyRequest
from service.db.models import TaskKind
from service.kie.account import credits_left, short_link
from service.kie.jobs import MODELS, create_job, job_record
from service.kie.midi import create_midi
from service.kie.requests import GENERATE, record_asked_for
from service.kie.separation import create_separation, separation_record
from service.kie.stored import FreshAnswers, midi_answer
from service.kie.wav import create_wav, wav_record
from service.kie.wire import (
    DownloadUrlRequest,
    Envelope,
    JobCreated,
    JobRecord,
    JobRequest,
    MidiRecord,
    MidiRequest,
    SeparationRecord,
    SeparationRequest,
    TaskCreated,
    WavRecord,
    WavRequest,
)

TaskId = Annotated[str | None, QueryParameter(name="taskId", description="The task's id.")]


@post("/vocal-removal/generate", status_code=HTTP_200_OK, summary="Separate a song into stems")
async def generate_separation(
    request: KeyRequest, data: JSONBody[SeparationRequest], context: Injected
) -> Envelope[TaskCreated]:
    """Queue the separation of an upload, an earlier stem, or audio at an address."""
    task = await create_separation(data, data, GENERATE, request.user, context)
    return Envelope(200, "success", TaskCreated(task.id))


@get("/vocal-removal/record-info", summary="State and stems of a separation")
async def show_separation(request: KeyRequest, context: Injected, task_id: TaskId = None) -> Envelope[SeparationRecord]:
    """Where a separation stands, with its stems when it is done."""
    record = await record_asked_for(task_id, request.user, context, TaskKind.SEPARATION)
    return Envelope(200, "success", separation_record(record, context.links))


@post("/midi/generate", status_code=HTTP_200_OK, summary="Write down the notes of a separation's stems")
async def generate_midi(request: KeyRequest, data: JSONBody[MidiRequest], context: Injected) -> Envelope[TaskCreated]:
    """Queue the transcription of a finished separation, or of one of its stems."""
    task = await create_midi(data, data, GENERATE, request.user, context)
    return Envelope(200, "success", TaskCreated(task.id))


@get("/midi/record-info", summary="State and notes of a transcription", middleware=[FreshAnswers()])
async def show_midi(
    request: KeyRequest, context: Injected, state: State, task_id: TaskId = None
) -> Response[Envelope[MidiRecord]]:
    """Where a transcription stands, with its notes when it is done; compressed for clients that take gzip, and 304
    for those that send its ETag back."""
    return await midi_answer(request, task_id, context, state)


@post("/wav/generate", status_code=HTTP_200_OK, summary="Convert a track to WAV")
async def generate_wav(request: KeyRequest, data: JSONBody[WavRequest], context: Injected) -> Envelope[TaskCreated]:
    """Queue the conversion of an upload or a stem; a track is converted once."""
    task = await create_wav(data, data, GENERATE, request.user, context)
    return Envelope(200, "success", TaskCreated(task.id))


@get("/wav/record-info", summary="State and file of a WAV conversion")
async def show_wav(request: KeyRequest, context: Injected, task_id: TaskId = None) -> Envelope[WavRecord]:
    """Where a conversion stands, with the link to the WAV file when it is done."""
    record = await record_asked_for(task_id, request.user, context, TaskKind.WAV)
    return Envelope(200, "success", wav_record(record, context.links))


@post("/jobs/createTask", status_code=HTTP_200_OK, summary="Create a task by the name of its model")
async def create_task(request: KeyRequest, data: JSONBody[JobRequest], context: Injected) -> Envelope[JobCreated]:
    """Queue a separation, a transcription or a WAV conversion: the same tasks as the routes of their own make."""
    task = await create_job(data, request.user, context)
    return Envelope(200, "success", JobCreated(task_id=task.id, record_id=task.id))


@get("/jobs/recordInfo", summary="State and result of a task of any kind")
async def show_task(request: KeyRequest, context: Injected, task_id: TaskId = None) -> Envelope[JobRecord]:
    """Where a separation, a transcription or a conversion stands, whichever route made it."""
    record = await record_asked_for(task_id, request.user, context, *MODELS)
    return Envelope(200, "success", job_record(record, context.links))


@get(["/chat/credit", "/generate/credit"], summary="Credits that are left")
async def show_credit(request: KeyRequest, context: Injected) -> Envelope[float]:
    """What the key can still spend."""
    return Envelope(200, "success", await credits_left(request.user, context))


@post("/common/download-url", status_code=HTTP_200_OK, summary="A short-lived link to a file")
async def make_download_url(
    request: KeyRequest, data: JSONBody[DownloadUrlRequest], context: Injected
) -> Envelope[str]:
    """A link, good for 20 minutes, to the file that another link of this service points to."""
    return Envelope(200, "success", await short_link(data.url, request.user, context))


def kie_router() -> Router:
    """The routes below ``/api/v1``."""
    return Router(
        "/api/v1",
        route_handlers=[
            generate_separation, show_separation, generate_midi, show_midi, generate_wav, show_wav, create_task,
            show_task, show_credit, make_download_url,
        ],
        middleware=guards(),
        exception_handlers=handlers(kie_answer),
        request_max_body_size=MAX_JSON_BYTES,
        security=[{"BearerToken": []}],
        tags=["kie"],
    )  # fmt: skip
