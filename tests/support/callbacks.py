"""Tasks that owe a callback, and what came of it."""

from collections.abc import Sequence

from service.context import Context
from service.db.models import ApiKey, Delivery, TaskKind
from service.store.records import NewTask, Outcome


async def finished_task(context: Context, key: ApiKey, url: str) -> str:
    """The id of a task that has just succeeded and owes a callback to ``url``."""
    task = await context.store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.MIDI, callback_url=url))
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    await context.store.leases.succeed(claim, Outcome())
    return task.id


async def attempts(context: Context, task_id: str) -> Sequence[Delivery]:
    """Every attempt to deliver the task's callback."""
    return await context.store.outbox.deliveries(task_id)
