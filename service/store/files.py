"""Who refers to which stored object: the rows that :class:`service.keeper.FileKeeper` keeps in step with the storage.

An object may be deleted when no row of ``files``, ``stage_files`` or ``pending_files`` has its key.  That is looked up,
and the object deleted, under the lock of its key; and under the same lock an object is announced before it is stored.
So whoever announces either comes first, and the object stays, or waits until it is gone, and stores it again.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from service.clock import Clock
from service.db.database import Database
from service.db.models import File, PendingFile, Stage, StageFile, Task, TaskStatus
from service.store.rows import FORSAKEN, forsake

_REFERRERS = (File, StageFile, PendingFile)
_UPLOAD_STALE_MS = 3_600_000  # far more than storing and recording an upload takes


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has announced files: a claim by its fence, an upload by a negative number of its own, or nobody any more."""

    task_id: str
    fence: int


class FileStore:
    """Announcements, references, and locks of stored objects."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def announce(self, keys: Collection[str], holder: Holder, *, only_known: bool = False) -> bool:
        """Promise to store objects, so that nobody deletes them.

        Args:
            only_known: promise nothing unless some task or stage has stored every one of them.

        Returns:
            Whether it is promised.
        """
        async with self._database.write() as session:
            await self._lock(session, keys)
            if only_known:
                recorded = sa.union(
                    *(sa.select(row.storage_key).where(row.storage_key.in_(keys)) for row in (File, StageFile))
                )
                if set(await session.scalars(recorded)) != set(keys):
                    return False
            known = set(await session.scalars(_announced(holder, keys)))
            now = self._clock.now_ms()
            session.add_all(
                PendingFile(storage_key=key, task_id=holder.task_id, fence=holder.fence, created_ms=now)
                for key in set(keys) - known
            )
        return True

    async def is_announced(self, key: str, holder: Holder) -> bool:
        """Whether the holder's announcement still stands."""
        async with self._database.read() as session:
            return await session.scalar(_announced(holder, [key])) is not None

    @asynccontextmanager
    async def releasing(self, task_id: str, fences: tuple[int, int]) -> AsyncIterator[Sequence[str]]:
        """Drop the announcements of a task's holders, and give those keys that nobody refers to then.

        Their locks are held meanwhile: the block deletes the objects.  If it fails, the announcements stand as before.

        Args:
            fences: the first and the last of the holders.
        """
        held = sa.and_(PendingFile.task_id == task_id, PendingFile.fence.between(*fences))
        async with self._database.read() as session:
            keys = (await session.scalars(sa.select(PendingFile.storage_key).where(held).distinct())).all()
        if not keys:  # as nearly always
            yield []
            return
        async with self._database.write() as session:
            await self._lock(session, keys)
            await session.execute(sa.delete(PendingFile).where(held, PendingFile.storage_key.in_(keys)))
            yield await _without_referrer(session, keys)

    async def forsake(self, task_id: str, fences: tuple[int, int]) -> None:
        """Leave what a task's holders have announced to whoever sweeps next; no key is without a row meanwhile."""
        held = sa.and_(
            PendingFile.task_id == task_id, PendingFile.fence.between(*fences), PendingFile.fence != FORSAKEN
        )
        async with self._database.write() as session:
            keys = await session.scalars(sa.delete(PendingFile).where(held).returning(PendingFile.storage_key))
            await forsake(session, task_id, set(keys), self._clock.now_ms())

    @asynccontextmanager
    async def unknown(self, keys: Collection[str]) -> AsyncIterator[Sequence[str]]:
        """Those of the keys that no row has, with their locks held."""
        async with self._database.read() as session:
            suspects = await _without_referrer(session, keys)
        if not suspects:
            yield []
            return
        async with self._database.write() as session:
            await self._lock(session, suspects)
            yield await _without_referrer(session, suspects)

    async def forget_task(self, task_id: str) -> None:
        """Delete a task's rows; what it has stored is left announced by nobody, to be released."""
        async with self._database.write() as session:
            await _hold(session, task_id)
            await forsake(session, task_id, await _keys_of(session, task_id), self._clock.now_ms())
            await session.execute(sa.delete(Task).where(Task.id == task_id))

    async def forget_stages(self, task_id: str) -> None:
        """Delete the rows of a task's stages; what they have stored is left announced by nobody, to be released."""
        async with self._database.write() as session:
            await _hold(session, task_id)
            keys = (await session.scalars(_keys_in_stages(task_id))).all()
            if keys:
                await forsake(session, task_id, keys, self._clock.now_ms())
            await session.execute(sa.delete(Stage).where(Stage.task_id == task_id))

    async def dead_holders(self, limit: int) -> list[Holder]:
        """Holders that will record nothing any more."""
        running = sa.exists().where(
            Task.id == PendingFile.task_id, Task.status == TaskStatus.RUNNING, Task.fence == PendingFile.fence
        )
        stale = PendingFile.created_ms < self._clock.now_ms() - _UPLOAD_STALE_MS
        dead = sa.or_(
            PendingFile.fence == FORSAKEN,
            sa.and_(PendingFile.fence > FORSAKEN, ~running),
            sa.and_(PendingFile.fence < FORSAKEN, stale),
        )
        query = sa.select(PendingFile.task_id, PendingFile.fence).where(dead).distinct().limit(limit)
        async with self._database.read() as session:
            return [Holder(*row) for row in await session.execute(query)]

    async def _lock(self, session: AsyncSession, keys: Collection[str]) -> None:
        """Lock keys until the transaction ends; on SQLite a transaction that writes has everything to itself.

        All in the order of their locks: two that lock several never wait for each other.
        """
        if self._database.is_sqlite or not keys:
            return
        numbers = sorted({_lock_number(key) for key in keys})
        number = sa.func.unnest(sa.bindparam("numbers", numbers, ARRAY(sa.BigInteger))).column_valued("number")
        await session.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


async def _hold(session: AsyncSession, task_id: str) -> None:
    """Lock a task's row: two that give up files of one task do so one after the other."""
    await session.execute(sa.select(Task.id).where(Task.id == task_id).with_for_update())


def _lock_number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], signed=True)


def _announced(holder: Holder, keys: Collection[str]) -> sa.Select[str]:
    return sa.select(PendingFile.storage_key).where(
        PendingFile.task_id == holder.task_id, PendingFile.fence == holder.fence, PendingFile.storage_key.in_(keys)
    )


async def _without_referrer(session: AsyncSession, keys: Collection[str]) -> Sequence[str]:
    """Those of the keys that no row has.

    One statement, so one state of the database: between two, an announcement could become a row that neither sees.
    """
    if not keys:
        return []
    known = sa.union(*(sa.select(row.storage_key).where(row.storage_key.in_(keys)) for row in _REFERRERS))
    return sorted(set(keys) - set(await session.scalars(known)))


def _keys_in_stages(task_id: str) -> sa.Select[str]:
    return sa.select(StageFile.storage_key).join(Stage, Stage.id == StageFile.stage_id).where(Stage.task_id == task_id)


async def _keys_of(session: AsyncSession, task_id: str) -> set[str]:
    files = sa.select(File.storage_key).where(File.task_id == task_id)
    return set(await session.scalars(sa.union(files, _keys_in_stages(task_id))))
