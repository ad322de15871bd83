"""From rows to the native dialect."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from service.db.models import LIVE, Delivery, File, Outbox, OutboxState, Task, TaskKind, TaskStatus
from service.links import STEMS_ZIP, Links
from service.music import music_from
from service.native import wire
from service.prices import credits
from service.store.records import TaskRecord, TrackFile
from service.times import iso_time

# Of a task's parameters, those to show; others are the worker's own, or have a field of their own.
_OPTIONS = (
    *("stems", "instruments", "transcriber", "priority", "model"),
    *("type", "stem_name", "stem", "audio_id", "upload_path"),
    *("mode", "sonify", "note_events", "format", "rate_hz", "bits", "span_ms", "tempo"),
)


def _iso_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso_time(at_ms)


def task_links(task: Task, links: Links) -> wire.TaskLinks:
    """Where to go from a task."""
    this = links.to_api(f"/v1/tasks/{task.id}")
    return wire.TaskLinks(
        this=this,
        events=f"{this}/events",
        cancel=this,
        redeliver=f"{this}/redeliver" if task.callback_url else None,
    )


def accepted(task: Task, links: Links) -> wire.TaskAccepted:
    """What the request for a task is answered."""
    return wire.TaskAccepted(task.id, cast(wire.Status, task.status), task_links(task, links))


def error_of(task: Task) -> wire.TaskError | None:
    """Why it gave nothing."""
    if task.error_name is None:
        return None
    return wire.TaskError(task.error_name, task.error_message or "")


def _summary(task: Task, links: Links) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": task.kind,
        "status": task.status,
        "progress": round(task.progress, 4),
        "stage": task.stage,
        "created_at": iso_time(task.created_ms),
        "started_at": _iso_or_none(task.started_ms),
        "completed_at": _iso_or_none(task.completed_ms),
        "expires_at": _iso_or_none(task.expires_ms),
        "error": error_of(task),
        "credits": credits(task.credits),
        "links": task_links(task, links),
    }


def summary(task: Task, links: Links) -> wire.TaskSummary:
    """A task as lists show it."""
    return wire.TaskSummary(**_summary(task, links))


def full_task(
    record: TaskRecord,
    deliveries: Sequence[Delivery],
    eta_s: float | None,
    links: Links,
    *,
    with_notes: bool = True,
) -> wire.Task:
    """A task with everything there is to say of it."""
    return wire.Task(
        **_summary(record.task, links),
        eta_s=eta_s,
        input=_input(record, links),
        result=_result(record, links, with_notes=with_notes),
        callback=_callback_of(record),
        deliveries=[_delivery(row) for row in deliveries],
    )


def callback(outbox: Outbox) -> wire.Callback:
    """A callback that is owed, or was."""
    is_pending = outbox.state == OutboxState.PENDING
    return wire.Callback(
        url=outbox.url,
        event_id=outbox.id,
        state=cast(Any, outbox.state),
        attempts=outbox.attempts,
        next_attempt_at=iso_time(outbox.due_ms) if is_pending else None,
    )


def _callback_of(record: TaskRecord) -> wire.Callback | None:
    if record.outbox is not None:
        return callback(record.outbox)
    url = record.task.callback_url
    return None if url is None else wire.Callback(url, None, "pending", 0, None)


def callback_body(record: TaskRecord, links: Links) -> bytes:
    """The JSON body of the callback that an ended task owes: thin, the notes are behind its link."""
    task = record.task
    data = wire.EventData(
        **_summary(task, links), input=_input(record, links), result=_result(record, links, with_notes=False)
    )
    event = wire.Event(f"{task.kind}.{task.status}", iso_time(task.completed_ms or task.created_ms), data)
    return msgspec.json.encode(event)


def files(record: TaskRecord) -> dict[str, File]:
    """A task's files by name, without the source that a client sent along: its name is the client's choice."""
    return {file.name: file for file in record.files if file.role != "source" or record.task.kind == TaskKind.UPLOAD}


def _input(record: TaskRecord, links: Links) -> wire.TaskInput:
    task, source = record.task, record.source
    return wire.TaskInput(
        source=None if source is None else _audio(source, task, links),
        url=task.params.get("audio_url") or task.params.get("audio_object"),
        task_id=task.parent_task_id,
        options={name: task.params[name] for name in _OPTIONS if name in task.params},
    )


def _audio(source: TrackFile, task: Task, links: Links) -> wire.Audio:
    return wire.Audio(
        audio_id=source.track.id,
        task_id=source.track.task_id,
        name=source.file.name,
        duration_s=source.track.duration_s,
        url=None if task.status in LIVE else links.to(source.file, task.expires_ms),
    )


def _result(record: TaskRecord, links: Links, *, with_notes: bool) -> wire.TaskResult | None:
    task = record.task
    if task.status != TaskStatus.SUCCEEDED:
        return None
    music = music_from(task)
    urls = {name: links.to(file, task.expires_ms) for name, file in files(record).items()}
    if record.tracks:
        urls.setdefault(STEMS_ZIP, links.to_stems(task.id, task.expires_ms))
    return wire.TaskResult(
        duration_s=task.audio_s,
        tempo=music.tempo,
        tempo_confidence=music.tempo_confidence,
        time_signature=music.time_signature,
        key=music.key,
        key_confidence=music.key_confidence,
        instruments=[
            wire.Instrument(
                name=row.name,
                program=row.program,
                is_drum=row.is_drum,
                stem=row.stem,
                audio_id=row.track_id or None,
                confidence=row.confidence,
                notes=cast(Any, msgspec.Raw(row.notes)) if with_notes else msgspec.UNSET,  # a list, encoded already
            )
            for row in record.instruments
        ],
        stems=[
            wire.TaskStem(
                item.track.stem or "", item.track.id, item.track.duration_s, links.to(item.file, task.expires_ms)
            )
            for item in record.tracks
        ],
        files=urls,
    )


def _delivery(row: Delivery) -> wire.DeliveryAttempt:
    return wire.DeliveryAttempt(row.attempt, iso_time(row.started_ms), row.duration_ms, row.status_code, row.error)
