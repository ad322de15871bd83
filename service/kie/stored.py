"""``midi/record-info``, the answer that is large and polled most: of an ended task it is served as stored bytes."""

from typing import cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Response
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.status_codes import HTTP_304_NOT_MODIFIED
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from service.api.answers import StoredAnswer, StoredAnswers, negotiated, respond
from service.api.auth import Caller
from service.api.headers import header
from service.api.injection import KeyRequest
from service.context import Context
from service.db.models import LIVE, TaskKind
from service.kie.midi import midi_record
from service.kie.requests import record_asked_for
from service.kie.wire import Envelope, MidiRecord


class FreshAnswers(ASGIMiddleware):
    """Sends an answer that is fresh before a request is built for it: most of a poll's time would go into that."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answer at once, or leave it to the handler."""
        scope = cast(HTTPScope, scope)  # the only kind in ``scopes``
        app, caller = scope["litestar_app"], cast(Caller, scope["user"])
        task_ids = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "taskId"]
        place = (caller.key.id, task_ids[0] if len(task_ids) == 1 else "")
        answer = cast(StoredAnswers, app.state.answers).fresh(place, app.state.context.clock.now_ms())
        if answer is None:
            await next_app(scope, receive, send)
            return
        status, headers, body = negotiated(answer, header(scope, b"if-none-match"), header(scope, b"accept-encoding"))
        if status != HTTP_304_NOT_MODIFIED:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": False})


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
    if (known := answers.known(place)) is not None and await context.store.tasks.has_ended(*place):
        return respond(request, answers.keep(place, known))
    answers.forget(place)
    record = await record_asked_for(task_id, request.user, context, TaskKind.MIDI)
    body = msgspec.json.encode(Envelope(200, "success", midi_record(record, context.links)))
    answer = StoredAnswer(body, record.task.expires_ms)
    return respond(request, answer if record.task.status in LIVE else answers.keep(place, answer))
