"""The unified endpoint: any task by the name of its model, in one record for all kinds."""

from typing import TYPE_CHECKING, Any

import msgspec

from service.api.checks import known_transcriber
from service.api.wording import shown
from service.context import Context
from service.db.models import Task, TaskKind, TaskStatus
from service.errors import Invalid
from service.kie.midi import create_midi, midi_data
from service.kie.requests import JOBS, sent_request
from service.kie.separation import create_separation, separation_response
from service.kie.wav import create_wav, wav_response
from service.kie.wire import JobInput, JobRecord, JobRequest, MidiRequest, SeparationRequest, WavRequest
from service.links import Links
from service.store.records import TaskRecord

if TYPE_CHECKING:
    from service.api.auth import Caller

_SEPARATE, _MIDI, _WAV = (
    "ai-music-api/separate-vocals",
    "ai-music-api/generate-midi-from-audio",
    "ai-music-api/convert-to-wav-format",
)
MODELS = {TaskKind.SEPARATION: _SEPARATE, TaskKind.MIDI: _MIDI, TaskKind.WAV: _WAV}
_STATES = {
    TaskStatus.QUEUED: "waiting",
    TaskStatus.RUNNING: "generating",
    TaskStatus.SUCCEEDED: "success",
    TaskStatus.FAILED: "fail",
    TaskStatus.CANCELLED: "fail",
}
_FAILED_CODE = 501


async def create_job(job: JobRequest, caller: "Caller", context: Context) -> Task:
    """Queue what the model stands for.

    Raises:
        Invalid: a field is missing or wrong; those of ``input`` are named as the client spells them.
        Conflict: the WAV file that is asked for exists already.
        TooManyRequests, PaymentRequired: a limit of the key.
    """
    if job.model not in MODELS.values():
        given = "is required" if job.model is None else f"must be known, not {shown(job.model)}"
        raise Invalid(f"model {given}: one of {', '.join(MODELS.values())}.")
    given_input = job.input or JobInput()
    task_id, audio_id = given_input.task_id, given_input.audio_id
    known_transcriber(JOBS.field("transcriber"), given_input.transcriber)  # of any model: a wrong one is a mistake
    if job.model == _MIDI:
        midi = MidiRequest(task_id, audio_id, job.call_back_url, given_input.transcriber)
        return await create_midi(midi, job, JOBS, caller, context)
    if job.model == _WAV:
        wav = WavRequest(task_id, audio_id, job.call_back_url)
        return await create_wav(wav, job, JOBS, caller, context)
    separation = SeparationRequest(
        task_id=task_id,
        audio_id=audio_id,
        audio_url=given_input.audio_url,
        type=given_input.type,
        stem_name=given_input.stem_name,
        call_back_url=job.call_back_url,
    )
    return await create_separation(separation, job, JOBS, caller, context)


def job_record(record: TaskRecord, links: Links) -> JobRecord:
    """What ``jobs/recordInfo`` answers, of a task of any of the three kinds."""
    task = record.task
    state = _STATES[TaskStatus(task.status)]
    has_run = task.completed_ms is not None and task.started_ms is not None
    return JobRecord(
        task_id=task.id,
        model=MODELS[TaskKind(task.kind)],
        state=state,
        param=msgspec.json.encode(sent_request(task)).decode(),
        result_json=_result_json(record, links),
        fail_code=str(task.error_code) if state == "fail" else None,
        fail_msg=task.error_message if state == "fail" else None,
        cost_time=(task.completed_ms or 0) - (task.started_ms or 0) if has_run else None,
        complete_time=task.completed_ms,
        create_time=task.created_ms,
    )


def job_callback(record: TaskRecord, links: Links) -> dict[str, Any]:
    """What the callback of a task sends that was made by ``jobs/createTask``."""
    shown = job_record(record, links)
    if shown.state == "success":
        return {"code": 200, "msg": "success", "data": shown}
    return {"code": _FAILED_CODE, "msg": shown.fail_msg, "data": shown}


def _result_json(record: TaskRecord, links: Links) -> str | None:
    present = {TaskKind.SEPARATION: separation_response, TaskKind.MIDI: midi_data, TaskKind.WAV: wav_response}
    result = present[TaskKind(record.task.kind)](record, links)
    return None if result is None else msgspec.json.encode(result).decode()
