"""API keys on requests: checked before a body is read."""

from dataclasses import dataclass
from typing import cast

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from service.api.headers import header
from service.context import Context
from service.db.models import ApiKey
from service.errors import Unauthorized
from service.logs import add_field

_REFUSAL = "You do not have access permissions"  # upstream's words; clients look for them


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        key: the checked key, as of the last second.
        digest: of the token that was shown, by which the key can be looked at again.
        task_id: the id that was promised to what this request makes, where it has an Idempotency-Key.
    """

    key: ApiKey
    digest: str
    task_id: str | None = None


class KeyAuthentication(ASGIMiddleware):
    """Puts the :class:`Caller` into ``request.user``.

    Args:
        takes_raw: whether the header may be the key alone, without ``Bearer``.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, *, takes_raw: bool = False) -> None:
        self._takes_raw = takes_raw

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Find the key of the ``Authorization`` header: after ``Bearer``, or alone where that is taken.

        Raises:
            Unauthorized: no such header, or a key that is unknown or revoked.
        """
        value = (header(cast(HTTPScope, scope), b"authorization") or "").strip()
        scheme, _, token = value.partition(" ")
        if self._takes_raw and not token:
            scheme, token = "bearer", value
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized(_REFUSAL)
        context: Context = scope["litestar_app"].state.context
        digest = context.secrets.key_digest(token.strip())
        key = await context.store.keys.find(digest)
        if key is None:
            raise Unauthorized(_REFUSAL)
        scope["user"] = Caller(key, digest)
        add_field("key_id", key.id)
        await next_app(scope, receive, send)
