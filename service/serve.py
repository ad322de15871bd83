"""``stemscribe serve``: the API in this process, the worker in a second one, both ended by one Ctrl-C."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from service.api.app import create_app
from service.context import Context
from service.keys import create_key
from service.settings import Settings, SettingsError

_log = logging.getLogger(__name__)

_WORKER_STOP_S = 30.0  # longer than the worker's own grace
_RESTART_DELAYS_S = (0.5, 1, 2, 5, 10, 30)
_STEADY_S = 60.0  # a worker that lived this long did not die of its start
_API_SHUTDOWN_S = 5
_FIRST_KEY_NAME = "first"


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: its own handling ends the process before the worker is stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the embedded service until SIGINT or SIGTERM; a second signal ends it at once.

    Args:
        settings: where and how; port 0 takes a free one.
        announce: told, once each, the first key of an empty data folder and where the service listens.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    listener = _listen(settings)
    settings = dataclasses.replace(settings, port=listener.getsockname()[1])
    context = Context(settings)
    await context.database.upgrade()
    if not await context.store.keys.list():
        announce(f"Your first API key, shown only this once: {await create_key(context, _FIRST_KEY_NAME)}")
    config = uvicorn.Config(
        create_app(context), log_config=None, access_log=False, timeout_graceful_shutdown=_API_SHUTDOWN_S
    )
    server = _Server(config)
    stop_signals = 0

    def on_signal() -> None:
        nonlocal stop_signals
        stop_signals += 1
        server.should_exit = True
        server.force_exit = stop_signals > 1

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    worker = asyncio.create_task(_keep_worker(settings))
    announce(f"Stemscribe listens on http://{settings.host}:{settings.port} (API pages: /schema). Ctrl-C stops it.")
    try:
        await server.serve(sockets=[listener])
    finally:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        reason = f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}."
        raise SettingsError(f"{reason} Choose another with --port or STEMSCRIBE_PORT.") from error
    return listener


async def _keep_worker(settings: Settings) -> None:
    """Run the worker process, and another whenever it dies; when cancelled, stop it and wait for its end."""
    loop = asyncio.get_running_loop()
    deaths = 0
    while True:
        started = loop.time()
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.worker", "--supervised",
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, **settings.environment()},
            start_new_session=True,  # a terminal's Ctrl-C must not reach its decoders
        )  # fmt: skip
        try:
            code = await worker.wait()
        except asyncio.CancelledError:
            await _stop_worker(worker)
            raise
        deaths = 0 if loop.time() - started > _STEADY_S else deaths + 1
        delay_s = _RESTART_DELAYS_S[min(deaths, len(_RESTART_DELAYS_S) - 1)]
        _log.error("the worker ended with code %s; another starts in %g s", code, delay_s)
        await asyncio.sleep(delay_s)


async def _stop_worker(worker: asyncio.subprocess.Process) -> None:
    if worker.stdin is not None:
        worker.stdin.close()  # the worker's sign to hand back its task and leave
    try:
        await asyncio.wait_for(worker.wait(), _WORKER_STOP_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()
