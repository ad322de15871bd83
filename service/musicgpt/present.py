"""From rows to what ``byId`` shows and webhooks send."""

import uuid
from typing import Any

import msgspec

from service.db.models import LIVE, File, Task, TaskKind, TaskStatus
from service.links import Links
from service.music import music_from
from service.musicgpt.endpoints import BY_KIND
from service.musicgpt.wire import Accepted, Conversion, ConversionAnswer
from service.prices import credits
from service.store.records import TaskRecord
from service.times import iso_time

_STATUSES = {
    TaskStatus.QUEUED: "IN_QUEUE",
    TaskStatus.RUNNING: "IN_PROGRESS",
    TaskStatus.SUCCEEDED: "COMPLETED",
    TaskStatus.FAILED: "FAILED",
    TaskStatus.CANCELLED: "ERROR",
}
UNKNOWN_ETA = -1
Json = dict[str, Any]


def conversion_id(task: Task) -> str:
    """The task's other id, a UUID: the same digits."""
    return str(uuid.UUID(task.id))


def accepted(task: Task, eta_s: float | None, links: Links) -> Accepted:
    """What the request for a task is answered."""
    endpoint = BY_KIND[TaskKind(task.kind)]
    output = _promised(task, links)
    return Accepted(
        success=True,
        message=f"{endpoint.label} task queued successfully{_range_of(task)}",
        task_id=task.id,
        conversion_id=conversion_id(task),
        eta=UNKNOWN_ETA if eta_s is None else round(eta_s),
        credit_estimate=credits(task.credits),
        status=_STATUSES[TaskStatus(task.status)],
        output_path=msgspec.UNSET if output is None else output,
        mode=task.params.get("mode", msgspec.UNSET),
    )


def _range_of(task: Task) -> str:
    """What will be cut out, said at once: the vendor's own example looks like seconds."""
    span_ms = task.params.get("span_ms")
    return "" if span_ms is None else f": {span_ms[1] - span_ms[0]} ms, from {span_ms[0]} to {span_ms[1]} ms"


def conversion_answer(record: TaskRecord, eta_s: float | None, links: Links) -> ConversionAnswer:
    """What ``byId`` answers."""
    task = record.task
    endpoint = BY_KIND[TaskKind(task.kind)]
    conversion = Conversion(
        task_id=task.id,
        conversion_id=conversion_id(task),
        conversion_type=endpoint.types[0],
        status=_STATUSES[TaskStatus(task.status)],
        status_msg=_message(task),
        conversion_cost=credits(task.credits),
        created_at=iso_time(task.created_ms),
        updated_at=iso_time(task.completed_ms or task.started_ms or task.created_ms),
        progress=round(task.progress, 4),
        eta=0 if task.status not in LIVE else UNKNOWN_ETA if eta_s is None else round(eta_s),
        webhook_url=task.callback_url or "",
    )
    shown: Json = msgspec.to_builtins(conversion)
    return ConversionAnswer(True, {**shown, **result(record, links)})


def webhook_body(record: TaskRecord, links: Links) -> bytes:
    """The JSON body of the webhook that an ended task owes."""
    task = record.task
    endpoint = BY_KIND[TaskKind(task.kind)]
    return msgspec.json.encode(
        {
            "success": task.status == TaskStatus.SUCCEEDED,
            "conversion_type": endpoint.label,
            "task_id": task.id,
            "conversion_id": conversion_id(task),
            "status": _STATUSES[TaskStatus(task.status)],
            "conversion_cost": credits(task.credits),
            **result(record, links),
            "message": _message(task),
        }
    )


def result(record: TaskRecord, links: Links) -> Json:
    """A task's result keys; before there is a result, empty text and null stand in for links and findings."""
    match record.task.kind:
        case TaskKind.AUDIO_TO_MIDI:
            return _audio_to_midi(record, links)
        case TaskKind.EXTRACTION:
            return _extraction(record, links)
        case TaskKind.KEY_BPM:
            return _key_bpm(record.task)
        case _:
            return _converted(record, links)


def _audio_to_midi(record: TaskRecord, links: Links) -> Json:
    task = record.task
    files = {file.role: file for file in record.files}
    music = music_from(task)
    return {
        "midi_file_path": _link(files.get("midi"), task, links),
        "sonify_file_path": _link(files.get("sonified"), task, links),
        "notes_file_path": _link(files.get("note_events"), task, links),
        "mode": music.mode or task.params["mode"],
        "soundfont": music.soundfont,
        "bpm": music.tempo,
        "dominant_key": music.key,
    }


def _extraction(record: TaskRecord, links: Links) -> Json:
    task = record.task
    stems = {item.track.stem: item.file for item in record.tracks}
    urls = {name: _link(stems.get(name), task, links) for name in task.params["stems"]}
    return {f"{name}_{kind}": url for name, url in urls.items() for kind in ("url", "path")}


def _key_bpm(task: Task) -> Json:
    music = music_from(task)
    return {
        "dominant_key": music.key,
        "bpm": music.tempo,
        "key_changes": {f"{span.start_s:.2f}-{span.end_s:.2f}": span.key for span in music.keys},
        "key_confidence": music.key_confidence,
        "bpm_confidence": music.tempo_confidence,
    }


def _converted(record: TaskRecord, links: Links) -> Json:
    task = record.task
    file = next((file for file in record.files if file.role == "converted"), None)
    promised = _promised(task, links)
    if promised is not None:
        is_to_come = task.status in LIVE
        path = promised if file is not None else ""
        return {"output_path": promised if is_to_come else path, "conversion_path": path}
    return {"conversion_path": _link(file, task, links)}


def _promised(task: Task, links: Links) -> str | None:
    """The link that the first answer promised, good from when the file is there.

    Only where that had to wait for more than a week, or is kept longer than was promised, its link ends later.
    """
    params = task.params
    expires_ms = max(params.get("link_expires_ms", 0), task.expires_ms or 0)
    return links.promised(params["file_id"], params["name"], expires_ms) if "file_id" in params else None


def _link(file: File | None, task: Task, links: Links) -> str:
    return "" if file is None or task.status != TaskStatus.SUCCEEDED else links.to(file, task.expires_ms)


def _message(task: Task) -> str:
    if task.status == TaskStatus.SUCCEEDED:
        return BY_KIND[TaskKind(task.kind)].completed
    if task.error_message:
        return task.error_message
    return {
        TaskStatus.QUEUED: "Waiting for a worker.",
        TaskStatus.RUNNING: f"Working: {task.stage or 'starting'}.",
        TaskStatus.CANCELLED: "The task was cancelled.",
    }.get(TaskStatus(task.status), "The task failed.")
