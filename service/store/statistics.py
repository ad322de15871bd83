"""How much there is to do: for metrics, which anybody may ask for as often as they like."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from service.clock import Clock
from service.db.database import Database
from service.db.models import LIVE, Outbox, OutboxState, Queue, Task, TaskStatus

_KEPT_S = 5.0  # so that scrapes, however many, cost the database one query in this time


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """So many tasks of one kind that stand at the same place."""

    queue: str
    kind: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is to be done.

    Attributes:
        groups: tasks that have not ended.
        oldest_due_s: of every queue, for how long its oldest task that is due has waited; 0 where none is.
        callbacks_pending: how many are owed, those that wait for another attempt included.
    """

    groups: Sequence[TaskGroup]
    oldest_due_s: Mapping[str, float]
    callbacks_pending: int


class StatisticsStore:
    """Reads by indexes alone that lead to what has not ended; what has is no part of it, however much there is."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_s = 0.0
        self._latest: Statistics | None = None

    async def latest(self) -> Statistics:
        """As of the last few seconds."""
        async with self._lock:
            if self._latest is None or time.monotonic() - self._read_s > _KEPT_S:
                self._latest = await self._read()
                self._read_s = time.monotonic()
            return self._latest

    async def _read(self) -> Statistics:
        now = self._clock.now_ms()
        is_due = sa.and_(Task.status == TaskStatus.QUEUED, Task.due_ms <= now)
        live = (
            sa.select(Task.queue, Task.kind, Task.status, sa.func.count(), sa.func.min(sa.case((is_due, Task.due_ms))))
            .where(Task.queue.in_([*Queue]), Task.status.in_(LIVE))
            .group_by(Task.queue, Task.kind, Task.status)
        )
        pending = sa.select(sa.func.count()).where(Outbox.state == OutboxState.PENDING)
        async with self._database.read() as session:
            rows = (await session.execute(live)).all()
            callbacks = await session.scalar(pending) or 0
        oldest = {str(queue): 0.0 for queue in Queue}
        for queue, *_, due_ms in rows:
            if due_ms is not None:
                oldest[queue] = max(oldest[queue], (now - due_ms) / 1000)
        return Statistics([TaskGroup(*row[:4]) for row in rows], oldest, callbacks)
