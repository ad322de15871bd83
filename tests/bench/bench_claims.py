"""How many tasks a second PostgreSQL hands out: ``python tests/bench/bench_claims.py``.

A private server (fsync on), and a backlog of 10 000 tasks in one queue: of one key, of 20, or of 10 000.

1. Tasks per second with 1, 8 and 32 claimers. Each has a connection of its own and takes one task after the other;
   there are up to four processes of them. Claims alone, and with the end of each task and its callback.
2. What a new task costs beside such a backlog (``TaskStore.create``, which finds its turn), a plain one and an urgent.
3. The plans of a claim and of the search for a turn: what they read, and whether they sort the backlog.

Medians of several rounds, which take turns, so that other load on the machine meets all of them.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))
from service.context import Context
from service.db.models import Queue, TaskKind
from service.settings import Settings
from service.store.records import NewTask, Outcome
from support.bench_database import migrated_database
from support.postgres_server import running_postgres

N_TASKS = 10_000
N_ENDED = 40_000  # kept for their 14 days, where it is not about speed alone
BACKLOGS = (1, 20, 10_000)  # keys
CLAIMERS = (1, 8, 32)
MOST_PROCESSES = 4
QUEUE = Queue.MIDI
CALLBACK = "http://127.0.0.1:9/nobody-is-called"

_FILL = f"""
INSERT INTO tasks (id, key_id, kind, dialect, status, params, callback_url, progress, credits, queue, turn, priority,
    due_ms, attempt, fence, created_ms)
SELECT md5(n::text), 'key' || n % :keys, 'midi', 'kie', CASE WHEN n < :ended THEN 'succeeded' ELSE 'queued' END, '{{}}',
    '{CALLBACK}', 0, 0, '{QUEUE}', n / :keys, 0, 0, 0, 0, n
FROM generate_series(0, :ended + {N_TASKS - 1}) AS n
"""
_KEYS = f"""
INSERT INTO api_keys (id, name, digest, hint, created_ms, credits_spent, bucket_full_us)
SELECT 'key' || n, 'key' || n, 'digest' || n, '', 0, 0, 0 FROM generate_series(0, {max(BACKLOGS) - 1}) AS n
"""


def open_context(url: str, folder: Path) -> Context:
    return Context(Settings(database_url=url, data_dir=folder, rate_limit_tasks=0, max_tasks_in_flight=0))


async def fill(context: Context, n_keys: int, n_ended: int = 0) -> None:
    """A new backlog, with the turns that its tasks would have been given one by one, and tasks that ended before."""
    async with context.database.write() as session:
        await session.execute(sa.text("TRUNCATE tasks, credit_entries CASCADE"))
        await session.execute(sa.text(_FILL), {"keys": n_keys, "ended": n_ended})
        await session.execute(sa.text("ANALYZE tasks"))


def claimers(url: str, pipe: Pipe) -> None:
    """A process of claimers: for each order (how many, when from, for how many seconds, ends or not) their claims."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_obey(url, Path(folder), pipe))


async def _obey(url: str, folder: Path, pipe: Pipe) -> None:
    context = open_context(url, folder)
    pipe.send("ready")
    while (order := await asyncio.to_thread(pipe.recv)) is not None:
        number, start_s, seconds, ends = order
        await asyncio.gather(*(_touch(context) for _ in range(number)))  # connections are opened before
        await asyncio.sleep(start_s - time.time())
        counts = await asyncio.gather(
            *(_claim_on(context, f"{os.getpid()}:{n}", start_s + seconds, ends) for n in range(number))
        )
        pipe.send(sum(counts))
    await context.close()


async def _touch(context: Context) -> None:
    async with context.database.read() as session:
        await session.execute(sa.text("SELECT pg_sleep(0.05)"))


async def _claim_on(context: Context, owner: str, until_s: float, ends: bool) -> int:
    leases, n_claims = context.store.leases, 0
    while time.time() < until_s:
        claim = await leases.claim(owner, [QUEUE])
        assert claim is not None, "the backlog is too small for this machine"
        if ends:
            await leases.succeed(claim, Outcome())
        n_claims += 1
    return n_claims


def throughput(url: str, context_folder: Path, seconds: float, rounds: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(MOST_PROCESSES):
        ours, theirs = spawn.Pipe()
        processes.append(spawn.Process(target=claimers, args=(url, theirs)))
        processes[-1].start()
        pipes.append(ours)
    assert [pipe.recv() for pipe in pipes] == ["ready"] * MOST_PROCESSES
    measured: dict[tuple[bool, int, int], list[float]] = {}
    for _ in range(rounds):
        for ends in (False, True):
            for n_keys in BACKLOGS:
                for number in CLAIMERS:
                    asyncio.run(_refill(url, context_folder, n_keys))
                    taken = _one_round(pipes, number, seconds, ends)
                    measured.setdefault((ends, n_keys, number), []).append(taken / seconds)
    for pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join()
    print("| tasks per second | keys | " + " | ".join(f"{number} claimers" for number in CLAIMERS) + " |")
    print("|---|---|" + "---|" * len(CLAIMERS))
    for ends in (False, True):
        for n_keys in BACKLOGS:
            cells = [f"{statistics.median(measured[ends, n_keys, number]):.0f}" for number in CLAIMERS]
            print(f"| {'claimed and ended' if ends else 'claimed'} | {n_keys} | " + " | ".join(cells) + " |")


async def _refill(url: str, folder: Path, n_keys: int) -> None:
    context = open_context(url, folder)
    await fill(context, n_keys)
    await context.close()


def _one_round(pipes: list[Pipe], number: int, seconds: float, ends: bool) -> int:
    used = pipes[:number]
    start_s = time.time() + 0.5
    for n, pipe in enumerate(used):
        share = number // len(used) + (n < number % len(used))
        pipe.send((share, start_s, seconds, ends))
    return sum(pipe.recv() for pipe in used)


async def costs(context: Context, n_creates: int) -> None:
    print("\n| a new task, ms, median | of the same key | of another | urgent, of the same |")
    print("|---|---|---|---|")
    for n_keys in BACKLOGS:
        cells = []
        for key_id, priority, number in (("key0", 0, n_creates), ("key9999", 0, n_creates), ("key0", 1, 5)):
            await fill(context, n_keys, N_ENDED)
            new = NewTask(key_id=key_id, kind=TaskKind.MIDI, callback_url=CALLBACK, priority=priority)
            taken_ms = []
            for _ in range(number):
                started = time.perf_counter()
                await context.store.tasks.create(new)
                taken_ms.append(1000 * (time.perf_counter() - started))
            cells.append(f"{statistics.median(taken_ms):.1f}")
        print(f"| of {n_keys} keys | " + " | ".join(cells) + " |")


async def plans(context: Context) -> None:
    """What Postgres does for a claim and for a new task's turn, some of the backlog being taken."""
    print("\n| statement | keys | steps of its plan | pages read | ms |\n|---|---|---|---|---|")
    for n_keys in BACKLOGS:
        await fill(context, n_keys, N_ENDED)
        for _ in range(50):
            assert await context.store.leases.claim("bench", [QUEUE]) is not None
        async with context.database.write() as session:
            await session.execute(sa.text("ANALYZE tasks"))
        statements = await _heard(context)
        for statement, parameters in statements:
            plan = await _explained(context, statement, parameters)
            pages = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
            steps = ", ".join(_steps(plan["Plan"]))
            print(f"| {_short(statement)} | {n_keys} | {steps} | {pages} | {plan['Execution Time']:.2f} |")


async def _heard(context: Context) -> list[tuple[str, Any]]:
    """The statements over waiting tasks that a new task and a claim execute."""
    heard: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "tasks.turn" in statement:
            heard.append((statement, parameters))

    engine = context.database._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", hear)
    await context.store.tasks.create(NewTask(key_id="key0", kind=TaskKind.MIDI))
    assert await context.store.leases.claim("bench", [QUEUE]) is not None
    sa.event.remove(engine, "before_cursor_execute", hear)
    return heard


def _short(statement: str) -> str:
    return " ".join(statement.split())[:60]


async def _explained(context: Context, statement: str, parameters: Any) -> dict[str, Any]:
    async with context.database._engine.connect() as connection:
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        found = await connection.exec_driver_sql(explain + statement, parameters)
        plan: dict[str, Any] = found.scalar_one()[0]
        await connection.rollback()
        return plan


def _steps(plan: dict[str, Any]) -> list[str]:
    own = plan["Node Type"] + (f" {plan['Index Name']}" if "Index Name" in plan else "")
    return [own, *(step for child in plan.get("Plans", ()) for step in _steps(child))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--creates", type=int, default=100)
    parser.add_argument("--only", choices=("throughput", "costs", "plans"))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as server,
        migrated_database(server.url) as url,
    ):
        asyncio.run(_prepare(url, Path(folder)))
        if options.only in (None, "throughput"):
            throughput(url, Path(folder), options.seconds, options.rounds)
        asyncio.run(_single(url, Path(folder), options))


async def _prepare(url: str, folder: Path) -> None:
    context = open_context(url, folder)
    async with context.database.write() as session:
        await session.execute(sa.text(_KEYS))
    await context.close()


async def _single(url: str, folder: Path, options: argparse.Namespace) -> None:
    context = open_context(url, folder)
    if options.only in (None, "costs"):
        await costs(context, options.creates)
    if options.only in (None, "plans"):
        await plans(context)
    await context.close()


if __name__ == "__main__":
    main()
