"""The loop that claims tasks and does them, holding each by a lease that it renews while it works."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from pipeline.errors import AudioError, AudioLimitExceeded, Cancelled, PipelineError, UnsupportedTarget
from pipeline.song import SongPipeline
from service import metrics
from service.context import Context
from service.db.database import is_away
from service.db.models import Queue, TaskKind, TaskStatus
from service.errors import LeaseLost, PassOn, ServiceError, StorageError, Unavailable, is_full
from service.logs import about
from service.outages import log_failure
from service.store.leases import MAX_ATTEMPTS
from service.store.records import Claim, Outcome
from service.worker.insist import insist
from service.worker.job import Job
from service.worker.jobs import JOBS
from service.worker.progress import JobProgress

_log = logging.getLogger(__name__)

# The longest a task waits for an idle worker: one indexed look at the table each time.  Where a doorbell is rung, one
# looks only for what it was not rung for.
_POLL_S = 0.25
_POLL_WITH_DOORBELL_S = 5.0
_POLL_AFTER_ERROR_S = 2.0  # every one is a line in the log
_RENEWALS_PER_LEASE = 3  # two may be missed before the lease runs out
_PROGRESS_EVERY_S = 1.0
_LOOK_EVERY_S = 0.25  # how soon a cancelled task's job is told; a read of one row
_LOOK_EVERY_IN_A_FLEET_S = 1.0  # of hundreds of jobs at once
_ABANDON_S = 2.0  # for a database that does not answer
_FINISH_SHARE = 0.5  # of the grace period, for tasks that are nearly done; the rest is for handing back
_RETRY_DELAY_MS = 10_000
# A full disk, or a storage that is away, is nothing of the task's: it waits for the operator, at no attempt's cost.
# Not forever: there may be room for every task but this one.  Counted in claims, which make up a day at least, and not
# in time: a long queue makes tasks old that nobody has tried yet.
_WAIT_MS = 15_000
_MOST_CLAIMS = 24 * 3600 * 1000 // _WAIT_MS
_FIRST_OWN_FAULT = 500  # codes below are the client's: its file, its address, its credits
_UNEXPECTED = "The generation failed for a reason that is not the audio's; the service's log has it."


class Worker:
    """Does tasks, several at a time if it is told to.

    Args:
        context: the service's adapters.
        pipeline: resident models, which the tasks share.
        owner: this worker's name in the leases.
        queues: what it does, all by default.
        tasks_at_once: how many tasks.
    """

    def __init__(
        self,
        context: Context,
        pipeline: SongPipeline,
        owner: str,
        *,
        queues: Sequence[str] = tuple(Queue),
        tasks_at_once: int = 1,
    ) -> None:
        self._context = context
        self._pipeline = pipeline
        self.owner = owner
        self.queues = tuple(queues)
        self.tasks_at_once = tasks_at_once
        self._next_queues = list(queues)
        self._claiming = asyncio.Lock()
        self._running: dict[asyncio.Task[None], tuple[Claim, JobProgress]] = {}
        has_doorbell = bool(context.settings.redis_url)
        self._poll_s = _POLL_WITH_DOORBELL_S if has_doorbell else _POLL_S
        self._look_every_s = _LOOK_EVERY_S if context.database.is_sqlite else _LOOK_EVERY_IN_A_FLEET_S
        self.stopping = asyncio.Event()  # set by stop(); others may wait for it

    @property
    def has_room(self) -> bool:
        """Whether it can do another task."""
        return len(self._running) < self.tasks_at_once and not self.stopping.is_set()

    @property
    def doing(self) -> set[str]:
        """Ids of the tasks that it is doing."""
        return {claim.task.id for claim, _ in self._running.values()}

    def stop(self) -> None:
        """Claim nothing more; finish what is nearly done, and hand back the rest; :meth:`run` then returns."""
        self.stopping.set()
        finish_s = _FINISH_SHARE * self._context.settings.grace_seconds
        for _, progress in self._running.values():
            if progress.remaining_s() > finish_s:
                progress.stop()
        asyncio.get_running_loop().call_later(finish_s, self._stop_jobs)

    def _stop_jobs(self) -> None:
        for _, progress in self._running.values():
            progress.stop()

    async def abandon(self) -> None:
        """Hand back tasks whose jobs do not stop in time; the fence keeps those from writing anything more."""
        for claim, _ in list(self._running.values()):
            try:
                async with asyncio.timeout(_ABANDON_S):
                    await self._context.store.leases.hand_back(claim)
            except LeaseLost:
                pass  # it is somebody else's already
            except Exception as error:  # the process is about to end, and the lease runs out
                _log.warning("task %s cannot be handed back: %s", claim.task.id, error or type(error).__name__)

    async def run(self) -> None:
        """Do tasks until :meth:`stop`."""
        stopped = asyncio.create_task(self.stopping.wait())
        while not self.stopping.is_set():
            pause_s = self._poll_s
            try:
                while self.has_room and await self.start_one() is not None:
                    pass
            except Exception as error:  # the loop must outlive it
                pause_s = max(pause_s, _POLL_AFTER_ERROR_S)
                log_failure(_log, "no task could be claimed", error)
            await asyncio.wait({stopped, *self._running}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        async with self._claiming:  # who was rung for just before may have a claim now, to be handed back
            pass
        if self._running:
            await asyncio.wait(self._running)

    async def run_once(self) -> bool:
        """Claim a task and do it to its end; False when none is due."""
        started = await self.start_one()
        if started is None:
            return False
        await started
        return True

    async def start_one(self) -> asyncio.Task[None] | None:
        """Claim a task and begin to do it, if there is room and one is due."""
        async with self._claiming:  # else two at once would both find the last room
            if not self.has_room:
                return None
            claim = await self._context.store.leases.claim(self.owner, self._next_queues)
            if claim is None:
                return None
            self._take_turns(claim.task.queue)
            metrics.task_claimed(claim.task.queue)
            progress = JobProgress()
            job = asyncio.create_task(self._attend(claim, progress))
            self._running[job] = (claim, progress)
            job.add_done_callback(self._running.pop)
        if self.stopping.is_set():  # told so meanwhile
            progress.stop()
        return job

    def _take_turns(self, queue: str) -> None:
        """Look into the other queues first the next time, so that none waits for the end of another."""
        self._next_queues.remove(queue)
        self._next_queues.append(queue)

    async def _attend(self, claim: Claim, progress: JobProgress) -> None:
        """Do a claimed task, and leave nothing of it behind that nobody knows of."""
        task, files = claim.task, self._context.files
        with about(task):
            _log.info("task %s (%s): attempt %d", task.id, task.kind, claim.attempt)
            try:
                if not await self._do(claim, progress):
                    await files.release(task.id, fence=claim.fence)
            except Exception as error:  # the janitor cleans up, and the lease runs out
                log_failure(_log, f"task {task.id} was left", error)

    async def _do(self, claim: Claim, progress: JobProgress) -> bool:
        """Do the task and write its end; False when nothing of it was kept."""
        leases = self._context.store.leases
        try:
            async with self._lease(claim, progress), _scratch(self._context, claim) as scratch:
                await self._context.files.release(claim.task.id, below=claim.fence)  # what earlier claims left
                job = Job(self._context, self._pipeline, claim, scratch, progress, self.queues)
                outcome = await JOBS[TaskKind(claim.task.kind)](job)
                await insist(partial(self._succeed, claim, outcome))
            _log.info("task %s: succeeded", claim.task.id)
            metrics.task_finished(claim.task.kind, TaskStatus.SUCCEEDED)
            return True
        except LeaseLost:
            await self._tell_loss(claim)
        except PassOn as rest:
            await self._write_end(claim, partial(leases.pass_on, claim, rest.queue), f"passed on to {rest.queue}")
            return True
        except Cancelled:
            await self._write_end(claim, partial(leases.hand_back, claim), "handed back")
        except Exception as error:
            await self._write_end(claim, partial(self._give_up, claim, error))
        return False

    async def _succeed(self, claim: Claim, outcome: Outcome) -> None:
        """Write the result; done already, as when the answer was lost with the connection, it stays.

        Raises:
            LeaseLost: somebody else has the task.
        """
        try:
            await self._context.store.leases.succeed(claim, outcome)
        except LeaseLost:
            if not await self._context.store.leases.has_succeeded(claim):
                raise

    async def _write_end(self, claim: Claim, write: Callable[[], Awaitable[None]], what: str = "") -> None:
        """Write what becomes of a task, however long the database is away; a void claim's holder has no say in it."""
        try:
            await insist(write)
            if what:
                _log.info("task %s: %s", claim.task.id, what)
        except LeaseLost:  # a job is also stopped because its lease is gone
            await self._tell_loss(claim)

    async def _tell_loss(self, claim: Claim) -> None:
        """Log why a claim is void: its owner wanted that, or another worker has the task."""
        task = await self._context.store.tasks.find(claim.task.key_id, claim.task.id)
        if task is None or task.status == TaskStatus.CANCELLED:  # one that was cancelled can be deleted at once
            _log.info("task %s: cancelled", claim.task.id)
            await self._context.files.drop_stages(claim.task.id)
        else:
            _log.warning("task %s: claim %d is no longer the newest", claim.task.id, claim.fence)

    async def _give_up(self, claim: Claim, error: Exception) -> None:
        """Fail the task, or queue it again when another attempt may do better.

        Raises:
            LeaseLost: somebody else has it, or nobody; nothing was written.
        """
        if not await self._context.store.leases.holds(claim):  # cancelled, say, and its scratch folder swept away
            raise LeaseLost(f"task {claim.task.id}: failed when the claim was void")
        if _must_wait(claim, error):
            reason = error.detail if isinstance(error, StorageError) else error
            _log.error("task %s: waits until it can be stored: %s", claim.task.id, reason)
            await self._context.store.leases.retry_later(claim, _WAIT_MS, charged=False)
            return
        known = isinstance(error, PipelineError | ServiceError)
        level = logging.INFO if _verdict(error)[0] < _FIRST_OWN_FAULT else logging.ERROR
        _log.log(level, "task %s: %s", claim.task.id, error, exc_info=None if known else error)
        may_pass = error.retryable if isinstance(error, PipelineError) else isinstance(error, Unavailable) or not known
        if may_pass and claim.attempt < MAX_ATTEMPTS:
            await self._context.store.leases.retry_later(claim, _RETRY_DELAY_MS * claim.attempt)
        else:
            await self._context.store.leases.fail(claim, *_verdict(error))
            metrics.task_finished(claim.task.kind, TaskStatus.FAILED)
            await self._context.files.drop_stages(claim.task.id)

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
            await asyncio.sleep(min(self._look_every_s, renew_every_s))
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
            except Exception as error:  # the lease has time for another try
                _log.warning("renewing the lease of task %s failed: %s", claim.task.id, error)
                await asyncio.sleep(_PROGRESS_EVERY_S)


@contextlib.asynccontextmanager
async def _scratch(context: Context, claim: Claim) -> AsyncIterator[Path]:
    """A folder of the claim's own, gone afterwards; its name tells the janitor whose it was."""
    folder = context.storage.scratch_dir / f"{claim.task.id}-{claim.fence}"
    folder.mkdir()
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _must_wait(claim: Claim, error: Exception) -> bool:
    """Whether an attempt failed for what is nothing of the task's: no room, or what it works with is away."""
    return (is_full(error) or is_away(error) or isinstance(error, Unavailable)) and claim.fence < _MOST_CLAIMS


def _verdict(error: Exception) -> tuple[int, str, str]:
    """The code, the machine-readable name and the message that a failed task shows."""
    if isinstance(error, AudioLimitExceeded):
        return 413, error.code, error.message
    if isinstance(error, AudioError | UnsupportedTarget):
        return 422, error.code, error.message
    if isinstance(error, PipelineError):
        return 501, error.code, error.message
    if isinstance(error, ServiceError):
        return error.code, error.name, error.message
    return 500, ServiceError.name, _UNEXPECTED
