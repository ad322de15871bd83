"""Keeping the house clean: leases that ran out, results whose time is over, and what dead workers left behind."""

import asyncio
import contextlib
import logging
import re
import shutil

from service.context import Context
from service.db.models import TaskStatus
from service.storage import task_key

_log = logging.getLogger(__name__)

_EXPIRY_BATCH = 50
_STALE_S = 3600
_JOB_FOLDER = re.compile(r"([0-9a-f]{32})-(\d+)")


class Janitor:
    """Each method is one round; the worker process runs them again and again."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def reap_leases(self) -> int:
        """Return tasks of silent workers to the queue, or fail them; returns how many."""
        tasks = await self._context.store.leases.reap()
        for task in tasks:
            _log.warning("task %s: its worker fell silent; now %s", task.id, task.status)
            if task.status == TaskStatus.FAILED:
                for fence in range(1, task.fence + 1):
                    await asyncio.to_thread(self._context.storage.delete, task_key(task.id, fence))
        await self._sweep_scratch()
        return len(tasks)

    async def delete_expired(self) -> int:
        """Delete tasks whose time is over, files first, and old idempotency keys; returns how many tasks."""
        deleted = 0
        while tasks := await self._context.store.tasks.expired(_EXPIRY_BATCH):
            for task in tasks:
                await asyncio.to_thread(self._context.storage.delete, task_key(task.id))
                await self._context.store.tasks.delete(task.id)
            deleted += len(tasks)
        await self._context.store.idempotency.delete_expired()
        return deleted

    async def delete_orphans(self) -> int:
        """Delete stored files of tasks that the database does not know; returns of how many tasks.

        An API process that dies between storing an upload and recording it leaves such files.  An hour is far more
        than that takes, so a folder that old is no upload in progress.
        """
        deleted = 0
        for task_id in list(self._context.storage.task_ids()):
            old = self._context.storage.touched_s(task_key(task_id)) < self._context.clock.now_ms() / 1000 - _STALE_S
            if old and not await self._context.store.tasks.exists(task_id):
                _log.warning("task %s: stored files without a record, deleted", task_id)
                await asyncio.to_thread(self._context.storage.delete, task_key(task_id))
                deleted += 1
        return deleted

    async def _sweep_scratch(self) -> None:
        """Delete scratch folders whose claim is over.  They are listed first: a folder made later is not at risk."""
        entries = list(self._context.storage.scratch_dir.iterdir())
        held = await self._context.store.leases.held()
        oldest_upload_s = self._context.clock.now_ms() / 1000 - _STALE_S
        for entry in entries:
            match = _JOB_FOLDER.fullmatch(entry.name)
            with contextlib.suppress(FileNotFoundError):  # an upload that ends just now takes its file away
                if match and (match.group(1), int(match.group(2))) not in held:
                    await asyncio.to_thread(shutil.rmtree, entry)
                elif entry.name.startswith("upload-") and entry.stat().st_mtime < oldest_upload_s:
                    entry.unlink()
