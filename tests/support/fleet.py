"""A fleet on loopback: PostgreSQL, Redis, an S3 server, API processes and workers, all of them real and private.

Its workers have the real pipeline or one that only takes time (:mod:`support.fake_worker`).
"""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import asyncpg

from service.context import Context
from service.db.models import Queue
from service.keys import create_key
from service.settings import load_settings
from service.worker.janitor import Janitor
from support import fake_worker
from support.clock import ManualClock
from support.fake_worker import Run, read_runs
from support.gate import Gate, gate_before
from support.postgres_server import PostgresServer, running_postgres
from support.process import Client, await_ready, environment, free_port, stemscribe
from support.redis_server import RedisServer, running_redis
from support.s3 import BUCKET, S3Server, s3_server, set_in_environment
from support.servers import answer, http_server
from support.stored import stored_keys

ALL_QUEUES = tuple(Queue)
LEASE_S = 3
PATIENCE_S = 120.0
_TESTS = Path(__file__).parents[1]
_READY = " tasks at once"  # the end of what a worker says when it begins
_SHOWN_LOG = 3000


@dataclass
class Member:
    """A process of the fleet."""

    name: str
    process: "subprocess.Popen[bytes] | BaseProcess"
    log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative, where a signal ended it."""
        return self.process.exitcode if isinstance(self.process, BaseProcess) else self.process.poll()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to stop; it does so in its own time."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Without a word; dead already, it stays so."""
        self.process.kill()
        self.wait()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + timeout_s
        while (code := self.exit_code) is None:
            assert time.monotonic() < deadline, f"{self.name} does not end\n{self.log.read_text()[-_SHOWN_LOG:]}"
            time.sleep(0.02)
        return code

    def says(self, text: str) -> bool:
        """Whether its log has this."""
        return text in self.log.read_text()


@dataclass
class Receiver:
    """Takes callbacks: how often each event came, by its id, for each path."""

    base_url: str
    received: dict[str, Counter[str]] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return f"{self.base_url}/{name}"

    def ids(self, name: str) -> Counter[str]:
        """How often each event came to ``url(name)``."""
        return self.received.get(f"/{name}", Counter())

    def take(self, handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        self.received.setdefault(handler.path, Counter())[handler.headers["webhook-id"]] += 1
        answer(handler, 200)


@contextlib.contextmanager
def running_receiver() -> Iterator[Receiver]:
    """One on loopback."""
    receiver = Receiver("")
    with http_server(receiver.take) as receiver.base_url:
        yield receiver


@dataclass(kw_only=True)
class Fleet(Client):
    """A fleet that was started by :func:`running_fleet`; as a client it talks to its first API.

    Attributes:
        env: what each of its processes is started with.
        gate: before the S3 server: closed, there is none.
        receiver: of callbacks.
    """

    folder: Path
    env: dict[str, str]
    postgres: PostgresServer
    redis: RedisServer
    s3: S3Server
    gate: Gate
    receiver: Receiver
    members: list[Member] = field(default_factory=list)

    def start_api(self) -> str:
        """Another API; returns its address."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        settings = {"STEMSCRIBE_PUBLIC_URL": address}
        member = self._start("api", ["service.cli", "api", "--port", str(port)], settings)
        assert isinstance(member.process, subprocess.Popen)
        await_ready(address, member.process, member.log)
        return address

    def start_workers(
        self,
        count: int = 1,
        queues: Sequence[str] = ALL_QUEUES,
        *,
        seconds: float | None = 1.0,
        tasks: int = 1,
        clock: Path | None = None,
        **settings: str,
    ) -> list[Member]:
        """Workers that are ready to work.

        Args:
            seconds: that a stage takes; None for the real pipeline.
            tasks: how many each does at once.
            clock: a file that says how many seconds their clock is ahead.
            settings: further ones, by their name without the prefix.
        """
        own = {
            fake_worker.SECONDS: str(seconds),
            fake_worker.RUNS: str(self.runs_file),
            "STEMSCRIBE_WORKER_TASKS": str(tasks),
            **{f"STEMSCRIBE_{name.upper()}": value for name, value in settings.items()},
        }
        names = ",".join(queues)
        workers = []
        for _ in range(count):
            if seconds is None:
                workers.append(self._start("worker", ["service.cli", "worker", "--queues", names], own))
            elif clock is not None:
                command = ["support.other_clock", str(clock), fake_worker.__name__, names]
                workers.append(self._start("worker", command, own))
            else:
                name, log = self._next_name("worker")
                workers.append(Member(name, fake_worker.forked(names, {**self.env, **own}, log), log))
                self.members.append(workers[-1])
        for worker in workers:
            self.until(lambda worker=worker: worker.says(_READY), f"{worker.name} did not start")
        return workers

    def start_worker(self, queues: Sequence[str] = ALL_QUEUES, **options: Any) -> Member:
        """One of them."""
        return self.start_workers(1, queues, **options)[0]

    def stop_workers(self) -> None:
        """Kill what is left of them."""
        for member in self.members:
            if member.name.startswith("worker"):
                member.kill()

    @property
    def runs_file(self) -> Path:
        return self.folder / "runs.jsonl"

    @property
    def runs(self) -> list[Run]:
        """What fake workers have done so far."""
        return read_runs(self.runs_file)

    def separate(self, content: bytes, name: str) -> str:
        """Ask for the separation of a song; its callback goes to the receiver, under this name."""
        uploaded = self.upload(content)
        source = {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"]}
        return self.generate("vocal-removal", **source, type="split_stem", callBackUrl=self.receiver.url(name))

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """What the database says."""

        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.postgres.url.replace("+asyncpg", ""))
            try:
                return await connection.fetch(query, *arguments)
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Return as soon as a condition holds; fail with ``what``, and with the logs, if it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.logs()}"
            time.sleep(0.05)

    def until_idle(self, timeout_s: float = PATIENCE_S) -> None:
        """Return when every task has ended, and every callback was delivered."""
        live = "SELECT id, queue, status, attempt FROM tasks WHERE status IN ('queued', 'running')"
        owed = "SELECT task_id, attempts, due_ms FROM outbox WHERE state = 'pending'"
        for query in (live, owed):
            deadline = time.monotonic() + timeout_s
            while left := self.rows(query):
                assert time.monotonic() < deadline, f"left: {left}\n{self.logs()}"
                time.sleep(0.2)

    def left_over(self, *, hours_later: float = 0) -> list[str]:
        """What lies about after a sweep: objects and rows that belong to nothing, scratch folders.

        Args:
            hours_later: when the sweep thinks that it is.
        """
        with set_in_environment(self.env):
            return asyncio.run(self._left_over(hours_later))

    async def _left_over(self, hours_later: float) -> list[str]:
        later = ManualClock(time.time_ns() // 1_000_000 + round(hours_later * 3_600_000))
        context = Context(load_settings(self.env), later if hours_later else None)
        await context.start()
        janitor = Janitor(context)
        while await janitor.sweep():
            pass
        await janitor.sweep_scratch()
        stored = set(await stored_keys(context))
        scratch = [str(path) for path in context.storage.scratch_dir.iterdir()]
        await context.storage.close()
        await context.close()
        keys = "SELECT storage_key FROM files UNION SELECT storage_key FROM stage_files"
        known = {row["storage_key"] for row in await asyncio.to_thread(self.rows, keys)}
        pending = await asyncio.to_thread(self.rows, "SELECT storage_key, task_id, fence FROM pending_files")
        missing = [f"{key} is recorded, and gone" for key in sorted(known - stored)]
        return scratch + sorted(stored - known) + missing + [f"pending: {tuple(row)}" for row in pending]

    def logs(self) -> str:
        running = [member for member in self.members if member.exit_code is None] or self.members
        return "\n".join(f"== {member.name}\n{member.log.read_text()[-_SHOWN_LOG:]}" for member in running)

    def _next_name(self, kind: str) -> tuple[str, Path]:
        name = f"{kind}-{sum(member.name.startswith(kind) for member in self.members) + 1}"
        log = self.folder / f"{name}.log"
        log.touch()
        return name, log

    def _start(self, kind: str, command: list[str], settings: dict[str, str]) -> Member:
        name, log = self._next_name(kind)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env={**self.env, **settings}, stdout=out, stderr=out
            )
        self.members.append(Member(name, process, log))
        return self.members[-1]


async def _new_key(env: dict[str, str]) -> str:
    with set_in_environment(env):
        context = Context(load_settings(env))
    token = await create_key(context, "tests")
    await context.close()
    return token


@contextlib.contextmanager
def running_fleet(folder: Path, **settings: str) -> Iterator[Fleet]:
    """A fleet with one API and no workers yet; every process of it is killed at the end.

    Args:
        folder: for logs and scratch folders.
        settings: of every process, by their name without the prefix.
    """
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis())
        s3 = stack.enter_context(s3_server(folder / "s3.log"))
        gate = stack.enter_context(gate_before(int(s3.endpoint.rsplit(":", 1)[1])))
        receiver = stack.enter_context(running_receiver())
        given = {
            "secret": "a secret for tests only",
            "database_url": postgres.url,
            "redis_url": redis.url,
            "storage_url": f"s3://{BUCKET}/{secrets.token_hex(4)}",
            "allow_addresses": "127.0.0.0/8",
            "lease_seconds": str(LEASE_S),
            "grace_seconds": "4",
            "rate_limit_tasks": "0",
            "max_tasks_in_flight": "0",
            **settings,
        }
        path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
        clients = {**s3.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{gate.port}"}
        env = {**environment(folder / "data", **given), **clients, "PYTHONPATH": path}
        upgraded = stemscribe("db", "upgrade", env=env)
        assert upgraded.returncode == 0, upgraded.stderr
        token = asyncio.run(_new_key(env))
        fleet = Fleet(
            base_url="",
            token=token,
            folder=folder,
            env=env,
            postgres=postgres,
            redis=redis,
            s3=s3,
            gate=gate,
            receiver=receiver,
        )
        try:
            fleet.base_url = fleet.start_api()
            yield fleet
        finally:
            for member in fleet.members:
                member.kill()
