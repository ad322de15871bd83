"""A worker process: its worker, the callbacks it delivers, its chores, and how all of them end."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from pipeline.song import SongPipeline
from service import metrics
from service.chores import every
from service.context import Context
from service.db.models import Queue
from service.doorbell import ArqDoorbell
from service.limits import ANY_SIZE
from service.models import model_store
from service.settings import Settings
from service.worker.deliveries import Deliverer
from service.worker.insist import insist
from service.worker.janitor import Janitor
from service.worker.rounds import Rounds
from service.worker.worker import Worker

_log = logging.getLogger(__name__)

_ROUND_EVERY_S = 2.0
_SCRATCH_EVERY_S = 10.0
_EXPIRE_EVERY_S = 60.0
_SWEEP_EVERY_S = 300.0
_SCHEMA_EVERY_S = 2.0
_TASKS_ON_A_GPU = 4  # segments of several songs fill its batches while others are decoded and encoded
_EXIT_AT_ONCE = 130


async def run_worker(
    settings: Settings,
    queues: Sequence[str] = tuple(Queue),
    *,
    pipeline: SongPipeline | None = None,
    supervised: bool = False,
) -> None:
    """Do tasks until SIGTERM or SIGINT; a second one ends the process at once, and its leases run out.

    Args:
        settings: where and how.
        queues: what to do.
        pipeline: what does it; by default that of the settings.
        supervised: end, too, when the standard input closes.
    """
    context = Context(settings)
    worker = Worker(
        context,
        pipeline or _pipeline(settings),
        owner=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
        queues=queues,
        tasks_at_once=settings.worker_tasks or _tasks_at_once(settings, queues),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, worker)
    chores = [asyncio.create_task(_end_with_parent(worker))] if supervised else []
    starting = asyncio.create_task(_start(context))
    stopped = asyncio.create_task(worker.stopping.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        chores += [asyncio.create_task(chore) for chore in _chores(context, worker)]
        _log.info("worker %s: %s; %d tasks at once", worker.owner, ", ".join(worker.queues), worker.tasks_at_once)
        async with _pages(context, worker):
            await _work(context, worker)
    for task in (starting, stopped, *chores):
        task.cancel()
    await asyncio.gather(starting, stopped, *chores, return_exceptions=True)
    await context.close()


async def _work(context: Context, worker: Worker) -> None:
    """Do tasks and deliver callbacks until the worker is told to stop, and for its grace period at most."""
    running = {asyncio.create_task(worker.run())}
    if Queue.IO in worker.queues:
        running.add(asyncio.create_task(Deliverer(context).run(worker.stopping)))
    await worker.stopping.wait()
    _, late = await asyncio.wait(running, timeout=context.settings.grace_seconds)
    if late:
        _log.warning("not all stopped within %g s; tasks are handed back all the same", context.settings.grace_seconds)
        await worker.abandon()
        os._exit(1)  # a thread inside a native call cannot be ended any other way


def _chores(context: Context, worker: Worker) -> list[Coroutine[Any, Any, None]]:
    """What is done besides tasks, again and again."""
    janitor, rounds = Janitor(context), Rounds(context, worker)
    chores = [every(_SCRATCH_EVERY_S, janitor.sweep_scratch)]
    if isinstance(context.doorbell, ArqDoorbell):
        from service.worker.bell import Bell

        bell = Bell(context.doorbell, worker, rounds.make)
        chores += [bell.run(), every(_ROUND_EVERY_S, rounds.make, unless=lambda: bell.is_heard)]
    else:
        chores.append(every(_ROUND_EVERY_S, rounds.make))
    if Queue.IO in worker.queues:
        chores += [every(_EXPIRE_EVERY_S, janitor.delete_expired), every(_SWEEP_EVERY_S, janitor.sweep)]
    return chores


async def _start(context: Context) -> None:
    """Wait for the database and for its schema, and set the clock."""
    complained = False
    while not await insist(context.database.is_usable):
        if not complained:
            _log.warning("the database's schema is not this version's: waiting for `stemscribe db upgrade`")
            complained = True
        await asyncio.sleep(_SCHEMA_EVERY_S)
    await insist(context.set_clock)
    await context.start()


@contextlib.asynccontextmanager
async def _pages(context: Context, worker: Worker) -> AsyncIterator[None]:
    """The worker's own pages, where it has a port for them."""
    if not context.settings.worker_port:
        yield
        return
    from service.worker.http import pages

    async with pages(context, [Queue(queue) for queue in worker.queues], worker.stopping):
        yield


def _on_signal(worker: Worker) -> None:
    if worker.stopping.is_set():
        os._exit(_EXIT_AT_ONCE)
    worker.stop()


async def _end_with_parent(worker: Worker) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    if not worker.stopping.is_set():
        worker.stop()


def _pipeline(settings: Settings) -> SongPipeline:
    return SongPipeline(
        model_store(settings),
        separation_model=settings.separation_model,
        device=settings.device,
        limits=dataclasses.replace(settings.decode_limits, max_file_bytes=ANY_SIZE),  # judged when it came
        on_batch=metrics.batch_run,
    )


def _tasks_at_once(settings: Settings, queues: Sequence[str]) -> int:
    if Queue.SEPARATION not in queues:
        return 1
    from pipeline.separation.device import choose_device  # torch takes seconds to import

    return _TASKS_ON_A_GPU if choose_device(settings.device).type == "cuda" else 1
