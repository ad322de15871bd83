"""Who works on what: claims, renewals and ends of tasks, each guarded by the fence.

A claim raises the task's ``fence``; every later write of its holder names that number.  A worker that lost its
lease (asleep, cut off, killed and resurrected) therefore changes nothing, and learns it by :class:`LeaseLost`.
"""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from service.clock import Clock
from service.db.database import Database
from service.db.models import LIVE, Queue, Task, TaskStatus, Track
from service.doorbell import Doorbell
from service.errors import LeaseLost
from service.store.admission import Limits, charge_for_length, locked_key, refund
from service.store.records import Claim, NewTrack, Outcome, TrackFile
from service.store.rows import SOURCE_POSITION, add_callback, add_outcome, add_track, find_track, settle
from service.store.turns import WAITS, next_turn

MAX_ATTEMPTS = 3
# No lease and no delay is longer: a time that lies further ahead was written before the clock was set back.
_CLOCK_WENT_BACK_MS = 600_000
_CANCELLED_CODE = 501  # to dialects without a word for it: it gave nothing


class LeaseStore:
    """The worker's side of the tasks table."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        limits: Limits,
        doorbell: Doorbell,
        *,
        lease_ms: int,
        retention_ms: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._doorbell = doorbell
        self._lease_ms = lease_ms
        self._retention_ms = retention_ms

    async def claim(self, owner: str, queues: Sequence[str] = tuple(Queue)) -> Claim | None:
        """Take the task whose turn it is in the first of the queues that has one due, or None.

        One UPDATE; on Postgres its subquery skips rows that others are claiming, on SQLite the transaction has
        the database to itself.
        """
        now = self._clock.now_ms()
        # In the order of an index: asked whether there is any, Postgres may look through the whole table for it.
        waiting = [
            sa.select(Task.turn).where(Task.queue == queue, *_due(now)).order_by(Task.turn).limit(1).scalar_subquery()
            for queue in queues
        ]
        async with self._database.read() as session:  # most looks find nothing and need not lock the writer out
            found = (await session.execute(sa.select(*waiting))).one()
        for queue in (queue for queue, turn in zip(queues, found, strict=True) if turn is not None):
            async with self._database.write() as session:
                task = await session.scalar(self._take(queue, owner, now))
            if task is not None:
                return Claim(task, owner, task.fence, task.attempt)
        return None

    def _take(self, queue: str, owner: str, now_ms: int) -> ReturningUpdate[Task]:
        first = (
            sa.select(Task.id)
            .where(Task.queue == queue, *_due(now_ms))
            .order_by(Task.turn, Task.created_ms, Task.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        values = {
            "status": TaskStatus.RUNNING,
            "lease_owner": owner,
            "lease_until_ms": now_ms + self._lease_ms,
            "attempt": Task.attempt + 1,
            "fence": Task.fence + 1,
            "stage": "starting",
            "started_ms": now_ms,
        }
        return sa.update(Task).where(Task.id == first).values(**values).returning(Task)

    async def due(self, queue: str, limit: int) -> Sequence[str]:
        """Ids of tasks that wait in a queue and are due, in the order of their turns."""
        query = sa.select(Task.id).where(Task.queue == queue, *_due(self._clock.now_ms())).order_by(Task.turn)
        async with self._database.read() as session:
            return (await session.scalars(query.limit(limit))).all()

    async def renew(self, claim: Claim, stage: str, progress: float) -> None:
        """Keep the task for another lease, and say how far it is.

        Raises:
            LeaseLost: somebody else has it.
        """
        values = {"lease_until_ms": self._clock.now_ms() + self._lease_ms, "stage": stage, "progress": progress}
        async with self._database.write(durable=False) as session:
            await _guarded(session, claim, values)

    async def hold(self, session: AsyncSession, claim: Claim) -> None:
        """Keep the task for another lease, inside a transaction that writes something of it.

        Raises:
            LeaseLost: somebody else has it.
        """
        await _guarded(session, claim, {"lease_until_ms": self._clock.now_ms() + self._lease_ms})

    async def holds(self, claim: Claim) -> bool:
        """Whether the claim is still the newest: not after its task was cancelled, or given to somebody else."""
        query = sa.select(sa.exists().where(*_ours(claim)))
        async with self._database.read() as session:
            return bool(await session.scalar(query))

    async def add_source(self, claim: Claim, track: NewTrack) -> TrackFile:
        """Record the fetched source under the id its task promised: a retry then need not fetch it again.

        Recorded already, as after an answer that was lost, it stays as it is.

        Raises:
            LeaseLost: somebody else has the task.
            PaymentRequired: the key's credits do not suffice for audio of this length.
        """
        now = self._clock.now_ms()
        async with self._database.write() as session:
            await self._charge_for_length(session, claim, track.duration_s or 0.0, now)
            if (stored := await find_track(session, claim.task.source_track_id or "")) is None:
                stored = await add_track(
                    session, claim.task.id, track, SOURCE_POSITION, now, track_id=claim.task.source_track_id
                )
            await settle(session, claim.task.id, claim.fence)
            return stored

    async def add_length(self, claim: Claim, audio_s: float) -> None:
        """Record how long the task's source is, which nobody knew when it was queued, and charge for that.

        Raises:
            LeaseLost: somebody else has the task.
            PaymentRequired: the key's credits do not suffice for audio of this length.
        """
        now = self._clock.now_ms()
        source = (Track.id == claim.task.source_track_id, Track.duration_s.is_(None))
        async with self._database.write() as session:
            await self._charge_for_length(session, claim, audio_s, now)
            await session.execute(sa.update(Track).where(*source).values(duration_s=audio_s))

    async def succeed(self, claim: Claim, outcome: Outcome) -> None:
        """End the task: result, state and callback in one transaction.

        Raises:
            LeaseLost: somebody else has it; nothing was written.
        """
        async with self._database.write() as session:
            values: dict[str, object] = {"progress": 1.0, "stage": None}
            if outcome.audio_s is not None:
                values["audio_s"] = outcome.audio_s
            if outcome.music is not None:
                values["music"] = outcome.music
            await self._end(session, claim, TaskStatus.SUCCEEDED, values)
            await add_outcome(session, claim, outcome, self._clock.now_ms())
            await settle(session, claim.task.id, claim.fence)

    async def fail(self, claim: Claim, code: int, name: str, message: str) -> None:
        """End the task without a result; the callback says so.

        Raises:
            LeaseLost: somebody else has it; nothing was written.
        """
        async with self._database.write() as session:
            values: dict[str, object] = {"error_code": code, "error_name": name, "error_message": message}
            await self._end(session, claim, TaskStatus.FAILED, values)
            await refund(session, claim.task.id, self._clock.now_ms())

    async def cancel(self, task_id: str) -> bool:
        """End a task because its owner wants that; whoever works on it finds out within a second.

        Returns:
            False if it had ended already.
        """
        now = self._clock.now_ms()
        values = {
            "error_code": _CANCELLED_CODE,
            "error_name": "cancelled",
            "error_message": "The task was cancelled.",
            "stage": None,
            **self._ended(now, TaskStatus.CANCELLED),
        }
        live = (Task.id == task_id, Task.status.in_(LIVE))
        async with self._database.write() as session:
            task = await session.scalar(sa.update(Task).where(*live).values(**values).returning(Task))
            if task is None:
                return False
            add_callback(session, task, now)
            await refund(session, task_id, now)
            return True

    async def has_succeeded(self, claim: Claim) -> bool:
        """Whether the task ended well under this very claim."""
        async with self._database.read() as session:
            task = await session.get(Task, claim.task.id)
        return task is not None and task.status == TaskStatus.SUCCEEDED and task.fence == claim.fence

    async def hand_back(self, claim: Claim) -> None:
        """Give an unfinished task back, as a worker that is told to stop does; costs no attempt."""
        async with self._database.write() as session:
            await _guarded(session, claim, {**_unleased(self._clock.now_ms()), "attempt": claim.attempt - 1})
        self._doorbell.ring(claim.task.queue, claim.task.id)

    async def pass_on(self, claim: Claim, queue: str) -> None:
        """Let the task wait for a worker of another queue, on which its next stage is done; attempts count anew there.

        Raises:
            LeaseLost: somebody else has it.
        """
        values = {**_unleased(self._clock.now_ms()), "attempt": 0, "progress": Task.progress, "queue": queue}
        async with self._database.write() as session:
            await _guarded(session, claim, {**values, "turn": 0})
            key = await locked_key(session, claim.task.key_id)
            turn = await next_turn(session, queue, key.id, claim.task.priority)
            await session.execute(sa.update(Task).where(Task.id == claim.task.id).values(turn=turn))
        self._doorbell.ring(queue, claim.task.id)

    async def retry_later(self, claim: Claim, delay_ms: int, *, charged: bool = True) -> None:
        """Queue the task again after something that may pass.

        Args:
            charged: whether this attempt counts; not one that failed for what is nothing of the task's.
        """
        values = _unleased(self._clock.now_ms() + delay_ms)
        attempt = claim.attempt if charged else claim.attempt - 1
        async with self._database.write() as session:
            await _guarded(session, claim, {**values, "attempt": attempt})

    async def reap(self, *, alive: Collection[str] = ()) -> Sequence[Task]:
        """Return tasks whose lease ran out to the queue; the third time, fail them.  Returns those tasks.

        Args:
            alive: ids of the tasks that the worker which asks is doing: they are not left, whatever the clock says.
                What it claimed without ever getting the answer is.
        """
        now = self._clock.now_ms()
        ran_out = sa.or_(Task.lease_until_ms < now, Task.lease_until_ms > now + self._lease_ms + _CLOCK_WENT_BACK_MS)
        expired = sa.select(Task).where(Task.status == TaskStatus.RUNNING, ran_out, Task.id.not_in(alive))
        async with self._database.read() as session:  # in the order of an index, as in `claim`
            if not (await session.scalars(expired.order_by(Task.lease_until_ms).limit(1))).all():
                return []
        async with self._database.write() as session:
            # Ordered as the keys are locked one after the other: two that do this at once never wait for each other.
            ordered = expired.order_by(Task.key_id, Task.id).with_for_update(skip_locked=True)
            tasks = (await session.scalars(ordered)).all()
            for task in tasks:
                if task.attempt < MAX_ATTEMPTS:
                    values = _unleased(now)
                else:
                    values = {
                        "error_code": 500,
                        "error_name": "worker_lost",
                        "error_message": f"The worker stopped {MAX_ATTEMPTS} times while working on this task.",
                        **self._ended(now, TaskStatus.FAILED),
                    }
                    add_callback(session, task, now)
                    await refund(session, task.id, now)
                for name, value in values.items():
                    setattr(task, name, value)
        for task in tasks:
            if task.status == TaskStatus.QUEUED:
                self._doorbell.ring(task.queue, task.id)
        return tasks

    async def held(self) -> set[tuple[str, int]]:
        """(task id, fence) of every task somebody works on now."""
        async with self._database.read() as session:
            rows = await session.execute(sa.select(Task.id, Task.fence).where(Task.status == TaskStatus.RUNNING))
            return {(row[0], row[1]) for row in rows}

    async def _end(self, session: AsyncSession, claim: Claim, status: TaskStatus, values: dict[str, object]) -> None:
        now = self._clock.now_ms()
        await _guarded(session, claim, {**values, **self._ended(now, status)})
        add_callback(session, claim.task, now)

    async def _charge_for_length(self, session: AsyncSession, claim: Claim, audio_s: float, now_ms: int) -> None:
        await _guarded(session, claim, {"lease_until_ms": now_ms + self._lease_ms, "audio_s": audio_s})
        task = await session.get_one(Task, claim.task.id, populate_existing=True)
        await charge_for_length(session, task, audio_s, self._limits, now_ms)

    def _ended(self, now_ms: int, status: TaskStatus) -> dict[str, object]:
        return {
            "status": status,
            "lease_owner": None,
            "lease_until_ms": None,
            "completed_ms": now_ms,
            "expires_ms": now_ms + self._retention_ms,
        }


def _due(now_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
    came = sa.or_(Task.due_ms <= now_ms, Task.due_ms > now_ms + _CLOCK_WENT_BACK_MS)
    return WAITS, came


def _ours(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return Task.id == claim.task.id, Task.fence == claim.fence, Task.status == TaskStatus.RUNNING


def _unleased(due_ms: int) -> dict[str, object]:
    return {
        "status": TaskStatus.QUEUED,
        "lease_owner": None,
        "lease_until_ms": None,
        "due_ms": due_ms,
        "stage": None,
        "progress": 0.0,
    }


async def _guarded(session: AsyncSession, claim: Claim, values: dict[str, object]) -> None:
    """Change the claimed task, unless the claim is no longer the newest."""
    result = await session.execute(
        sa.update(Task).where(*_ours(claim)).values(**values).execution_options(synchronize_session=False)
    )
    if result.rowcount != 1:  # type: ignore[attr-defined]  # a CursorResult, as every UPDATE gives
        raise LeaseLost(f"task {claim.task.id}: claim {claim.fence} is no longer the newest")
