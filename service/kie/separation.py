"""Separations in the Kie dialect: from the request to a task, from its rows to record and callback."""

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.models.catalogue import find
from service.api.checks import track_behind_url
from service.api.wording import shown
from service.context import Context
from service.db.models import Task, TaskKind, TaskStatus
from service.errors import Invalid
from service.kie.flags import flag
from service.kie.requests import Route, callback_url, sent, track_by_id
from service.kie.stem_names import find_stem
from service.kie.wire import OriginData, SeparationRecord, SeparationRequest, SeparationResponse, Stem
from service.links import Links
from service.store.records import TaskRecord

if TYPE_CHECKING:
    from service.api.auth import Caller

_ADVANCED = "split_stem_advanced"
TYPES = ("separate_vocal", "split_stem", _ADVANCED)
# Stem names whose field is not simply their own name.
_RESPONSE_FIELDS = {"vocals": "vocal_url"}


async def create_separation(
    request: SeparationRequest, original: msgspec.Struct, route: Route, caller: "Caller", context: Context
) -> Task:
    """Queue a separation.

    Args:
        request: what is asked for.
        original: the body that asked for it, to be kept.

    Raises:
        Invalid: a field is missing or wrong, or the source does not exist.
        TooManyRequests, PaymentRequired: a limit of the key.
    """
    callback = await callback_url(request.call_back_url, route, context)
    params = {**_what(request, route, context), **sent(original)}
    by_id = bool(request.task_id or request.audio_id)
    if by_id == bool(request.audio_url):
        by_id_fields = f"{route.field('task_id')} and {route.field('audio_id')}"
        raise Invalid(f"Give either {by_id_fields}, or {route.field('audio_url')}.")
    if request.audio_url:
        source = await track_behind_url(route.field("audio_url"), request.audio_url, caller.key, context)
        if source is None:
            params["audio_url"] = request.audio_url
    else:
        source = await track_by_id(request.task_id, request.audio_id, route, caller, context)
    return await context.store.tasks.create(route.task(TaskKind.SEPARATION, params, callback, caller).over(source))


def _what(request: SeparationRequest, route: Route, context: Context) -> dict[str, Any]:
    """Which stems are wanted, as the worker reads it."""
    kind = request.type or TYPES[0]
    if kind not in TYPES:
        raise Invalid(f"{route.field('type')} must be one of {', '.join(TYPES)}, not {shown(kind)}.")
    model = context.settings.separation_model
    params: dict[str, Any] = {"type": kind, "model": model}
    if kind == _ADVANCED:
        name, stem = find_stem(route.field("stem_name"), request.stem_name, model, find(model).stems)
        params |= {"stem": stem, "stem_name": name}
    return params


def separation_response(record: TaskRecord, links: Links) -> SeparationResponse | None:
    """The stems of a separation; None while there are none."""
    task = record.task
    if task.status != TaskStatus.SUCCEEDED:
        return None
    return SeparationResponse(
        id=task.id,
        # an upload can expire before what was made from it
        origin_url="" if record.source is None else links.to(record.source.file, task.expires_ms),
        origin_data=_origin_data(record, links),
        **_stem_links(record, links),
    )


def separation_record(record: TaskRecord, links: Links) -> SeparationRecord:
    """What ``vocal-removal/record-info`` answers."""
    task = record.task
    return SeparationRecord(
        task_id=task.id,
        music_id=task.source_track_id,
        audio_id=task.source_track_id,
        music_index=0,
        callback_url=task.callback_url,
        complete_time=task.completed_ms,
        create_time=task.created_ms,
        success_flag=flag(record),
        error_code=task.error_code,
        error_message=task.error_message,
        response=separation_response(record, links),
        stem_name=task.params.get("stem_name"),
        progress=round(task.progress, 4),
        stage=task.stage,
    )


def separation_callback(record: TaskRecord, links: Links) -> dict[str, Any]:
    """What the callback of an ended separation sends."""
    ids: dict[str, Any] = {"task_id": record.task.id, "taskId": record.task.id}
    if record.task.status != TaskStatus.SUCCEEDED:
        data = {**ids, "vocal_separation_info": None, "vocal_removal_info": None}
        return {"code": 500, "msg": "Vocal separation failed", "data": data}
    info = {"origin_url": "", **_stem_links(record, links), "origin_data": _origin_data(record, links)}
    # Upstream's pages and clients are split between the two names of the same object.
    data = {**ids, "vocal_separation_info": info, "vocal_removal_info": info}
    return {"code": 200, "msg": "vocal separation generated successfully.", "data": data}


def _group_name(stem: str) -> str:
    """``vocals`` -> ``Vocals``; ``no_drums`` -> ``No Drums``."""
    return stem.replace("_", " ").title()


def _origin_data(record: TaskRecord, links: Links) -> list[OriginData]:
    stems = [
        Stem(
            duration=item.track.duration_s,
            audio_url=links.to(item.file, record.task.expires_ms),
            stem_type_group_name=_group_name(item.track.stem or ""),
            id=item.track.id,
        )
        for item in record.tracks
    ]
    if record.task.params["type"] == _ADVANCED:
        extract, remove = stems
        return [OriginData(extract=extract, remove=remove)]
    return [OriginData(**msgspec.structs.asdict(stem)) for stem in stems]


def _stem_links(record: TaskRecord, links: Links) -> dict[str, str]:
    """Link fields of the stems that have one in this dialect (``other`` has none)."""
    stems = {item.track.stem or "": item for item in record.tracks}
    fields = {_RESPONSE_FIELDS.get(stem, f"{stem}_url"): item for stem, item in stems.items()}
    return {
        name: links.to(item.file, record.task.expires_ms)
        for name, item in fields.items()
        if name in SeparationResponse.__struct_fields__
    }
