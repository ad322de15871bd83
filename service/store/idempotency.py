"""Requests with an ``Idempotency-Key``: who carries one out, and what it was answered."""

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import Clock
from service.db.database import Database
from service.db.models import Idempotency, Task
from service.errors import Conflict, RepeatUnderWay
from service.store.records import Answered, Promise

KEPT_MS = 24 * 3600 * 1000
LOCK_MS = 30_000  # a process that died in the middle keeps a repeat waiting this long
UNDER_WAY = "The first request with this Idempotency-Key is still being worked on."


class IdempotencyStore:
    """The table of such requests.

    Each attempt at a request has a token of its own in the row.  One that was away for longer than its lock, and was
    taken for dead, finds another's there, and can change nothing any more.

    No write of it waits for the disk.  A promise, and the body that it was made for, are on disk when the task is that
    was made after them; and where an answer is lost with the power, a repeat finds the task under its promise, and
    gets the same one.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, key_id: str, key: str, request: str) -> Promise | Answered:
        """Take on a request, or find that it was answered already.

        Args:
            key: the Idempotency-Key.
            request: digest of method, path and query.

        Raises:
            Conflict: the key was used for another path.
            RepeatUnderWay: it is being carried out just now.
        """
        now = self._clock.now_ms()
        attempt = uuid.uuid4().hex
        new: dict[str, Any] = {
            "request": request,
            "fingerprint": None,
            "task_id": uuid.uuid4().hex,
            "attempt": attempt,
            "locked_until_ms": now + LOCK_MS,
            "status_code": None,
            "headers": {},
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
                return Promise(key_id, key, attempt, task_id, fingerprint=None)
            query = sa.select(Idempotency).where(Idempotency.key_id == key_id, Idempotency.key == key)
            row = (await session.scalars(query.with_for_update())).one()
            if row.request != request:
                raise Conflict("This Idempotency-Key was used for another path.")
            if row.status_code is not None:
                return Answered(row)
            if row.locked_until_ms > now:
                raise RepeatUnderWay(UNDER_WAY)
            row.locked_until_ms = now + LOCK_MS
            row.attempt = attempt
            return Promise(key_id, key, attempt, row.task_id, row.fingerprint)

    async def renew(self, promise: Promise) -> None:
        """Tell other processes that an attempt is still being worked on."""
        await self._update(promise, locked_until_ms=self._clock.now_ms() + LOCK_MS)

    async def keep_fingerprint(self, promise: Promise, fingerprint: str) -> None:
        """Write down for which body the promise is, before anything is made from it.

        Raises:
            RepeatUnderWay: another process has taken the request over.
        """
        if not await self._update(promise, fingerprint=fingerprint):
            raise RepeatUnderWay(UNDER_WAY)

    async def answer(
        self, promise: Promise, *, fingerprint: str, status_code: int, headers: dict[str, str], body: bytes
    ) -> None:
        """Keep the answer for repeats."""
        await self._update(
            promise,
            fingerprint=fingerprint,
            status_code=status_code,
            headers=headers,
            body=body,
            expires_ms=self._clock.now_ms() + KEPT_MS,
        )

    async def forget(self, promise: Promise) -> None:
        """Let a request that was refused be tried anew, unless an earlier attempt at it has made something."""
        made = sa.exists().where(Task.id == promise.task_id)
        async with self._database.write(durable=False) as session:
            await session.execute(sa.delete(Idempotency).where(_row_of(promise), ~made))
            await session.execute(sa.update(Idempotency).where(_row_of(promise)).values(locked_until_ms=0))

    async def release(self, promise: Promise) -> None:
        """Let a repeat go on at once with a request that broke off, under the same promise."""
        await self._update(promise, locked_until_ms=0)

    async def delete_expired(self) -> None:
        """Delete answers whose time is over."""
        async with self._database.write(durable=False) as session:
            await session.execute(sa.delete(Idempotency).where(Idempotency.expires_ms <= self._clock.now_ms()))

    async def _update(self, promise: Promise, **values: Any) -> bool:
        """Change the row of an attempt; False where it is another attempt's by now."""
        change = sa.update(Idempotency).where(_row_of(promise)).values(**values).returning(Idempotency.task_id)
        async with self._database.write(durable=False) as session:
            return await session.scalar(change) is not None


def _row_of(promise: Promise) -> sa.ColumnElement[bool]:
    return sa.and_(
        Idempotency.key_id == promise.key_id,
        Idempotency.key == promise.key,
        Idempotency.attempt == promise.attempt,
    )
