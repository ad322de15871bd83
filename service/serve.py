"""``stemscribe serve``: the API in this process, the worker in a second one, both ended by one Ctrl-C.

``stemscribe api`` is the API alone, for a fleet: as many of these as wanted, and workers wherever they are.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from service import listening
from service.api.app import create_app
from service.chores import every
from service.context import Context
from service.keys import create_key
from service.settings import Settings
from service.worker.janitor import Janitor

_log = logging.getLogger(__name__)

_WORKER_STOP_S = 10.0  # more than the worker's own grace
_RESTART_DELAYS_S = (0.5, 1, 2, 5, 10, 30)
_STEADY_S = 60.0  # a worker that lived this long did not die of its start
_API_SHUTDOWN_S = 5
_SWEEP_EVERY_S = 60.0
_FIRST_KEY_NAME = "first"


class Server(listening.Server):
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


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the embedded service until SIGINT or SIGTERM; a second signal ends it at once.

    Args:
        settings: where and how; port 0 takes a free one.
        announce: told, once each, the first key of an empty data folder and where the service listens.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    settings, listener = _listen(settings)
    context = Context(settings)
    await context.database.upgrade()
    if not await context.store.keys.list():
        announce(f"Your first API key, shown only this once: {await create_key(context, _FIRST_KEY_NAME)}")
    supervisor = _WorkerSupervisor(settings)
    server = _server(context, on_second_signal=supervisor.kill)
    announce(f"Stemscribe serves {settings.resolved_public_url} (API pages: /schema). Ctrl-C stops it.")
    supervising = asyncio.create_task(supervisor.run())
    try:
        await server.serve(sockets=[listener])
    finally:
        await supervisor.stop()
        await supervising


async def serve_api(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run an API without a worker, and without touching the schema, until SIGINT or SIGTERM.

    Args:
        settings: where and how; port 0 takes a free one.
        announce: told where it listens.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    settings, listener = _listen(settings)
    context = Context(settings)
    context.serves_models = False  # workers have them
    server = _server(context, on_second_signal=lambda: None)
    announce(f"Stemscribe's API serves {settings.resolved_public_url} (API pages: /schema). Ctrl-C stops it.")
    _log.info("listening on %s:%d", settings.host, settings.port)
    sweeping = asyncio.create_task(every(_SWEEP_EVERY_S, Janitor(context).sweep_scratch))  # no worker may be here
    try:
        await server.serve(sockets=[listener])
    finally:
        sweeping.cancel()


def _server(context: Context, on_second_signal: Callable[[], None]) -> Server:
    """The server of a context's application, which a signal ends, and a second one at once."""
    config = uvicorn.Config(
        create_app(context), log_config=None, access_log=False, timeout_graceful_shutdown=_API_SHUTDOWN_S
    )
    server = Server(config, context.stopping)

    def on_signal() -> None:
        if server.should_exit:
            server.force_exit = True
            on_second_signal()
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return server


def _listen(settings: Settings) -> tuple[Settings, socket.socket]:
    """A socket at the settings' address, and the settings with its port."""
    listener = listening.listen(settings.host, settings.port, "--port or STEMSCRIBE_PORT")
    return dataclasses.replace(settings, port=listener.getsockname()[1]), listener


class _WorkerSupervisor:
    """Runs the worker process, and another whenever it dies.

    Args:
        settings: the worker's, too.
    """

    def __init__(self, settings: Settings) -> None:
        # Waiting threads that spin make a segment up to five times slower where others use the cores too.
        self._environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **settings.environment()}
        self._grace_s = settings.grace_seconds
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
                sys.executable, "-m", "service.worker",
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
                await asyncio.wait_for(self._worker.wait(), self._grace_s + _WORKER_STOP_S)
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
