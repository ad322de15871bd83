"""``Idempotency-Key`` on every POST of every dialect: the same key and body get the first answer again, for 24 h.

Only an answer by which something was made or changed is kept.  An error made nothing, so the same request may do better
later, and a repeat of it is carried out.  Whatever a request makes gets an id that was promised, and written down,
before it began: a repeat after a crash finds what the first one made.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import cast
from weakref import WeakValueDictionary

from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from service.api.auth import Caller
from service.api.headers import header
from service.api.multipart import boundary_of
from service.context import Context
from service.db.models import Idempotency
from service.errors import BadRequest, Conflict, Invalid, RepeatUnderWay
from service.store.idempotency import LOCK_MS, UNDER_WAY, IdempotencyStore
from service.store.records import Answered, Promise

_log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
_RAW_HEADER = HEADER.lower().encode()
REFUSED = "refused"  # set in a request's state by whatever answers an error
_MAX_LENGTH = 255
_ALLOWED = "printable ASCII characters, with no space at either end"
_WAIT_S = 10.0  # for an answer that is being worked on
_LOOK_EVERY_S = 0.25  # whether another process has it
_RENEW_EVERY_S = LOCK_MS / 1000 / 3
_KEPT_HEADERS = ("content-type", "location")
_OTHER_BODY = f"This {HEADER} was used for a request with another body."


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
            Invalid: the header is empty, too long, or not of the characters allowed.
            Conflict: the key was used for another request.
            RepeatUnderWay: the first request with the key takes longer than a repeat waits.
        """
        scope = cast(HTTPScope, scope)  # the only kind in ``scopes``
        value = header(scope, _RAW_HEADER) if scope["method"] == "POST" else None
        if value is None:
            await next_app(scope, receive, send)
            return
        if not (0 < len(value) <= _MAX_LENGTH and value.isascii() and value.isprintable() and value == value.strip()):
            raise Invalid(f"{HEADER} must be 1 to {_MAX_LENGTH} {_ALLOWED}.", field=HEADER)
        caller: Caller = scope["user"]
        deadline = asyncio.get_running_loop().time() + _WAIT_S
        lock = self._locks.setdefault((caller.key.id, value), asyncio.Lock())
        try:
            async with asyncio.timeout_at(deadline):
                await lock.acquire()
        except TimeoutError:
            raise RepeatUnderWay(UNDER_WAY) from None
        try:
            store = cast(Context, scope["litestar_app"].state.context).store.idempotency
            taken = await _begin(store, caller.key.id, value, _digest_of(scope), deadline)
            if isinstance(taken, Answered):
                await _repeat(taken.row, scope, receive, send)
            else:
                await _Attempt(scope, receive, send, taken, store).carry_out(next_app)
        finally:
            lock.release()


class _Attempt:
    """A request that is carried out under a promise."""

    def __init__(
        self, scope: HTTPScope, receive: Receive, send: Send, promise: Promise, store: IdempotencyStore
    ) -> None:
        self._scope, self._send = scope, send
        self._promise, self._store = promise, store
        self._body = _Body(scope, receive)
        self._is_other = False  # than what the promise was made for
        self._status = 0
        self._headers: dict[str, str] = {}
        self._answer = bytearray()

    async def carry_out(self, next_app: ASGIApp) -> None:
        caller: Caller = self._scope["user"]
        self._scope["user"] = dataclasses.replace(caller, task_id=self._promise.task_id)
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew_until(over))
        try:
            await next_app(self._scope, self._receive_noted, self._send_noted)
        finally:
            over.set()
            await renewing
            await self._end()

    async def _end(self) -> None:
        if 200 <= self._status < 300 and not self._was_refused():
            await self._store.answer(
                self._promise, fingerprint=self._body.fingerprint(), status_code=self._status,
                headers=self._headers, body=bytes(self._answer),
            )  # fmt: skip
        elif 0 < self._status < 500 and not self._is_other:
            await self._store.forget(self._promise)
        else:  # who knows how far it came: a repeat goes on under the same promise
            await self._store.release(self._promise)

    async def _renew_until(self, over: asyncio.Event) -> None:
        """Keep other processes from taking the request for one that died with its process."""
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _RENEW_EVERY_S)
                return
            try:
                await self._store.renew(self._promise)
            except Exception:  # the next time may do better, and the request needs none of it
                _log.warning("the lock of an idempotent request could not be renewed", exc_info=True)

    def _was_refused(self) -> bool:
        return bool(self._scope["state"].get(REFUSED, False))

    async def _receive_noted(self) -> HTTPReceiveMessage:
        """What the client sends; the end of it when the promise is known to be for just this body."""
        had_ended = self._body.has_ended
        message = await self._body.receive()
        if self._body.has_ended and not had_ended:
            fingerprint = self._body.fingerprint()
            self._is_other = self._promise.fingerprint not in (None, fingerprint)
            if self._is_other:
                raise Conflict(_OTHER_BODY)
            await self._store.keep_fingerprint(self._promise, fingerprint)
        return message

    async def _send_noted(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] < 300 and not self._was_refused() and not self._body.has_ended:
                await self._body.read_on(self._receive_noted)  # a handler that needs no body leaves one that is sent
            self._status = message["status"]
            headers = ((name.lower().decode("latin-1"), value) for name, value in message.get("headers", []))
            self._headers = {name: value.decode("latin-1") for name, value in headers if name in _KEPT_HEADERS}
        elif message["type"] == "http.response.body":
            self._answer += message.get("body", b"")
        await self._send(message)


class _Body:
    """A request's body, and its fingerprint as far as it has come."""

    def __init__(self, scope: HTTPScope, receive: Receive) -> None:
        self._receive = receive
        self._fingerprint = Fingerprint(header(scope, b"content-type") or "")
        self._limit = cast(HTTPRouteHandler, scope["route_handler"]).resolve_request_max_body_size() or 0
        self._n_bytes = 0
        self.has_ended = False

    async def receive(self) -> HTTPReceiveMessage:
        message = cast(HTTPReceiveMessage, await self._receive())
        if message["type"] == "http.request":
            self._fingerprint.feed(message.get("body", b""))
            self._n_bytes += len(message.get("body", b""))
            self.has_ended = not message.get("more_body", False)
        return message

    async def read_on(self, receive: Callable[[], Awaitable[HTTPReceiveMessage]]) -> None:
        """Read what is left of it, by ``receive``, up to the limit of the route."""
        while not self.has_ended and self._n_bytes <= self._limit:
            if (await receive())["type"] != "http.request":
                return

    def fingerprint(self) -> str:
        return self._fingerprint.digest()


async def _begin(store: IdempotencyStore, key_id: str, key: str, request: str, deadline: float) -> Promise | Answered:
    """Take the request on, once no other process is working on it.

    Args:
        deadline: when to stop waiting for one that does, in the time of the event loop.
    """
    while True:
        try:
            return await store.begin(key_id, key, request)
        except RepeatUnderWay:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(_LOOK_EVERY_S)


async def _repeat(row: Idempotency, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer what was answered before, if this is the same request."""
    sent = _Body(scope, receive)
    await sent.read_on(sent.receive)
    if sent.fingerprint() != row.fingerprint:
        raise Conflict(_OTHER_BODY)
    body = row.body or b""
    headers = [
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in row.headers.items()),
        (b"content-length", str(len(body)).encode()),
        (b"idempotent-replayed", b"true"),
    ]
    await send({"type": "http.response.start", "status": row.status_code or 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _digest_of(scope: HTTPScope) -> str:
    """Of method, path and query: as they were sent, since a decoded path can hold what PostgreSQL's text cannot."""
    path = scope.get("raw_path") or scope["path"].encode()
    return hashlib.sha256(b"%s %s?%s" % (scope["method"].encode(), path, scope["query_string"])).hexdigest()
