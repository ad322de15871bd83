"""The worker process: ``python -m service.worker``.

Stops on SIGTERM or SIGINT, or when its standard input closes: started by ``stemscribe serve`` with a pipe there, it
never outlives its parent, however that one ends.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable

from pipeline.memory import keep_freed_memory
from pipeline.song import SongPipeline
from service.context import Context
from service.logs import configure_logging
from service.models import model_store
from service.settings import load_settings
from service.worker.deliveries import Deliverer
from service.worker.janitor import Janitor
from service.worker.worker import Worker

_log = logging.getLogger(__name__)

_NICENESS = 10  # the API must get the processor at once while a song is separated
_REAP_EVERY_S = 2.0
_EXPIRE_EVERY_S = 60.0
_ORPHANS_EVERY_S = 3600.0
_GRACE_S = 20.0


async def _every(seconds: float, do: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again; one failed round is logged, not fatal."""
    while True:
        try:
            await do()
        except Exception:
            _log.exception("%s failed", getattr(do, "__qualname__", do))
        await asyncio.sleep(seconds)


async def _stdin_closed() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _run(supervised: bool) -> None:
    settings = load_settings()
    context = Context(settings)
    pipeline = SongPipeline(
        model_store(settings),
        separation_model=settings.separation_model,
        device=settings.device,
        limits=settings.decode_limits,
    )
    worker = Worker(context, pipeline, owner=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    janitor, deliverer = Janitor(context), Deliverer(context)
    chores = [
        asyncio.create_task(_every(_REAP_EVERY_S, janitor.reap_leases)),
        asyncio.create_task(_every(_EXPIRE_EVERY_S, janitor.delete_expired)),
        asyncio.create_task(_every(_ORPHANS_EVERY_S, janitor.delete_orphans)),
    ]
    if supervised:
        orphaned = asyncio.create_task(_stdin_closed())
        orphaned.add_done_callback(lambda _: worker.stop())
        chores.append(orphaned)
    working = asyncio.create_task(worker.run())
    delivering = asyncio.create_task(deliverer.run(worker.stopping))
    await worker.stopping.wait()
    _, late = await asyncio.wait({working, delivering}, timeout=_GRACE_S)
    for task in (*chores, delivering):
        task.cancel()
    await asyncio.gather(*chores, delivering, return_exceptions=True)
    if working in late:
        _log.warning("the running task did not stop within %g s; it is handed back all the same", _GRACE_S)
        await worker.abandon()
        os._exit(1)  # a thread inside a native call cannot be ended any other way
    await context.close()


def main() -> None:
    """Run until told to stop."""
    supervised = "--supervised" in sys.argv[1:]
    configure_logging()
    keep_freed_memory()  # before there are threads
    if supervised:
        os.nice(_NICENESS)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(supervised))


if __name__ == "__main__":
    main()
