"""What a request passes before its handler; and those that are refused by their head, whatever they ask for."""

from typing import cast

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from service.api.auth import KeyAuthentication
from service.api.headers import header
from service.api.idempotency import IdempotencyKeys
from service.api.wording import cut
from service.context import Context
from service.errors import BadRequest, Draining


class Gate(ASGIMiddleware):
    """Comes after authentication, before anything is read or made."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let a request through.

        Raises:
            Draining: it would make something, and the process is about to end.
            BadRequest: its body is compressed.
        """
        scope = cast(HTTPScope, scope)  # the only kind in ``scopes``
        context: Context = scope["litestar_app"].state.context
        if scope["method"] == "POST" and context.stopping.is_set():
            raise Draining("The service is being stopped or upgraded, and takes nothing new; try again in a moment.")
        if header(scope, b"content-encoding") is not None:
            _refuse_encoded(Headers.from_scope(scope))
        await next_app(scope, receive, send)


def guards(*, takes_raw_key: bool = False) -> list[ASGIMiddleware]:
    """What stands before every route that needs a key, in order: who asks, whether it is let in, whether it was asked
    before."""
    return [KeyAuthentication(takes_raw=takes_raw_key), Gate(), IdempotencyKeys()]


def _refuse_encoded(headers: Headers) -> None:
    """Refuse a compressed body: limits are for the bytes that arrive, and nothing here is ever unpacked."""
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    codings = {coding.strip().lower() for coding in ",".join(headers.getall("content-encoding", [])).split(",")}
    if has_body and (other := sorted(codings - {"", "identity"})):
        raise BadRequest(f"The body has the Content-Encoding {cut(', '.join(other))}; send it without one.")
