"""``midi/record-info``, the answer that is large and polled most: of an ended task it is served as stored bytes."""

import msgspec
from litestar import Response
from litestar.datastructures import State

from service.api.answers import StoredAnswer, StoredAnswers, respond
from service.api.injection import KeyRequest
from service.context import Context
from service.db.models import LIVE, TaskKind
from service.kie.midi import midi_record
from service.kie.requests import record_asked_for
from service.kie.wire import Envelope, MidiRecord


async def midi_answer(
    request: KeyRequest, task_id: str | None, context: Context, state: State
) -> Response[Envelope[MidiRecord]]:
    """What ``midi/record-info`` answers.

    Raises:
        Invalid: no taskId was given.
        NotFound: no such task of this kind and key, or its time is over.
    """
    answers: StoredAnswers = state.answers
    place = (request.user.key.id, task_id or "")
    if (fresh := answers.fresh(place, context.clock.now_ms())) is not None:
        return respond(request, fresh)
    if (known := answers.known(place)) is not None and await context.store.tasks.has_ended(*place):
        return respond(request, answers.keep(place, known))
    answers.forget(place)
    record = await record_asked_for(task_id, request.user, context, TaskKind.MIDI)
    body = msgspec.json.encode(Envelope(200, "success", midi_record(record, context.links)))
    answer = StoredAnswer(body, record.task.expires_ms)
    return respond(request, answer if record.task.status in LIVE else answers.keep(place, answer))
