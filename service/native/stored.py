"""``GET /v1/tasks/{id}``, which is polled: of an ended task it is served as stored bytes, while nothing is new."""

import msgspec
from litestar import Response
from litestar.datastructures import State

from service.api.answers import StoredAnswer, StoredAnswers, json_answer, respond
from service.api.checks import kept_task
from service.api.injection import KeyRequest
from service.context import Context
from service.db.models import LIVE
from service.eta import estimate
from service.native import present, requests, wire


async def task_answer(
    request: KeyRequest, task_id: str, context: Context, state: State, *, with_notes: bool
) -> Response[wire.Task]:
    """What ``GET /v1/tasks/{id}`` answers; each time the database is asked whether what was stored still holds.

    Raises:
        NotFound: no such task of this key, or its time is over.
    """
    answers: StoredAnswers = state.answers
    key_id = request.user.key.id
    place = (key_id, task_id, with_notes)
    if (known := answers.known(place)) is not None:
        if await context.store.tasks.version(key_id, task_id) == known.version:
            return respond(request, answers.keep(place, known))
        answers.forget(place)
    task = await kept_task(task_id, request.user.key, context)
    # before the rest is read: what changes meanwhile makes another version
    version = None if task.status in LIVE else await context.store.tasks.version(key_id, task_id)
    record = await requests.read_record(task, context, with_notes=with_notes)
    deliveries = await context.store.outbox.deliveries(task_id)
    eta_s = await estimate(record.task, context)
    shown = present.full_task(record, deliveries, eta_s, context.links, with_notes=with_notes)
    if version is None:
        return json_answer(request, shown)
    answer = StoredAnswer(msgspec.json.encode(shown), record.task.expires_ms, version)
    return respond(request, answers.keep(place, answer))
