"""WAV conversions in the Kie dialect: from the request to a task, from its rows to record and callback."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from service.context import Context
from service.db.models import Task, TaskKind, TaskStatus
from service.kie.flags import Flag, flag
from service.kie.requests import Route, callback_url, sent, track_by_id
from service.kie.wire import WavCallbackData, WavRecord, WavRequest, WavResponse
from service.links import Links
from service.store.records import TaskRecord

if TYPE_CHECKING:
    from service.api.auth import Caller

_FLAGS = {Flag.GENERATE_FAILED: "GENERATE_WAV_FAILED"}  # the others read as a separation's


async def create_wav(
    request: WavRequest, original: msgspec.Struct, route: Route, caller: "Caller", context: Context
) -> Task:
    """Queue the conversion of a track.

    Args:
        request: what is asked for.
        original: the body that asked for it, to be kept.

    Raises:
        Invalid: a field is missing or wrong, or there is no such track.
        Conflict: this track's WAV exists already, or is being made; the message names the task.
        TooManyRequests, PaymentRequired: a limit of the key.
    """
    callback = await callback_url(request.call_back_url, route, context)
    source = await track_by_id(request.task_id, request.audio_id, route, caller, context)
    new = route.task(TaskKind.WAV, sent(original), callback, caller)
    return await context.store.tasks.create(new.over(source), once=True)


def wav_response(record: TaskRecord, links: Links) -> WavResponse | None:
    """The link to the WAV file; None while there is none."""
    if record.task.status != TaskStatus.SUCCEEDED:
        return None
    [file] = (file for file in record.files if file.role == "wav")
    return WavResponse(links.to(file, record.task.expires_ms))


def wav_record(record: TaskRecord, links: Links) -> WavRecord:
    """What ``wav/record-info`` answers."""
    task = record.task
    state = flag(record)
    return WavRecord(
        task_id=task.id,
        music_id=task.source_track_id,
        callback_url=task.callback_url,
        music_index=0,
        complete_time=None if task.completed_ms is None else _time(task.completed_ms),
        create_time=_time(task.created_ms),
        success_flag=_FLAGS.get(state, state),
        response=wav_response(record, links),
        error_code=task.error_code,
        error_message=task.error_message,
        progress=round(task.progress, 4),
        stage=task.stage,
    )


def wav_callback(record: TaskRecord, links: Links) -> dict[str, Any]:
    """What the callback of an ended conversion sends."""
    response = wav_response(record, links)
    if response is None:
        data = WavCallbackData(audio_wav_url=None, snake_task_id=record.task.id)
        return {"code": 500, "msg": "WAV conversion failed", "data": data}
    data = WavCallbackData(audio_wav_url=response.audio_wav_url, snake_task_id=record.task.id)
    return {"code": 200, "msg": "success", "data": data}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
