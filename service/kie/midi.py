"""Transcriptions in the Kie dialect: from the request to a task, from its rows to record and callback."""

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import msgspec

from service.api.checks import NO_RECORD, find_task, known_transcriber
from service.context import Context
from service.db.models import Task, TaskKind, TaskStatus
from service.errors import Invalid
from service.kie.flags import Flag, flag
from service.kie.requests import Route, callback_url, refuse_expired, sent
from service.kie.wire import MidiCallbackData, MidiData, MidiFiles, MidiRecord, MidiRequest, WireInstrument
from service.links import Links
from service.music import music_from
from service.store.records import TaskRecord

if TYPE_CHECKING:
    from service.api.auth import Caller

_NO_TASK_ID = -1  # upstream's own placeholder
_NUMBERS = {
    Flag.PENDING: 0,
    Flag.SUCCESS: 1,
    Flag.CREATE_FAILED: 2,
    Flag.GENERATE_FAILED: 3,
    Flag.CALLBACK_EXCEPTION: 1,  # no number says this one; the notes are there
}


async def create_midi(
    request: MidiRequest, original: msgspec.Struct, route: Route, caller: "Caller", context: Context
) -> Task:
    """Queue the transcription of a finished separation, or of one of its stems.

    Args:
        request: what is asked for.
        original: the body that asked for it, to be kept.

    Raises:
        Invalid: a field is missing or wrong, the separation does not exist, is not finished, or has expired.
        TooManyRequests, PaymentRequired: a limit of the key.
    """
    callback = await callback_url(request.call_back_url, route, context)
    if not request.task_id:
        raise Invalid(f"{route.field('task_id')} is required: the id of a completed separation.")
    separation = await find_task(request.task_id, caller.key, context, TaskKind.SEPARATION)
    if separation is None:
        raise Invalid(NO_RECORD)
    if separation.status != TaskStatus.SUCCEEDED:
        raise Invalid(f"The separation {separation.id} is {separation.status}, not finished: MIDI needs its stems.")
    refuse_expired(separation, context)
    stems = {item.track.id: item for item in await context.store.tasks.tracks(separation.id) if item.track.stem}
    if request.audio_id and request.audio_id not in stems:
        raise Invalid(NO_RECORD)
    params = {
        "audio_id": request.audio_id or None,
        "transcriber": known_transcriber(route.field("transcriber"), request.transcriber),
        **sent(original),
    }
    new = route.task(TaskKind.MIDI, params, callback, caller)
    longest_s = max((item.track.duration_s or 0.0 for item in stems.values()), default=None)
    return await context.store.tasks.create(dataclasses.replace(new, parent_task_id=separation.id, audio_s=longest_s))


def midi_data(record: TaskRecord, links: Links) -> MidiData | None:
    """The notes of a transcription; None while there are none."""
    if record.task.status != TaskStatus.SUCCEEDED:
        return None
    music = music_from(record.task)
    return MidiData(
        state="complete",
        instruments=_instruments(record),
        files=_files(record, links),
        tempo=music.tempo,
        tempo_confidence=music.tempo_confidence,
        time_signature=music.time_signature,
        key=music.key,
        key_confidence=music.key_confidence,
    )


def midi_record(record: TaskRecord, links: Links) -> MidiRecord:
    """What ``midi/record-info`` answers."""
    task = record.task
    return MidiRecord(
        task_id=task.id,
        record_task_id=_NO_TASK_ID,
        audio_id=task.params.get("audio_id"),
        callback_url=task.callback_url,
        create_time=task.created_ms,
        complete_time=task.completed_ms,
        success_flag=_NUMBERS[flag(record)],
        error_code=task.error_code,
        error_message=task.error_message,
        midi_data=midi_data(record, links),
        progress=round(task.progress, 4),
        stage=task.stage,
    )


def midi_callback(record: TaskRecord, links: Links) -> dict[str, Any]:
    """What the callback of an ended transcription sends."""
    task_id = record.task.id
    ids = {"task_id": task_id, "taskId": task_id}
    notes = midi_data(record, links)
    if notes is None:
        return {"code": 500, "msg": "MIDI generation failed", **ids, "data": ids}
    data = MidiCallbackData(task_id=task_id, snake_task_id=task_id, **msgspec.structs.asdict(notes))
    return {"code": 200, "msg": "success", **ids, "data": data}


def _files(record: TaskRecord, links: Links) -> MidiFiles:
    by_role = {file.role: links.to(file, record.task.expires_ms) for file in record.files}
    stems = {
        file.name.removesuffix(".mid"): links.to(file, record.task.expires_ms)
        for file in record.files
        if file.role == "stem_midi"
    }
    return MidiFiles(
        midi=by_role.get("midi"),
        stems=stems,
        csv=by_role.get("csv"),
        musicxml=by_role.get("musicxml"),
        preview=by_role.get("preview"),
        piano_roll=by_role.get("piano_roll"),
        beats=by_role.get("beats"),
    )


def _instruments(record: TaskRecord) -> list[WireInstrument]:
    return [
        WireInstrument(
            name=row.name,
            notes=cast(Any, msgspec.Raw(row.notes)),  # a list, encoded already: a poll builds no thousands of objects
            program=row.program,
            is_drum=row.is_drum,
            stem=row.stem,
            audio_id=row.track_id,
            confidence=row.confidence,
        )
        for row in record.instruments
    ]
