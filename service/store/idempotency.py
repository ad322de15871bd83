"""Requests with an ``Idempotency-Key``: who carries one out, and what it was answered."""

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import Clock
from service.db.database import Database
from service.db.models import Idempotency
from service.errors import Conflict, RepeatUnderWay
from service.store.records import Answered, Promise

KEPT_MS = 24 * 3600 * 1000
_LOCK_MS = 30_000  # a process that died in the middle keeps a repeat waiting this long


class IdempotencyStore:
    """The table of such requests.

    No write of it waits for the disk.  A promise is on disk when the task is that was made after it; and where an
    answer is lost with the power, a repeat finds the task under its promise, and gets the same one.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, key_id: str, key: str, request: str) -> Promise | Answered:
        """Take on a request, or find that it was answered already.

        Args:
            key: the Idempotency-Key.
            request: method, path and query.

        Raises:
            Conflict: the key was used for another path.
            RepeatUnderWay: it is being carried out just now.
        """
        now = self._clock.now_ms()
        new: dict[str, Any] = {
            "request": request,
            "fingerprint": None,
            "task_id": uuid.uuid4().hex,
            "locked_until_ms": now + _LOCK_MS,
            "status_code": None,
            "media_type": None,
            "body": None,
            "expires_ms": now + KEPT_MS,
        }
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        take = (
            insert(Idempotency)
            .values(key_id=key_id, key=key, **new)
            .on_conflict_do_update(
                index_elements=[Idempotency.key_id, Idempotency.key], set_=new, where=Idempotency.expires_ms <= now
            )
            .returning(Idempotency.task_id)
        )
        async with self._database.write(durable=False) as session:
            if (task_id := await session.scalar(take)) is not None:
                return Promise(task_id)
            query = sa.select(Idempotency).where(Idempotency.key_id == key_id, Idempotency.key == key)
            row = (await session.scalars(query.with_for_update())).one()
            if row.request != request:
                raise Conflict("This Idempotency-Key was used for another path.")
            if row.status_code is not None:
                return Answered(row)
            if row.locked_until_ms > now:
                raise RepeatUnderWay("The first request with this Idempotency-Key is still being worked on.")
            row.locked_until_ms = now + _LOCK_MS
            return Promise(row.task_id)

    async def answer(
        self, key_id: str, key: str, *, fingerprint: str, status_code: int, media_type: str, body: bytes
    ) -> None:
        """Keep the answer for repeats."""
        values = {
            "fingerprint": fingerprint,
            "status_code": status_code,
            "media_type": media_type,
            "body": body,
            "expires_ms": self._clock.now_ms() + KEPT_MS,
        }
        async with self._database.write(durable=False) as session:
            await session.execute(
                sa.update(Idempotency).where(Idempotency.key_id == key_id, Idempotency.key == key).values(**values)
            )

    async def forget(self, key_id: str, key: str) -> None:
        """Let the request be tried anew: it made nothing."""
        async with self._database.write(durable=False) as session:
            await session.execute(sa.delete(Idempotency).where(Idempotency.key_id == key_id, Idempotency.key == key))

    async def release(self, key_id: str, key: str) -> None:
        """Let a repeat go on at once with a request that broke off, under the same promise."""
        ours = sa.and_(Idempotency.key_id == key_id, Idempotency.key == key)
        async with self._database.write(durable=False) as session:
            await session.execute(sa.update(Idempotency).where(ours).values(locked_until_ms=0))

    async def delete_expired(self) -> None:
        """Delete answers whose time is over."""
        async with self._database.write(durable=False) as session:
            await session.execute(sa.delete(Idempotency).where(Idempotency.expires_ms <= self._clock.now_ms()))
