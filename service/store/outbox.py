"""Callbacks that are owed: claimed, tried, and either delivered, due again, or given up."""

import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from service.clock import Clock
from service.db.database import Database
from service.db.models import Delivery, Outbox, OutboxState


class OutboxStore:
    """The delivering side of the outbox table."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, limit: int, hold_ms: int) -> Sequence[Outbox]:
        """Take callbacks that are due, for ``hold_ms``: a deliverer that dies leaves them due again by then."""
        now = self._clock.now_ms()
        due = sa.and_(Outbox.state == OutboxState.PENDING, Outbox.due_ms <= now)
        async with self._database.read() as session:
            if not await session.scalar(sa.select(sa.exists().where(due))):
                return []
        ids = sa.select(Outbox.id).where(due).order_by(Outbox.due_ms).limit(limit).with_for_update(skip_locked=True)
        async with self._database.write() as session:
            rows = await session.scalars(
                sa.update(Outbox)
                .where(Outbox.id.in_(ids.scalar_subquery()))
                .values(due_ms=now + hold_ms, attempts=Outbox.attempts + 1)
                .returning(Outbox)
            )
            return rows.all()

    async def settle(
        self,
        outbox: Outbox,
        *,
        state: OutboxState,
        due_ms: int,
        started_ms: int,
        status_code: int | None,
        error: str | None,
    ) -> None:
        """Record an attempt and where the callback stands after it."""
        now = self._clock.now_ms()
        async with self._database.write() as session:
            session.add(
                Delivery(
                    id=uuid.uuid4().hex,
                    outbox_id=outbox.id,
                    attempt=outbox.attempts,
                    started_ms=started_ms,
                    duration_ms=now - started_ms,
                    status_code=status_code,
                    error=error,
                )
            )
            await session.execute(sa.update(Outbox).where(Outbox.id == outbox.id).values(state=state, due_ms=due_ms))

    async def deliveries(self, task_id: str) -> Sequence[Delivery]:
        """Every attempt to deliver a task's callback, in order."""
        query = (
            sa.select(Delivery)
            .join(Outbox, Outbox.id == Delivery.outbox_id)
            .where(Outbox.task_id == task_id)
            .order_by(Delivery.started_ms, Delivery.attempt)
        )
        async with self._database.read() as session:
            return (await session.scalars(query)).all()
