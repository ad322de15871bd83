"""Keeps the storage and the database in step: every stored object has a row, and nothing that has one is deleted.

To store: announce (a row, committed), put the object, and record it; the transaction that does so deletes the
announcement.  To delete: give up every row, leaving an announcement that nobody holds, and only then, under the lock of
its key, delete the object that no row has, with that announcement.  Whoever dies between two of these steps leaves an
announcement, which :meth:`FileKeeper.sweep` finds.  Decision 0011 says why it is so.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from service import metrics
from service.errors import LeaseLost, StorageError
from service.storage import FRESH, MIME_TYPES, Storage, content_key, file_sha256
from service.store.files import FileStore, Holder
from service.store.records import NewFile
from service.store.rows import FORSAKEN

_log = logging.getLogger(__name__)

_MAX_FENCE = 2**62
_AUDIT_BATCH = 500
_SWEEP_BATCH = 500


class FileKeeper:
    """Stores and deletes the files of tasks.

    Args:
        store: the rows.
        storage: the objects.
        retention: how long an ended task is kept.
    """

    def __init__(self, store: FileStore, storage: Storage, retention: timedelta) -> None:
        self._store = store
        self._storage = storage
        self._retention = retention

    async def keep(
        self,
        path: Path,
        *,
        task_id: str,
        fence: int,
        role: str,
        name: str,
        mime_type: str | None = None,
        sha256: str | None = None,
    ) -> NewFile:
        """Store a file that the task is about to record.

        Args:
            path: the finished file; gone afterwards.
            fence: of the claim that stores it; :func:`upload_fence` where there is none.
            name: the name clients see.
            mime_type: told by the path's suffix where None is given; a client may have chosen the name.
            sha256: its digest in hex, where it is known already.

        Raises:
            StorageError: the storage cannot be used just now; the file is as it was.  Or an upload took so long that it
                was taken for dead.
            LeaseLost: the claim was taken for dead meanwhile.
        """
        digest = await asyncio.to_thread(file_sha256, path) if sha256 is None else sha256
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        key, holder = content_key(digest), Holder(task_id, fence)
        await self._store.announce([key], holder)
        await self._storage.put(path, key)
        metrics.bytes_stored(size_bytes)
        with contextlib.suppress(SQLAlchemyError):  # what cannot be asked now, the fence decides when it is recorded
            if not await self._store.is_announced(key, holder):
                await self._delete_unknown([key])
                what = f"task {task_id}: {role} was stored when its holder {fence} had been taken for dead"
                raise LeaseLost(what) if fence > FORSAKEN else StorageError(what)
        known_type: str = mime_type or MIME_TYPES.get(path.suffix, "application/octet-stream")
        return NewFile(role, name, known_type, key, size_bytes, digest, fence)

    async def reuse(self, keys: Collection[str], *, task_id: str, fence: int) -> bool:
        """Hold objects that another task has stored, to be recorded by this one as well.

        Returns:
            False where one of them is gone; what is held all the same goes with the holder.
        """
        if not await self._store.announce(keys, Holder(task_id, fence), only_known=True):
            return False
        return all(await asyncio.gather(*map(self._storage.refresh, keys)))

    async def release(self, task_id: str, fence: int | None = None, *, below: int | None = None) -> None:
        """Drop what a holder has announced and not recorded; objects that nobody else refers to are deleted.

        What cannot be done now, :meth:`sweep` does.

        Args:
            fence: the holder's.
            below: instead of it, for all claims before that number.
        """
        fences = (fence, fence) if fence is not None else (1, (below or 1) - 1)
        try:
            async with self._store.releasing(task_id, fences) as keys:
                if keys:
                    await self._storage.delete(keys)
        except (StorageError, SQLAlchemyError) as error:
            _log.warning("task %s: files stay for now: %s", task_id, error)
            with contextlib.suppress(SQLAlchemyError):  # else an upload's are known to be nobody's in an hour only
                await self._store.forsake(task_id, fences)

    async def delete_task(self, task_id: str) -> None:
        """Delete a task's rows, then every object of it that nothing else refers to."""
        await self._store.forget_task(task_id)
        await self.release(task_id, FORSAKEN)

    async def drop_stages(self, task_id: str) -> None:
        """Delete the rows of a task's stages, then every object of them that nothing else refers to."""
        await self._store.forget_stages(task_id)
        await self.release(task_id, FORSAKEN)

    async def sweep(self, limit: int = _SWEEP_BATCH) -> int:
        """Release holders that are dead, at most so many; returns how many there were."""
        dead = await self._store.dead_holders(limit)
        for holder in dead:
            await self.release(holder.task_id, holder.fence)
        return len(dead)

    async def audit(self, part: int) -> int:
        """Look through one folder of the storage: delete objects that no row has, make those young that grew too old.

        Of the first there are none but those of a process that was taken for dead, went on, and died at once; or of a
        database that was put back from a copy.  The others are files of tasks that waited for long.

        Args:
            part: the folder's number; there are :data:`service.storage.N_FOLDERS`.

        Returns:
            How many were deleted.
        """
        deleted, folder = 0, f"objects/{part:02x}"
        batch: list[str] = []
        async for key in self._storage.keys(folder):
            batch.append(key)
            if len(batch) == _AUDIT_BATCH:
                deleted += await self._delete_unknown(batch)
                batch = []
        deleted += await self._delete_unknown(batch)
        await self._storage.renew(folder, self._retention + FRESH)
        return deleted

    async def _delete_unknown(self, keys: Collection[str]) -> int:
        async with self._store.unknown(keys) as unknown:
            if unknown:
                await self._storage.delete(unknown)
        return len(unknown)


def upload_fence() -> int:
    """A holder's number for an upload, which no other attempt at it has."""
    return -1 - secrets.randbelow(_MAX_FENCE)
