"""Keeping the house clean: leases that ran out, results whose time is over, and what dead workers left behind."""

import asyncio
import contextlib
import itertools
import logging
import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from service import metrics
from service.context import Context
from service.db.models import TaskStatus
from service.storage import N_FOLDERS

_log = logging.getLogger(__name__)

_EXPIRY_BATCH = 50
_STALE_S = 3600
_OURS = ("upload-", "refresh-")
_JOB_FOLDER = re.compile(r"([0-9a-f]{32})-(\d+)")


class Janitor:
    """Each method is one round; the worker process runs them again and again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        first = secrets.randbelow(N_FOLDERS)  # of many workers, each begins elsewhere
        self._parts = itertools.cycle([*range(first, N_FOLDERS), *range(first)])

    async def reap_leases(self, *, alive: Collection[str] = ()) -> int:
        """Return tasks of silent workers to the queue, or fail them; returns how many.

        Args:
            alive: ids of the tasks that the worker of this process is doing.
        """
        tasks = await self._context.store.leases.reap(alive=alive)
        metrics.leases_expired(len(tasks))
        for task in tasks:
            _log.warning("task %s: its worker fell silent; now %s", task.id, task.status)
            if task.status == TaskStatus.FAILED:
                metrics.task_finished(task.kind, TaskStatus.FAILED)
                await self._context.files.release(task.id, below=task.fence + 1)
                await self._context.files.drop_stages(task.id)
        return len(tasks)

    async def delete_expired(self) -> int:
        """Delete tasks whose time is over, one after the other, and old idempotency keys; returns how many tasks."""
        deleted = 0
        while tasks := await self._context.store.tasks.expired(_EXPIRY_BATCH):
            for task in tasks:
                await self._context.files.delete_task(task.id)
            deleted += len(tasks)
        await self._context.store.idempotency.delete_expired()
        return deleted

    async def sweep(self) -> int:
        """Delete what was announced by processes that are dead, and look through the next part of the storage.

        So are stages of tasks that were cancelled, or failed, when nobody was working on them.

        Returns:
            How many of these there were.
        """
        for task_id in await self._context.store.stages.left_over(_EXPIRY_BATCH):
            await self._context.files.drop_stages(task_id)
        dead = await self._context.files.sweep()
        if unknown := await self._context.files.audit(next(self._parts)):
            _log.warning("%d stored files that nothing referred to, deleted", unknown)
        return dead

    async def sweep_scratch(self) -> None:
        """Delete scratch folders whose claim is over.  They are listed first: a folder made later is not at risk."""
        entries = list(self._context.storage.scratch_dir.iterdir())
        held = await self._context.store.leases.held()
        oldest_upload_s = time.time() - _STALE_S  # by the clock that files' times are of, whatever the database's says
        for entry in entries:
            match = _JOB_FOLDER.fullmatch(entry.name)
            with contextlib.suppress(FileNotFoundError):  # an upload that ends just now takes its file away
                if match and (match.group(1), int(match.group(2))) not in held:
                    await asyncio.to_thread(shutil.rmtree, entry)
                elif entry.name.startswith(_OURS) and entry.stat().st_mtime < oldest_upload_s:
                    await asyncio.to_thread(_remove, entry)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
