"""The loop that claims tasks and does them, holding each by a lease that it renews while it works."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import AudioError, AudioLimitExceeded, Cancelled, PipelineError
from pipeline.song import SongPipeline
from service.context import Context
from service.db.models import TaskKind, TaskStatus
from service.errors import LeaseLost, ServiceError
from service.storage import task_key
from service.store.leases import MAX_ATTEMPTS
from service.store.records import Claim, Outcome
from service.worker.jobs import JOBS, Job
from service.worker.progress import JobProgress

_log = logging.getLogger(__name__)

_IDLE_POLL_S = 0.25  # the longest a task waits for an idle worker; one indexed look at the table each time
_RENEWALS_PER_LEASE = 3  # two may be missed before the lease runs out
_PROGRESS_EVERY_S = 1.0
_LOOK_EVERY_S = 0.25  # how soon a cancelled task's job is told; a read of one row
_RETRY_DELAY_MS = 10_000
_FIRST_OWN_FAULT = 500  # codes below are the client's: its file, its address, its credits
_UNEXPECTED = "The generation failed for a reason that is not the audio's; the service's log has it."


class Worker:
    """Does one task at a time.

    Args:
        context: the service's adapters.
        pipeline: resident models; used from one thread at a time.
        owner: this worker's name in the leases.
    """

    def __init__(self, context: Context, pipeline: SongPipeline, owner: str) -> None:
        self._context = context
        self._pipeline = pipeline
        self._owner = owner
        self._job: JobProgress | None = None
        self._claim: Claim | None = None
        self.stopping = asyncio.Event()  # set by stop(); others may wait for it

    def stop(self) -> None:
        """Claim nothing more and hand back what is being done; :meth:`run` then returns."""
        self.stopping.set()
        if self._job is not None:
            self._job.stop()

    async def abandon(self) -> None:
        """Hand back a task whose job does not stop in time; the fence keeps that job from writing anything more."""
        if self._claim is not None:
            with contextlib.suppress(LeaseLost):
                await self._context.store.leases.hand_back(self._claim)

    async def run(self) -> None:
        """Do tasks until :meth:`stop`."""
        while not self.stopping.is_set():
            try:
                worked = await self.run_once()
            except Exception:  # the database is away, say: the loop must outlive it
                _log.exception("this round failed")
                worked = False
            if not worked:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), _IDLE_POLL_S)

    async def run_once(self) -> bool:
        """Claim and do one task; False when none is due."""
        claim = await self._context.store.leases.claim(self._owner)
        if claim is None:
            return False
        _log.info("task %s (%s): attempt %d", claim.task.id, claim.task.kind, claim.attempt)
        for fence in range(1, claim.fence):  # what earlier claims of this task had stored belongs to nobody now
            await asyncio.to_thread(self._context.storage.delete, task_key(claim.task.id, fence))
        self._job, self._claim = JobProgress(), claim
        if self.stopping.is_set():
            self._job.stop()
        try:
            done = await self._do(claim, self._job)
        finally:
            self._job = self._claim = None
        # A database that went away between commit and answer makes a success look like a failure: ask before deleting.
        if not done and not await self._context.store.leases.has_succeeded(claim):
            await asyncio.to_thread(self._context.storage.delete, task_key(claim.task.id, claim.fence))
        return True

    async def _do(self, claim: Claim, progress: JobProgress) -> bool:
        """Do the task and write its end; False when nothing of it was kept."""
        leases = self._context.store.leases
        try:
            async with self._lease(claim, progress), _scratch(self._context, claim) as scratch:
                job = Job(self._context, self._pipeline, claim, scratch, progress)
                outcome = await JOBS[TaskKind(claim.task.kind)](job)
                await leases.succeed(claim, outcome)
            _log.info("task %s: succeeded", claim.task.id)
            await self._learn(outcome, progress)
            return True
        except LeaseLost:
            await self._tell_loss(claim)
        except Cancelled:
            try:
                await leases.hand_back(claim)
                _log.info("task %s: handed back", claim.task.id)
            except LeaseLost:  # a job is also stopped because its lease is gone
                await self._tell_loss(claim)
        except Exception as error:
            try:
                await self._give_up(claim, error)
            except LeaseLost:
                await self._tell_loss(claim)
        return False

    async def _tell_loss(self, claim: Claim) -> None:
        """Log why a claim is void: its owner wanted that, or another worker has the task."""
        task = await self._context.store.tasks.find(claim.task.key_id, claim.task.id)
        if task is None or task.status == TaskStatus.CANCELLED:  # one that was cancelled can be deleted at once
            _log.info("task %s: cancelled", claim.task.id)
        else:
            _log.warning("task %s: claim %d is no longer the newest", claim.task.id, claim.fence)

    async def _learn(self, outcome: Outcome, progress: JobProgress) -> None:
        """Keep how fast this was, for estimates; that failing harms nobody."""
        if outcome.audio_s:
            with contextlib.suppress(SQLAlchemyError):
                await self._context.store.speeds.learn(progress.stage_seconds, outcome.audio_s)

    async def _give_up(self, claim: Claim, error: Exception) -> None:
        """Fail the task, or queue it again when another attempt may do better.

        Raises:
            LeaseLost: somebody else has it, or nobody; nothing was written.
        """
        if not await self._context.store.leases.holds(claim):  # cancelled, say, and its scratch folder swept away
            raise LeaseLost(f"task {claim.task.id}: failed when the claim was void")
        known = isinstance(error, PipelineError | ServiceError)
        level = logging.INFO if _verdict(error)[0] < _FIRST_OWN_FAULT else logging.ERROR
        _log.log(level, "task %s: %s", claim.task.id, error, exc_info=None if known else error)
        may_pass = error.retryable if isinstance(error, PipelineError) else not known
        if may_pass and claim.attempt < MAX_ATTEMPTS:
            await self._context.store.leases.retry_later(claim, _RETRY_DELAY_MS * claim.attempt)
        else:
            await self._context.store.leases.fail(claim, *_verdict(error))

    @contextlib.asynccontextmanager
    async def _lease(self, claim: Claim, progress: JobProgress) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._keep_lease(claim, progress))
        try:
            yield
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    async def _keep_lease(self, claim: Claim, progress: JobProgress) -> None:
        """Renew the lease and publish the progress; a lost lease, or a cancelled task, stops the job."""
        renew_every_s = self._context.settings.lease_seconds / _RENEWALS_PER_LEASE
        leases, loop = self._context.store.leases, asyncio.get_running_loop()
        written_s, written = loop.time(), (progress.stage, progress.fraction)
        while True:
            await asyncio.sleep(min(_LOOK_EVERY_S, renew_every_s))
            now, age_s = (progress.stage, progress.fraction), loop.time() - written_s
            try:
                if age_s >= renew_every_s or (now != written and age_s >= _PROGRESS_EVERY_S):
                    await leases.renew(claim, *now)
                    written_s, written = loop.time(), now
                elif not await leases.holds(claim):
                    raise LeaseLost(f"task {claim.task.id}: cancelled, or given to another worker")
            except LeaseLost:
                progress.stop()
                return
            except Exception:  # a busy database: the lease has time for another try
                _log.exception("renewing the lease of task %s failed", claim.task.id)


@contextlib.asynccontextmanager
async def _scratch(context: Context, claim: Claim) -> AsyncIterator[Path]:
    """A folder of the claim's own, gone afterwards; its name tells the janitor whose it was."""
    folder = context.storage.scratch_dir / f"{claim.task.id}-{claim.fence}"
    folder.mkdir()
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _verdict(error: Exception) -> tuple[int, str, str]:
    """The code, the machine-readable name and the message that a failed task shows."""
    if isinstance(error, AudioLimitExceeded):
        return 413, error.code, error.message
    if isinstance(error, AudioError):
        return 422, error.code, error.message
    if isinstance(error, PipelineError):
        return 501, error.code, error.message
    if isinstance(error, ServiceError):
        return error.code, error.name, error.message
    return 500, ServiceError.name, _UNEXPECTED
