"""From rows to the Kie dialect: what record-info answers and what callbacks send, made by the same functions."""

from typing import Any

import msgspec

from service.db.models import Task, TaskKind, TaskStatus
from service.kie.wire import (
    MidiCallbackData,
    MidiData,
    MidiFiles,
    MidiRecord,
    OriginData,
    SeparationRecord,
    SeparationResponse,
    WireInstrument,
)
from service.links import Links
from service.store.records import TaskRecord, TrackFile

_PENDING = "PENDING"
_NO_TASK_ID = -1  # upstream's own placeholder
_GENERATION_FAILED = (500, 501)  # any other code: no readable source, so the task was never really created

# Stem names whose field is not simply their own name.
_RESPONSE_FIELDS = {"vocals": "vocal_url"}


def _group_name(stem: str) -> str:
    """``vocals`` -> ``Vocals``; ``backing_vocals`` -> ``Backing Vocals``."""
    return stem.replace("_", " ").title()


def _link_field(stem: str) -> str:
    return _RESPONSE_FIELDS.get(stem, f"{stem}_url")


def _origin_data(record: TaskRecord, links: Links) -> list[OriginData]:
    return [
        OriginData(
            duration=item.track.duration_s,
            audio_url=links.to(item.file, record.task.expires_ms),
            stem_type_group_name=_group_name(item.track.stem or ""),
            id=item.track.id,
        )
        for item in record.tracks
    ]


def _stem_links(record: TaskRecord, links: Links) -> dict[str, str]:
    """Link fields of the stems that have one in this dialect (``other`` has none)."""
    fields = {_link_field(item.track.stem or ""): item for item in record.tracks}
    return {
        name: links.to(item.file, record.task.expires_ms)
        for name, item in fields.items()
        if name in SeparationResponse.__struct_fields__
    }


def _separation_flag(record: TaskRecord) -> str:
    task = record.task
    if task.status == TaskStatus.SUCCEEDED:
        return "CALLBACK_EXCEPTION" if record.callback_dead else "SUCCESS"
    if task.status == TaskStatus.FAILED:
        return "GENERATE_AUDIO_FAILED" if task.error_code in _GENERATION_FAILED else "CREATE_TASK_FAILED"
    return _PENDING


def separation_record(record: TaskRecord, links: Links) -> SeparationRecord:
    """What ``vocal-removal/record-info`` answers."""
    task = record.task
    response = None
    if task.status == TaskStatus.SUCCEEDED:
        response = SeparationResponse(
            id=task.id,
            origin_url=_source_link(record.source, links, task),
            origin_data=_origin_data(record, links),
            **_stem_links(record, links),
        )
    return SeparationRecord(
        task_id=task.id,
        music_id=task.source_track_id,
        audio_id=task.source_track_id,
        music_index=0,
        callback_url=task.callback_url,
        complete_time=task.completed_ms,
        create_time=task.created_ms,
        success_flag=_separation_flag(record),
        error_code=task.error_code,
        error_message=task.error_message,
        response=response,
        progress=round(task.progress, 4),
        stage=task.stage,
    )


def _source_link(source: TrackFile | None, links: Links, task: Task) -> str:
    """Empty when the source is gone: an upload can expire before what was made from it."""
    return "" if source is None else links.to(source.file, task.expires_ms)


def _midi_files(record: TaskRecord, links: Links) -> MidiFiles:
    by_role = {file.role: links.to(file, record.task.expires_ms) for file in record.files}
    stems = {
        file.name.removesuffix(".mid"): links.to(file, record.task.expires_ms)
        for file in record.files
        if file.role == "stem_midi"
    }
    return MidiFiles(midi=by_role.get("midi"), stems=stems, csv=by_role.get("csv"))


def _instruments(record: TaskRecord) -> list[WireInstrument]:
    return [
        WireInstrument(
            name=row.name,
            notes=row.notes,
            program=row.program,
            is_drum=row.is_drum,
            stem=row.stem,
            audio_id=row.track_id,
        )
        for row in record.instruments
    ]


def _midi_flag(task: Task) -> int:
    if task.status == TaskStatus.FAILED:
        return 3 if task.error_code in _GENERATION_FAILED else 2
    return 1 if task.status == TaskStatus.SUCCEEDED else 0


def midi_record(record: TaskRecord, links: Links) -> MidiRecord:
    """What ``midi/record-info`` answers."""
    task = record.task
    done = task.status == TaskStatus.SUCCEEDED
    return MidiRecord(
        task_id=task.id,
        record_task_id=_NO_TASK_ID,
        audio_id=task.params.get("audio_id"),
        callback_url=task.callback_url,
        create_time=task.created_ms,
        complete_time=task.completed_ms,
        success_flag=_midi_flag(task),
        error_code=task.error_code,
        error_message=task.error_message,
        midi_data=MidiData("complete", _instruments(record), _midi_files(record, links)) if done else None,
        progress=round(task.progress, 4),
        stage=task.stage,
    )


def _separation_callback(record: TaskRecord, links: Links) -> dict[str, Any]:
    ids: dict[str, Any] = {"task_id": record.task.id, "taskId": record.task.id}
    if record.task.status != TaskStatus.SUCCEEDED:
        data = {**ids, "vocal_separation_info": None, "vocal_removal_info": None}
        return {"code": 500, "msg": "Vocal separation failed", "data": data}
    info = {"origin_url": "", **_stem_links(record, links), "origin_data": _origin_data(record, links)}
    # Upstream's pages and clients are split between the two names of the same object.
    data = {**ids, "vocal_separation_info": info, "vocal_removal_info": info}
    return {"code": 200, "msg": "vocal separation generated successfully.", "data": data}


def _midi_callback(record: TaskRecord, links: Links) -> dict[str, Any]:
    task_id = record.task.id
    ids = {"task_id": task_id, "taskId": task_id}
    if record.task.status != TaskStatus.SUCCEEDED:
        return {"code": 500, "msg": "MIDI generation failed", **ids, "data": ids}
    data = MidiCallbackData(
        task_id=task_id,
        task_id_camel=task_id,
        state="complete",
        instruments=_instruments(record),
        files=_midi_files(record, links),
    )
    return {"code": 200, "msg": "success", **ids, "data": data}


def callback_body(record: TaskRecord, links: Links) -> bytes:
    """The JSON body of the callback that a finished task owes."""
    present = {TaskKind.SEPARATION: _separation_callback, TaskKind.MIDI: _midi_callback}[TaskKind(record.task.kind)]
    return msgspec.json.encode(present(record, links))
