"""What is noted of every request: an id that its log lines and tasks have, a line when it is answered, its figures.

Nothing of its query, headers or body goes into the log, and of its path only the route: keys, signatures and names of
songs are in the others.
"""

import logging
import re
import time
import uuid

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from service.api.headers import header
from service.logs import about_fields
from service.metrics import request_answered

_log = logging.getLogger(__name__)

_HEADER = b"x-request-id"
_GOOD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")  # of a client or proxy: goes into logs and the database
_NO_ROUTE = "none"
_QUIET = ("/health", "/metrics")  # asked every few seconds, by machines
_CLIENT_GONE = 499  # as nginx writes it: nothing was answered any more


async def observed(app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Have a request answered, and note it.

    Args:
        app: answers it.
    """
    given = header(scope, _HEADER)
    request_id = given if given is not None and _GOOD_ID.fullmatch(given) else uuid.uuid4().hex
    started_s = time.perf_counter()
    status = _CLIENT_GONE

    async def send_noted(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"] = [*message.get("headers", []), (_HEADER, request_id.encode())]
        await send(message)

    with about_fields(request_id=request_id):
        try:
            await app(scope, receive, send_noted)
        finally:
            _note(scope, status, time.perf_counter() - started_s)


def _note(scope: HTTPScope, status: int, seconds: float) -> None:
    route = scope.get("path_template") or _NO_ROUTE
    method = scope["method"]
    request_answered(route, method, status, seconds)
    level = logging.DEBUG if route.startswith(_QUIET) else logging.INFO
    if _log.isEnabledFor(level):
        ms = round(1000 * seconds, 1)
        fields = {"method": method, "route": route, "status": status, "ms": ms}
        _log.log(level, "%s %s: %d, %g ms", method, route, status, ms, extra=fields)
