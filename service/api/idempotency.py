"""``Idempotency-Key`` on every POST of every dialect: the same key and body get the first answer again, for 24 h.

Only an answer by which something was made or changed is kept.  An error made nothing, so the same request may do better
later, and a repeat of it is carried out.  Whatever a request makes gets an id that was promised, and written down,
before it began: a repeat after a crash finds what the first one made.
"""

import asyncio
import dataclasses
import hashlib
from typing import cast
from weakref import WeakValueDictionary

from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from service.api.auth import Caller
from service.api.multipart import boundary_of
from service.context import Context
from service.db.models import Idempotency
from service.errors import BadRequest, Conflict, Invalid, RepeatUnderWay
from service.store.records import Answered, Promise

HEADER = "Idempotency-Key"
REFUSED = "refused"  # set in a request's state by whatever answers an error
_MAX_LENGTH = 255
_WAIT_S = 10.0  # for an answer that another process is working on
_LOOK_EVERY_S = 0.25


class Fingerprint:
    """Digest of a body as it streams by: of a form's names and contents, since its boundary differs every time."""

    def __init__(self, content_type: str) -> None:
        self._digest = hashlib.sha256()
        try:
            self._parser: PushMultipartParser | None = PushMultipartParser(boundary_of(content_type))
        except BadRequest:
            self._parser = None

    def feed(self, chunk: bytes) -> None:
        """Take more of the body."""
        if self._parser is None:
            self._digest.update(chunk)
            return
        try:
            for part in self._parser.parse(chunk) if chunk else ():
                if isinstance(part, MultipartSegment):
                    self._digest.update(repr((part.name, part.filename)).encode())
                elif part:
                    self._digest.update(part)
        except MultipartError:  # whoever wants the form will refuse it
            self._parser = None

    def digest(self) -> str:
        """SHA-256 in hex."""
        return self._digest.hexdigest()


class IdempotencyKeys(ASGIMiddleware):
    """Carries a request with an ``Idempotency-Key`` out once; comes after authentication."""

    scopes = (ScopeType.HTTP,)

    def __init__(self) -> None:
        # Repeats that arrive while the first is being worked on wait here, not in the database.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Carry the request out, or answer what was answered before.

        Raises:
            Invalid: the header is empty, too long, or not visible ASCII.
            Conflict: the key was used for another request.
        """
        scope = cast(HTTPScope, scope)  # the only kind in ``scopes``
        value = _header(scope, HEADER)
        if scope["method"] != "POST" or value is None:
            await next_app(scope, receive, send)
            return
        if not (0 < len(value) <= _MAX_LENGTH and value.isascii() and value.isprintable()):
            raise Invalid(f"{HEADER} must be 1 to {_MAX_LENGTH} visible ASCII characters.")
        caller: Caller = scope["user"]
        lock = self._locks.setdefault((caller.key.id, value), asyncio.Lock())
        async with lock:
            await _Request(scope, receive, send, value, caller).carry_out(next_app)


class _Request:
    """One request with an Idempotency-Key."""

    def __init__(self, scope: HTTPScope, receive: Receive, send: Send, key: str, caller: Caller) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._key, self._caller = key, caller
        context: Context = scope["litestar_app"].state.context
        self._store = context.store.idempotency
        self._fingerprint = Fingerprint(_header(scope, "content-type") or "")
        self._status = 0
        self._media_type = ""
        self._body = bytearray()

    async def carry_out(self, next_app: ASGIApp) -> None:
        taken = await self._begin()
        if isinstance(taken, Answered):
            await self._repeat(taken.row)
            return
        key_id = self._caller.key.id
        self._scope["user"] = dataclasses.replace(self._caller, task_id=taken.task_id)
        try:
            await next_app(self._scope, self._receive_noted, self._send_noted)
        finally:
            refused = self._scope["state"].get(REFUSED, False)
            if 200 <= self._status < 300 and not refused:
                await self._store.answer(
                    key_id, self._key, fingerprint=self._fingerprint.digest(), status_code=self._status,
                    media_type=self._media_type, body=bytes(self._body),
                )  # fmt: skip
            elif 0 < self._status < 500:
                await self._store.forget(key_id, self._key)
            else:  # who knows how far it came: a repeat goes on under the same promise
                await self._store.release(key_id, self._key)

    async def _begin(self) -> Promise | Answered:
        request = f"{self._scope['method']} {self._scope['path']}?{self._scope['query_string'].decode('latin-1')}"
        deadline = asyncio.get_running_loop().time() + _WAIT_S
        while True:
            try:
                return await self._store.begin(self._caller.key.id, self._key, request)
            except RepeatUnderWay:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _repeat(self, row: Idempotency) -> None:
        """Answer what was answered before, if this is the same request."""
        limit = cast(HTTPRouteHandler, self._scope["route_handler"]).resolve_request_max_body_size() or 0
        n_bytes, more = 0, True
        while more and n_bytes <= limit:
            message = await self._receive_noted()
            more = message["type"] == "http.request" and message.get("more_body", False)
            n_bytes += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if self._fingerprint.digest() != row.fingerprint:
            raise Conflict(f"This {HEADER} was used for a request with another body.")
        body = row.body or b""
        headers = [
            (b"content-type", (row.media_type or "").encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
            (b"idempotent-replayed", b"true"),
        ]
        await self._send({"type": "http.response.start", "status": row.status_code or 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _receive_noted(self) -> HTTPReceiveMessage:
        message = cast(HTTPReceiveMessage, await self._receive())
        if message["type"] == "http.request":
            self._fingerprint.feed(message.get("body", b""))
        return message

    async def _send_noted(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = dict(message.get("headers", []))
            self._media_type = headers.get(b"content-type", b"").decode("latin-1")
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
        await self._send(message)


def _header(scope: HTTPScope, name: str) -> str | None:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), None)
