"""One task being done, and what its stages share: the source, files that are kept, results that are there already."""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from pipeline.song import SongPipeline
from service import metrics
from service.context import Context
from service.db.models import File, Queue, StageFile
from service.digests import Digests
from service.errors import PassOn
from service.store.records import Claim, NewFile, NewStageFile, TaskRecord
from service.worker.insist import insist
from service.worker.progress import JobProgress

T = TypeVar("T")

_EARLIER = ("source", "stem")  # files that a task has from before its last stage: each has its own


@dataclass(frozen=True, slots=True)
class Job:
    """One task being done.

    Attributes:
        pipeline: resident models, which all jobs of the worker share.
        scratch: a folder of the claim's own.
        queues: what the worker does; a stage of another queue is not for it.
    """

    context: Context
    pipeline: SongPipeline
    claim: Claim
    scratch: Path
    progress: JobProgress
    queues: Collection[str]

    @property
    def digests(self) -> Digests:
        """Makes the digests of its stages."""
        return self.context.store.digests

    def needs(self, queue: Queue) -> None:
        """Go on only if the worker serves a queue.

        Raises:
            PassOn: it does not.
        """
        if queue not in self.queues:
            raise PassOn(queue)

    async def insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Write something that is done and must not be lost, whether or not the database is away; a stop gives up.

        Raises:
            Cancelled: the job is to stop.
        """
        return await self.progress.unless_stopped(insist(act))

    async def local(self, storage_key: str) -> Path:
        """A stored file, to be read; fetched first, if it must be.

        Raises:
            Cancelled: the job is to stop.
        """
        return await self.progress.unless_stopped(self.context.storage.local(storage_key, self.scratch))

    async def keep(self, path: Path, role: str, name: str | None = None) -> NewFile:
        """Store a file that was made; ``name`` is the one clients see, where it is not the file's own."""
        claim = self.claim
        return await self.insist(
            lambda: self.context.files.keep(
                path, task_id=claim.task.id, fence=claim.fence, role=role, name=name or path.name
            )
        )

    async def learn(self, stage: str, audio_s: float) -> None:
        """Keep how long a stage took that is done, for estimates and figures; that failing harms nobody."""
        seconds = self.progress.stage_seconds[stage]
        metrics.stage_finished(stage, seconds, audio_s)
        if audio_s:
            with contextlib.suppress(SQLAlchemyError):
                await self.context.store.speeds.learn({stage: seconds}, audio_s)

    async def made_before(self, stage: str, digest: str) -> list[NewStageFile] | None:
        """Files that a stage gave in an earlier attempt, or in another task; from now on they are this task's, too."""
        claim, store = self.claim, self.context.store
        of_others = self.context.settings.reuse_results
        found = await store.stages.files(claim, stage, digest, of_others=of_others)
        if found is None:
            return None
        task_id, rows = found
        files = [NewStageFile(new_file(row), row.stem, row.duration_s) for row in rows]
        if task_id != claim.task.id:
            if not await self.share([row.storage_key for row in rows]):
                return None
            await self.insist(lambda: store.stages.finish(claim, stage, digest, files))
            metrics.result_reused(stage)
        return files

    async def result_before(self, stage: str, digest: str) -> tuple[TaskRecord, list[NewFile]] | None:
        """The record of another task that ended with this very stage, and the files that this made.

        They are this task's, too, now.
        """
        store = self.context.store
        if not self.context.settings.reuse_results:
            return None
        task_id = await store.stages.finished_task(stage, digest)
        record = None if task_id is None else await store.tasks.record(task_id)
        if record is None:
            return None
        made = [file for file in record.files if file.role not in _EARLIER]
        if not await self.share([file.storage_key for file in made]):
            return None
        metrics.result_reused(stage)
        return record, [new_file(row) for row in made]

    async def share(self, keys: Sequence[str]) -> bool:
        """Hold stored objects that are another's, to be recorded as this task's, too; False where one is gone."""
        claim = self.claim
        return await self.context.files.reuse(keys, task_id=claim.task.id, fence=claim.fence)


def new_file(row: File | StageFile) -> NewFile:
    """A file that is recorded already, to be recorded for another task, or for a stage."""
    return NewFile(row.role, row.name, row.mime_type, row.storage_key, row.size_bytes, row.sha256)
