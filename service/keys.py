"""Making API keys."""

from service.context import Context
from service.secrets import key_hint, new_key


async def create_key(context: Context, name: str) -> str:
    """Create a key and return it; it cannot be shown again, since only its digest is stored."""
    token = new_key()
    await context.store.keys.create(name, context.secrets.key_digest(token), key_hint(token))
    return token
