"""Callbacks that are owed: claimed, tried, and either delivered, due again, or given up."""

import re
import uuid
from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from service.clock import Clock
from service.db.database import Database
from service.db.models import Delivery, Outbox, OutboxState


def origin(url: str) -> str:
    """Scheme and authority as the URL spells them, by which callbacks share a receiver."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0]}"


class OutboxStore:
    """The delivering side of the outbox table."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def claim(
        self, limit: int, hold_ms: int, *, busy: Counter[str] | None = None, per_origin: int | None = None
    ) -> list[Outbox]:
        """Take callbacks that are due, for ``hold_ms``: a deliverer that dies leaves them due again by then.

        Each gets the row of its attempt at once, so that one that never comes to its end is seen as well.

        Args:
            limit: how many at most.
            hold_ms: how long nobody else gets them.
            busy: how many attempts the caller has under way, by :func:`origin`.
            per_origin: how many there may be under way of one origin; None for any number.
        """
        now = self._clock.now_ms()
        counts = Counter(busy)
        most = limit + counts.total() if per_origin is None else per_origin
        full = [_has_origin(name) for name, count in counts.items() if count >= most]
        due = sa.and_(Outbox.state == OutboxState.PENDING, Outbox.due_ms <= now, *(~condition for condition in full))
        # In the order of an index: asked whether there is any, Postgres may look through the whole table for it.
        first = sa.select(Outbox.due_ms).where(due).order_by(Outbox.due_ms)
        async with self._database.read() as session:
            if await session.scalar(first.limit(1)) is None:
                return []
        query = sa.select(Outbox).where(due).order_by(Outbox.due_ms).limit(limit).with_for_update(skip_locked=True)
        taken = []
        async with self._database.write() as session:
            for outbox in await session.scalars(query):
                name = origin(outbox.url)
                if counts[name] >= most:
                    continue
                counts[name] += 1
                outbox.due_ms = now + hold_ms
                outbox.attempts += 1
                session.add(Delivery(id=uuid.uuid4().hex, outbox_id=outbox.id, attempt=outbox.attempts, started_ms=now))
                taken.append(outbox)
        return taken

    async def settle(
        self, outbox: Outbox, *, state: OutboxState, due_ms: int, status_code: int | None, error: str | None
    ) -> bool:
        """Record what came of an attempt, and where the callback stands after it.

        Returns:
            False if the callback was claimed or asked for again meanwhile: then it stands where that puts it.
        """
        ours = sa.and_(
            Outbox.id == outbox.id,
            Outbox.attempts == outbox.attempts,
            Outbox.retries_from == outbox.retries_from,
            Outbox.state == OutboxState.PENDING,
        )
        attempt = sa.and_(Delivery.outbox_id == outbox.id, Delivery.attempt == outbox.attempts)
        duration_ms = self._clock.now_ms() - Delivery.started_ms
        async with self._database.write() as session:
            settled = await session.scalar(
                sa.update(Outbox).where(ours).values(state=state, due_ms=due_ms).returning(Outbox.id)
            )
            await session.execute(
                sa.update(Delivery)
                .where(attempt)
                .values(duration_ms=duration_ms, status_code=status_code, error=error)
                .execution_options(synchronize_session=False)
            )
        return settled is not None

    async def redeliver(self, task_id: str) -> Outbox | None:
        """Send a task's callback again, under the same id: at once, and then on the schedule from its start.

        Returns:
            None if the task owes no callback.
        """
        values = {"state": OutboxState.PENDING, "due_ms": self._clock.now_ms(), "retries_from": Outbox.attempts}
        async with self._database.write() as session:
            return await session.scalar(
                sa.update(Outbox).where(Outbox.task_id == task_id).values(**values).returning(Outbox)
            )

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


def _has_origin(name: str) -> sa.ColumnElement[bool]:
    """Whether a callback's URL has an origin: it goes on with its path, query or fragment, or ends there."""
    goes_on = (Outbox.url.startswith(name + mark, autoescape=True) for mark in "/?#")
    return sa.or_(Outbox.url == name, *goes_on)
