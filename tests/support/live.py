"""The service on a real socket inside the test's own process: uvicorn, a real database, a worker, no models.

Faster to start than :func:`support.process.running_service`, and its pipeline is the fake one; what only a process of
its own can show (signals, crashes, the command line) is tested with that.
"""

import asyncio
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.api.app import create_app
from service.context import Context
from service.keys import create_key
from service.serve import Server
from service.settings import Settings
from service.worker.deliveries import Deliverer
from service.worker.worker import Worker
from support.pipeline import FakePipeline

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Live:
    """A service that was started by :func:`live_service`; from other threads it is reached over HTTP only."""

    base_url: str
    token: str
    other_token: str  # of a key that must see nothing of the first one's
    stop: Callable[[], None]  # asks the service to stop, and returns at once
    revoke: Callable[[str], None]  # revokes the key of this name ("one", "other")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class _Server(Server):
    """The service's server, saying when it listens."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, listens: threading.Event) -> None:
        super().__init__(config, stopping)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()


class _Service:
    """The service's event loop, for one thread."""

    def __init__(self, settings: Settings, listener: socket.socket, pipeline: FakePipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._listener = listener
        self.started = threading.Event()
        self.tokens: list[str] = []
        self.error: BaseException | None = None
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: Context | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # told to the test, whose thread this is not
            self.error = error
        finally:
            self.started.set()

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    def revoke(self, name: str) -> None:
        assert self._loop is not None
        assert self._context is not None
        revoking = asyncio.run_coroutine_threadsafe(self._context.store.keys.revoke(name), self._loop)
        assert revoking.result(STOP_TIMEOUT_S) == 1

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        context = self._context = Context(self._settings)
        await context.database.upgrade()
        self.tokens = [await create_key(context, name) for name in ("one", "other")]
        of_worker = Context(self._settings)  # the application closes its own
        worker = Worker(of_worker, self._pipeline, "tester")  # type: ignore[arg-type]
        config = uvicorn.Config(create_app(context), log_config=None, access_log=False)
        server = _Server(config, context.stopping, self.started)
        running = [
            asyncio.create_task(worker.run()),
            asyncio.create_task(Deliverer(of_worker).run(worker.stopping)),
            asyncio.create_task(server.serve(sockets=[self._listener])),
        ]
        ended = asyncio.create_task(self._stop.wait())
        await asyncio.wait([*running, ended], return_when=asyncio.FIRST_COMPLETED)
        worker.stop()
        server.should_exit = True
        await asyncio.gather(*running)
        ended.cancel()
        await of_worker.close()


def _only_loopback(resolve: Any) -> Any:
    def answer(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in _LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is outside")
        return resolve(host, *arguments, **options)

    return answer


@contextmanager
def live_service(data_dir: Path, *, pipeline: FakePipeline | None = None, **settings: Any) -> Iterator[Live]:
    """Start the service on a free port of loopback, without limits of rate or number; stopped at the end.

    Host names other than this machine's do not resolve meanwhile, so that nothing a test sends can reach outside.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "port": port,
        "secret": "a secret for tests only",
        "allow_addresses": (ip_network("127.0.0.0/8"),),
        "rate_limit_tasks": 0,
        "max_tasks_in_flight": 0,
        **settings,
    }
    service = _Service(dataclasses.replace(Settings(), **given), listener, pipeline or FakePipeline())
    thread = threading.Thread(target=service.run, name="live-service", daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", _only_loopback(socket.getaddrinfo))
        thread.start()
        try:
            assert service.started.wait(START_TIMEOUT_S), "the service did not start in time"
            if service.error is not None:
                raise service.error
            yield Live(f"http://127.0.0.1:{port}", *service.tokens, stop=service.stop, revoke=service.revoke)
        finally:
            service.stop()
            thread.join(STOP_TIMEOUT_S)
            assert not thread.is_alive(), "the service did not stop in time"
    if service.error is not None:
        raise service.error
