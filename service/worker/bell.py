"""Hearing the doorbell: arq workers whose jobs carry a task's id, and make this process look for a task.

What arq knows is never what is true.  A ring is only taken while there is room for a task, and is answered as soon as
the database was looked into; whatever is lost with Redis, or with a process, is rung for again, or found by looking.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from arq.cron import cron
from arq.typing import WorkerCoroutine
from arq.worker import Worker as ArqWorker
from arq.worker import func
from redis.exceptions import RedisError

from service.doorbell import JOB, ArqDoorbell, arq_queue, decode_job, encode_job
from service.outages import log_failure
from service.worker.worker import Worker

_log = logging.getLogger(__name__)

_POLL_S = 0.05  # how soon a ring is heard; one look into a sorted set
_ROUNDS_EVERY_S = 5
_ROUNDS_POLL_S = 0.5
_JOB_TIMEOUT_S = 30  # looking takes milliseconds; a dead process's ring is free again soon
_START_AGAIN_S = 1.0
_CANCEL_AGAIN_S = 1.0


class Bell:
    """Listens on the queues of a worker for as long as Redis answers, and begins anew when it does again.

    Args:
        doorbell: whose rings are heard.
        worker: looks for a task at each.
        rounds: what one process of the fleet does every five seconds.
    """

    def __init__(self, doorbell: ArqDoorbell, worker: Worker, rounds: Callable[[], Awaitable[object]]) -> None:
        self._doorbell = doorbell
        self._worker = worker
        self._rounds = rounds
        self.is_heard = False

    async def run(self) -> None:
        """Listen until cancelled."""
        told = False
        while True:
            try:
                await self._doorbell.redis.ping()
                if told:
                    _log.info("Redis is heard again")
                told = False
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                if not told:
                    _log.warning("Redis is away (%s): tasks are looked for in the database", error)
                told = True
            except Exception:  # arq's; nobody waits for this to end, and so nobody would hear of it
                _log.exception("the doorbell is not heard for a moment")
            finally:
                self.is_heard = False
            await asyncio.sleep(_START_AGAIN_S)

    async def _listen(self) -> None:
        listeners = [self._rounds_listener(), *(self._listener(queue) for queue in self._worker.queues)]
        self.is_heard = True
        tasks = [asyncio.create_task(listener.main()) for listener in listeners]
        try:
            await asyncio.gather(*tasks)
        finally:
            left = set(tasks)
            while left:  # again: what it awaits may take a cancellation for its own timeout
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
            if answering := {job for listener in listeners for job in listener.tasks.values()}:
                await asyncio.wait(
                    answering, timeout=_JOB_TIMEOUT_S
                )  # a claim that is cancelled may be made all the same

    def _listener(self, queue: str) -> ArqWorker:
        attend = func(cast(WorkerCoroutine, self._attend), name=JOB, keep_result=0, max_tries=1)
        return _ListenerWithRoom(self._worker, functions=[attend], queue_name=arq_queue(queue), **self._options())

    def _rounds_listener(self) -> ArqWorker:
        """Has a queue of its own: rounds are made however busy everybody is.

        One process does it each time, whichever comes first: arq gives the job of a moment one id.
        """
        seconds = set(range(0, 60, _ROUNDS_EVERY_S))
        rounds = cron(cast(WorkerCoroutine, self._make_rounds), name="rounds", second=seconds)
        options = {**self._options(), "poll_delay": _ROUNDS_POLL_S}
        return ArqWorker(cron_jobs=[rounds], queue_name=arq_queue("rounds"), **options)

    def _options(self) -> dict[str, Any]:
        return {
            "redis_pool": self._doorbell.redis,
            "handle_signals": False,
            "max_jobs": 1,
            "keep_result": 0,  # of what failed, too: it would keep the same ring from being rung again
            "job_timeout": _JOB_TIMEOUT_S,
            "poll_delay": _POLL_S,
            "job_serializer": encode_job,
            "job_deserializer": decode_job,
            "log_results": False,
        }

    async def _attend(self, _ctx: dict[Any, Any], task_id: str) -> None:
        """A task is due: look for it, or for the one whose turn it is before it."""
        _log.debug("rung for task %s", task_id)
        with contextlib.suppress(Exception):  # told of by the worker's own look, which comes soon
            await self._worker.start_one()

    async def _make_rounds(self, _ctx: dict[Any, Any]) -> None:
        try:
            await self._rounds()
        except Exception as error:  # the next round comes soon
            log_failure(_log, "no round could be made", error)


class _ListenerWithRoom(ArqWorker):
    """An arq worker that takes no ring while the worker behind it has no room: another one may have."""

    def __init__(self, worker: Worker, **options: Any) -> None:
        super().__init__(**options)
        self._worker = worker

    async def _poll_iteration(self) -> None:
        self.allow_pick_jobs = self._worker.has_room
        await super()._poll_iteration()
