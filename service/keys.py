"""Making API keys."""

from collections.abc import Mapping

from service.context import Context
from service.secrets import key_hint, new_key


async def create_key(context: Context, name: str, limits: Mapping[str, int | None] | None = None) -> str:
    """Create a key and return it; it cannot be shown again, since only its digest is stored.

    Args:
        limits: its own, as :meth:`service.store.keys.KeyStore.set_limits` takes them.
    """
    token = new_key()
    await context.store.keys.create(name, context.secrets.key_digest(token), key_hint(token), limits)
    return token


async def rotate_key(context: Context, key_id: str, grace_ms: int) -> str | None:
    """Give a live key another token and return it; the old one works for ``grace_ms`` more.  None if it is not live."""
    token = new_key()
    key = await context.store.keys.rotate(key_id, context.secrets.key_digest(token), key_hint(token), grace_ms)
    return None if key is None else token
