"""Whose turn it is: queues that are fair between keys, then go by priority, then by age.

This is start-time fair queuing (Goyal, Vin and Cheng 1996) with tasks of equal cost.  A queue has come to the highest
turn that was ever taken from it; a key's next task gets the turn after the key's last one, and never an earlier one
than that.  So a key that has 500 tasks waiting takes turns with one that comes later with a single task, whoever is
faster to ask, and what a key was given while nobody else waited is not held against it.  Every lookup is one step in an
index.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from service.db.models import Stage, Task, TaskStatus

# In the statement itself, and no parameter: only so can databases know, whatever comes, that an index suffices that has
# the waiting tasks alone, or those alone that wait no more.
_QUEUED = sa.literal(TaskStatus.QUEUED, literal_execute=True)
WAITS = Task.status == _QUEUED


async def next_turn(session: AsyncSession, queue: str, key_id: str, priority: int) -> int:
    """The turn of a task that a key, whose row is locked, puts into a queue now.

    A task of higher priority takes the place of the key's first one of a lower, and moves those on by one; workers that
    are taking one of them just now are not waited for.
    """
    last = await session.scalar(sa.select(sa.func.max(Task.turn)).where(Task.queue == queue, Task.key_id == key_id))
    turn = await _reached(session, queue) if last is None else max(last + 1, await _reached(session, queue))
    lower = (
        Task.queue == queue,
        WAITS,
        Task.key_id == key_id,
        Task.priority < sa.literal(priority, literal_execute=True),  # mostly none, as a plan for any number cannot know
    )
    first = await session.scalar(sa.select(sa.func.min(Task.turn)).where(*lower))
    if first is None or first >= turn:
        return turn
    free = sa.select(Task.id).where(*lower).with_for_update(skip_locked=True).scalar_subquery()
    await session.execute(
        sa.update(Task).where(Task.id.in_(free)).values(turn=Task.turn + 1).execution_options(synchronize_session=False)
    )
    return first


async def _reached(session: AsyncSession, queue: str) -> int:
    """The turn that a queue has come to; the first, where nothing was taken from it for as long as tasks are kept."""
    taken = sa.select(sa.func.max(Task.turn)).where(Task.queue == queue, Task.status != _QUEUED)
    passed_on = sa.select(sa.func.max(Stage.turn)).where(Stage.queue == queue)
    reached = [turn for query in (taken, passed_on) if (turn := await session.scalar(query)) is not None]
    return max(reached, default=0)
