"""What a key has: its credits, and links to its files."""

from service.api.auth import Caller
from service.api.checks import is_expired
from service.context import Context
from service.errors import Invalid
from service.prices import credits

UNLIMITED_CREDITS = 1_000_000  # shown for a key without a limit: clients want a number, and compare it with a price
_LINK_MS = 20 * 60 * 1000
_WRONG_URL = "url is wrong"  # upstream's words


async def credits_left(caller: Caller, context: Context) -> int | float:
    """What the key can still spend, as of now; :data:`UNLIMITED_CREDITS` where it has no limit."""
    key = await context.store.keys.get(caller.key.id)
    return UNLIMITED_CREDITS if key.credit_limit is None else credits(max(key.credit_limit - key.credits_spent, 0))


async def short_link(url: str | None, caller: Caller, context: Context) -> str:
    """A link, good for 20 minutes at most, to the file that a link of ours points to.

    Raises:
        Invalid: no live link of ours, or not to a file of the caller's.
    """
    now = context.clock.now_ms()
    file_id = context.links.live_file_id(url or "", now)
    found = None if file_id is None else await context.store.tasks.file(file_id)
    if found is None:
        raise Invalid(_WRONG_URL)
    file, task = found
    if task.key_id != caller.key.id or is_expired(task, context):
        raise Invalid(_WRONG_URL)
    until = now + _LINK_MS
    return context.links.to(file, until if task.expires_ms is None else min(until, task.expires_ms))
