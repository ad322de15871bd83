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


class Server(uvicorn.Server):
    """uvicorn, which tells the application that it ends before it waits for open answers to end.

    Args:
        stopping: set when it stops to serve.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to serve."""
        self._stopping.set()
        await super().shutdown(sockets)


class _Server(Server):
    """With the signals left to us: uvicorn's own handling ends the process before the worker is stopped."""

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
    server, supervisor = _Server(config, context.stopping), _WorkerSupervisor(settings)

    def on_signal() -> None:
        if server.should_exit:
            server.force_exit = True
            supervisor.kill()
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    announce(f"Stemscribe serves {settings.resolved_public_url} (API pages: /schema). Ctrl-C stops it.")
    supervising = asyncio.create_task(supervisor.run())
    try:
        await server.serve(sockets=[listener])
    finally:
        await supervisor.stop()
        await supervising


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


class _WorkerSupervisor:
    """Runs the worker process, and another whenever it dies.

    Args:
        settings: the worker's, too.
    """

    def __init__(self, settings: Settings) -> None:
        # Waiting threads that spin make a segment up to five times slower where others use the cores too.
        self._environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **settings.environment()}
        self._stopping = asyncio.Event()
        self._worker: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep a worker until :meth:`stop`."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while not self._stopping.is_set():
            started = loop.time()
            verdict = await self._run_once()
            if self._stopping.is_set():
                return
            deaths = 0 if loop.time() - started > _STEADY_S else deaths + 1
            delay_s = _RESTART_DELAYS_S[min(deaths, len(_RESTART_DELAYS_S) - 1)]
            _log.error("the worker %s; another starts in %g s", verdict, delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_once(self) -> str:
        try:
            self._worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service.worker", "--supervised",
                stdin=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=True,  # a terminal's Ctrl-C must not reach its decoders
            )  # fmt: skip
        except OSError as error:  # no process or memory left just now
            return f"could not be started ({error})"
        if self._stopping.is_set():
            self._close_stdin()
        code = await self._worker.wait()
        self._worker = None
        return f"ended with code {code}"

    async def stop(self) -> None:
        """Let the worker hand back its task and leave; kill it if it takes too long."""
        self._stopping.set()
        self._close_stdin()
        if self._worker is not None:
            try:
                await asyncio.wait_for(self._worker.wait(), _WORKER_STOP_S)
            except TimeoutError:
                self.kill()

    def kill(self) -> None:
        """End the worker at once; its lease will run out."""
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()

    def _close_stdin(self) -> None:
        """The worker's sign to stop."""
        if self._worker is not None and self._worker.stdin is not None:
            self._worker.stdin.close()
