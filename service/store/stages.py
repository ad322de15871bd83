"""Stages that are done for good: what another attempt, or another task over the same audio, goes on from."""

import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from service.clock import Clock
from service.db.database import Database
from service.db.models import Stage, StageFile, Task, TaskStatus
from service.digests import same_work
from service.store.leases import LeaseStore
from service.store.records import Claim, NewStageFile
from service.store.rows import add_stage, forsake, settle

_LEAST_LEFT_MS = 60_000  # a result that goes within a minute is made anew


class StageStore:
    """Reads and writes of the tables ``stages`` and ``stage_files``."""

    def __init__(self, database: Database, clock: Clock, leases: LeaseStore) -> None:
        self._database = database
        self._clock = clock
        self._leases = leases

    async def finish(self, claim: Claim, name: str, digest: str, files: Sequence[NewStageFile]) -> None:
        """Record a stage whose files are stored; written again, as after an answer that was lost, nothing changes.

        Raises:
            LeaseLost: somebody else has the task.
        """
        async with self._database.write() as session:
            await self._leases.hold(session, claim)
            await self._forget(session, claim, name)
            stage = add_stage(session, claim, name, digest, self._clock.now_ms())
            await session.flush()
            for position, new in enumerate(files):
                session.add(_row(stage.id, position, new))
            await settle(session, claim.task.id, claim.fence)

    async def _forget(self, session: AsyncSession, claim: Claim, name: str) -> None:
        """Delete what another version of the code may have recorded of the same stage."""
        old = sa.select(Stage.id).where(Stage.task_id == claim.task.id, Stage.name == name)
        keys = await session.scalars(sa.select(StageFile.storage_key).where(StageFile.stage_id.in_(old)))
        await forsake(session, claim.task.id, set(keys), self._clock.now_ms())
        await session.execute(sa.delete(Stage).where(Stage.id.in_(old)).execution_options(synchronize_session=False))

    async def files(
        self, claim: Claim, name: str, digest: str, *, of_others: bool
    ) -> tuple[str, list[StageFile]] | None:
        """What a stage made in an earlier attempt at the task, or else, ``of_others``, in another task.

        An earlier attempt's is good whatever code and weights made it: two workers that differ in these would send
        the task back and forth for ever, each for what the other has made already.

        Returns:
            The task's id and the files in order; None where nobody has done it.
        """
        own = sa.select(Stage).where(
            Stage.task_id == claim.task.id, Stage.name == name, Stage.digest.between(*same_work(digest))
        )
        async with self._database.read() as session:
            stage = await session.scalar(own)
            if stage is None and of_others:
                stage = await session.scalar(_newest(name, digest, self._clock.now_ms()))
            if stage is None:
                return None
            rows = sa.select(StageFile).where(StageFile.stage_id == stage.id).order_by(StageFile.position)
            return stage.task_id, list(await session.scalars(rows))

    async def finished_task(self, name: str, digest: str) -> str | None:
        """The newest task that has succeeded with such a stage as its last one."""
        query = _newest(name, digest, self._clock.now_ms()).where(Task.status == TaskStatus.SUCCEEDED)
        async with self._database.read() as session:
            stage = await session.scalar(query)
        return None if stage is None else stage.task_id

    async def left_over(self, limit: int) -> Sequence[str]:
        """Ids of tasks that came to nothing, and have stages all the same."""
        ended = sa.exists().where(Task.id == Stage.task_id, Task.status.in_((TaskStatus.FAILED, TaskStatus.CANCELLED)))
        async with self._database.read() as session:
            return (await session.scalars(sa.select(Stage.task_id).where(ended).distinct().limit(limit))).all()


def _newest(name: str, digest: str, now_ms: int) -> sa.Select[Stage]:
    lasts = sa.or_(Task.expires_ms.is_(None), Task.expires_ms > now_ms + _LEAST_LEFT_MS)
    return (
        sa.select(Stage)
        .join(Task, Task.id == Stage.task_id)
        .where(Stage.digest == digest, Stage.name == name, lasts)
        .order_by(Stage.completed_ms.desc())
        .limit(1)
    )


def _row(stage_id: str, position: int, new: NewStageFile) -> StageFile:
    return StageFile(
        id=uuid.uuid4().hex,
        stage_id=stage_id,
        position=position,
        role=new.file.role,
        stem=new.stem,
        name=new.file.name,
        mime_type=new.file.mime_type,
        storage_key=new.file.storage_key,
        size_bytes=new.file.size_bytes,
        sha256=new.file.sha256,
        duration_s=new.duration_s,
    )
