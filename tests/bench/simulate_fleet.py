"""A fleet of 50 workers and 10 000 tasks in virtual time, on a real database: ``python tests/bench/simulate_fleet.py``.

Claims, leases, stages, turns, callbacks and their retries are the service's own, on a private PostgreSQL, or on SQLite
(``--sqlite``). What a stage computes only takes virtual time, drawn anew for each song; the clock jumps to each event.
One customer asks for thousands of songs at once, some for hundreds over the hours, most for one. Workers are killed
(their leases run out), stopped (they hand back), or freeze and go on with leases they have lost; receivers are slow,
fail, or are down.

The figures say whether anything went wrong (nothing may), how long customers waited (``--fifo``: first come, first
served, instead of turns), how busy the workers were, and what the database had to do. Speeds of the stages are
``--gpu`` and ``--cpu``, both in seconds of audio a second; GPUs are an estimate as long as none was measured.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))
from service.context import Context
from service.db.models import ApiKey, Outbox, OutboxState, PendingFile, Queue, Task, TaskKind, TaskStatus
from service.prices import parse_prices
from service.settings import Settings
from service.store import leases, tasks
from support.bench_database import migrate, migrated_database
from support.postgres_server import running_postgres
from support.simulated_fleet import Fleet, Receiver, Song
from support.simulated_workers import Outage, SimulatedWorker
from support.virtual_time import START_MS, VirtualTime

RECEIVERS = (  # name, seconds to answer, share of requests that fail, down until, share of customers
    ("good", 0.1, 0.0, 0.0, 0.6),
    ("flaky", 0.3, 0.3, 0.0, 0.2),
    ("slow", 8.0, 0.05, 0.0, 0.1),
    ("down", 0.1, 0.0, 2400.0, 0.1),
)
BIG = "big"
GPU_PLACES = 4
FETCH_S, WAV_S = 3.0, 2.0
REPEATED = 0.03  # share of songs that somebody had done before
WAVS = 0.05
BY_URL = 0.4
MEAN_AUDIO_S = 240.0
OUTAGES = (("killed", 0.5, 60.0), ("stopped", 0.25, 30.0), ("frozen", 0.25, 90.0))  # share, mean length
HORIZON_S = 100_000.0
_TELL_EVERY_S = 300.0
_UNFLUSHED = "synchronous_commit = off"  # the simulation is not about the disk; bench_claims.py is


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes:
        gpu, cpu: seconds of audio a second, of one GPU with all its places, and of one CPU worker.
        hours: over which songs come.
        outage_every_s: mean time from one outage of a worker to the next.
    """

    n_tasks: int = 10_000
    workers: tuple[int, int, int] = (6, 34, 10)  # GPU, CPU, light
    gpu: float = 100.0
    cpu: float = 11.4
    hours: float = 1.5
    outage_every_s: float = 1800.0
    seed: int = 1
    fifo: bool = False
    tick_s: float = 1.0


KINDS = (("gpu", Queue.SEPARATION, GPU_PLACES), ("cpu", Queue.MIDI, 1), ("light", Queue.IO, 1))


def songs_of(scenario: Scenario) -> list[Song]:
    """40 % of all songs at once from one customer, 30 % from ten over the hours, the rest one by one from others."""
    draw = random.Random(scenario.seed)
    songs: list[Song] = []
    for number in range(scenario.n_tasks):
        share = number / scenario.n_tasks
        if share < 0.4:
            customer, at_s = BIG, number * 0.05
        else:
            customer = f"medium {number % 10}" if share < 0.7 else f"small {number}"
            at_s = draw.uniform(0, scenario.hours * 3600)
        names, weights = zip(*((row[0], row[4]) for row in RECEIVERS), strict=True)
        receiver = random.Random(f"{scenario.seed} {customer}").choices(names, weights)[0]
        audio_s = min(max(draw.lognormvariate(np.log(MEAN_AUDIO_S) - 0.08, 0.4), 30.0), 900.0)
        content = f"song {number}"
        if songs and draw.random() < REPEATED:
            before = draw.choice(songs)
            content, audio_s = before.content, before.audio_s
        noise = draw.lognormvariate(0, 0.2)
        kind = TaskKind.WAV if draw.random() < WAVS else TaskKind.TRANSCRIPTION
        work_s = {
            Queue.SEPARATION: noise * audio_s / scenario.gpu * GPU_PLACES,
            Queue.MIDI: noise * audio_s / scenario.cpu,
            Queue.IO: noise * (WAV_S if kind == TaskKind.WAV else FETCH_S),
        }
        by_url = draw.random() < BY_URL
        songs.append(Song(at_s, customer, kind, content, by_url, audio_s, work_s, receiver))
    return songs


def workers_of(scenario: Scenario, fleet: Fleet) -> list[SimulatedWorker]:
    workers = []
    for (kind, queue, places), number in zip(KINDS, scenario.workers, strict=True):
        for n in range(number):
            outages = _outages(random.Random(f"{scenario.seed} {kind} {n}"), scenario.outage_every_s)
            workers.append(SimulatedWorker(fleet, f"{kind} {n}", kind, [queue], places, outages))
    return workers


def _outages(draw: random.Random, every_s: float) -> list[Outage]:
    outages, now_s = [], 0.0
    while (now_s := now_s + draw.expovariate(1 / every_s)) < HORIZON_S:
        how, _, mean_s = draw.choices(OUTAGES, [row[1] for row in OUTAGES])[0]
        outages.append(Outage(now_s, now_s + draw.uniform(0.5, 1.5) * mean_s, how))
        now_s = outages[-1].until_s
    return outages


@dataclass
class Figures:
    """What came out.

    Attributes:
        problems: what may not be; none.
        rows: by customer class: tasks, and the 50th and 95th percentile of seconds until done.
    """

    problems: list[str]
    events: Counter[str]
    rows: dict[str, tuple[int, float, float, float]]
    busy: dict[str, float]
    per_s: float
    ideal_per_s: float
    ended_s: float
    over_s: float
    statements: Counter[str]
    taken_ms: dict[str, list[float]]
    wall_s: float
    duplicates: int
    delivered: int
    dead: int
    server: dict[str, float]


async def simulate(url: str, folder: Path, scenario: Scenario, *, tells: bool = False) -> Figures:
    """Run a scenario on a migrated database; where it is asked to, it tells how far it is."""
    settings = Settings(
        database_url=url, data_dir=folder, rate_limit_tasks=0, max_tasks_in_flight=0, secret="of simulations only"
    )
    clock = VirtualTime(scenario.tick_s)
    context = Context(settings, clock)
    fleet = Fleet(context, clock, songs_of(scenario), [Receiver(*row[:4]) for row in RECEIVERS])
    context.database._engine.sync_engine.pool._pre_ping = False  # nothing goes away here; it is one trip in five
    statements = _counted(context)
    before = await _server_figures(context)
    started_s = time.perf_counter()
    if tells:
        clock.start(_tell(fleet))
    with _turns(scenario.fifo):
        await fleet.run(process for worker in workers_of(scenario, fleet) for process in worker.processes())
    wall_s = time.perf_counter() - started_s
    after = await _server_figures(context)
    figures = await _figures(context, fleet, scenario)
    figures.statements, figures.wall_s = statements, wall_s
    figures.server = {name: after[name] - value for name, value in before.items()}
    await context.close()
    return figures


async def _tell(fleet: Fleet) -> None:
    while not fleet.is_over:
        await fleet.clock.sleep(_TELL_EVERY_S)
        ended, virtual = len(fleet.ledger.ended), fleet.clock.now_s / 60
        print(f"{time.strftime('%X')}: {ended} tasks ended after {virtual:.0f} virtual minutes", file=sys.stderr)


@contextmanager
def _turns(fifo: bool) -> Iterator[None]:
    """First come, first served is what queues without turns are: claims then go by age."""

    async def none(*_: object) -> int:
        return 0

    before = (tasks.next_turn, leases.next_turn)
    if fifo:
        tasks.next_turn = leases.next_turn = none
    try:
        yield
    finally:
        tasks.next_turn, leases.next_turn = before


def _counted(context: Context) -> Counter[str]:
    """Statements by their first word, from now on."""
    counts: Counter[str] = Counter()

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counts[statement.split(maxsplit=1)[0]] += 1

    for engine in {context.database._engine, context.database._writer, context.database._relaxed_writer}:
        sa.event.listen(engine.sync_engine, "before_cursor_execute", count)
    return counts


async def _server_figures(context: Context) -> dict[str, float]:
    if context.database.is_sqlite:
        return {}
    query = """SELECT pg_current_wal_lsn() - '0/0' AS wal_bytes, xact_commit AS transactions,
        pg_database_size(current_database()) AS size_bytes FROM pg_stat_database WHERE datname = current_database()"""
    await asyncio.sleep(1.1)  # statistics come late
    async with context.database.read() as session:
        return {name: float(value) for name, value in (await session.execute(sa.text(query))).mappings().one().items()}


async def _figures(context: Context, fleet: Fleet, scenario: Scenario) -> Figures:
    async with context.database.read() as session:
        rows = (await session.scalars(sa.select(Task))).all()
        owed = (await session.scalars(sa.select(Outbox))).all()
        pending = await session.scalar(sa.select(sa.func.count()).select_from(PendingFile)) or 0
        keys = (await session.scalars(sa.select(ApiKey))).all()
    problems = [*fleet.ledger.problems, *_contradictions(fleet, rows, owed, keys)]
    if pending:
        problems.append(f"{pending} announcements are left")
    ends_s = sorted(((row.completed_ms or 0) - START_MS) / 1000 for row in rows)
    accepted = Counter[str]()
    for receiver in fleet.receivers.values():
        accepted += receiver.accepted
    from_s, until_s = ends_s[len(ends_s) // 20], ends_s[len(ends_s) * 9 // 10]
    return Figures(
        problems=problems,
        events=fleet.ledger.events,
        rows=_waits(fleet, rows),
        busy=_busy(fleet, scenario, from_s, until_s),
        per_s=sum(from_s <= end_s < until_s for end_s in ends_s) / (until_s - from_s),
        ideal_per_s=_ideal_per_s(fleet, scenario),
        ended_s=ends_s[-1],
        over_s=fleet.clock.now_s,
        statements=Counter(),
        taken_ms=dict(fleet.stopwatch.taken_ms),
        wall_s=0.0,
        duplicates=accepted.total() - len(accepted),
        delivered=sum(row.state == OutboxState.DELIVERED for row in owed),
        dead=sum(row.state == OutboxState.DEAD for row in owed),
        server={},
    )


def _contradictions(fleet: Fleet, rows: Sequence[Task], owed: Sequence[Outbox], keys: Sequence[ApiKey]) -> list[str]:
    """What the database says at the end, against what the workers saw."""
    ledger, found = fleet.ledger, []
    for row in rows:
        if row.status not in (TaskStatus.SUCCEEDED, TaskStatus.FAILED) or ledger.ended[row.id] != 1:
            found.append(f"{row.id} is {row.status}, and ended {ledger.ended[row.id]} times")
        if row.fence != 1 + ledger.returns[row.id]:
            found.append(f"{row.id} was claimed {row.fence} times, and returned {ledger.returns[row.id]} times")
        if row.status == TaskStatus.SUCCEEDED and row.attempt != 1 + ledger.lost[row.id]:
            found.append(f"{row.id} counts {row.attempt} attempts, and lost {ledger.lost[row.id]} workers")
    if len(rows) != len(fleet.songs):
        found.append(f"{len(rows)} tasks of {len(fleet.songs)}")
    if Counter(row.task_id for row in owed) != Counter(row.id for row in rows):
        found.append("not one callback for every task")
    accepted = {event for receiver in fleet.receivers.values() for event in receiver.accepted}
    if accepted != {row.id for row in owed if row.state == OutboxState.DELIVERED}:
        found.append("what receivers accepted is not what was delivered")
    prices = parse_prices(fleet.context.settings.prices)
    paid = sum(prices[TaskKind(row.kind)].of(row.audio_s) for row in rows if row.status == TaskStatus.SUCCEEDED)
    if sum(key.credits_spent for key in keys) != paid:
        found.append("credits are not those of the tasks that succeeded")
    return found


def _waits(fleet: Fleet, rows: Sequence[Task]) -> dict[str, tuple[int, float, float, float]]:
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        customer = fleet.by_task[row.id].customer.split()[0]
        first_s = fleet.first_claim_s[row.id] - (row.created_ms - START_MS) / 1000
        groups.setdefault(customer, []).append((first_s, ((row.completed_ms or 0) - row.created_ms) / 1000))
    out = {}
    for customer, pairs in groups.items():
        done = [pair[1] for pair in pairs]
        p50, p95 = np.percentile(done, [50, 95])
        out[customer] = (len(pairs), float(np.median([pair[0] for pair in pairs])), float(p50), float(p95))
    return out


def _busy(fleet: Fleet, scenario: Scenario, from_s: float, until_s: float) -> dict[str, float]:
    """Of the time that all places of a kind had, outages included, the share that they were taken."""
    taken: Counter[str] = Counter()
    for kind, began_s, ended_s in fleet.busy:
        taken[kind] += max(0.0, min(ended_s, until_s) - max(began_s, from_s))  # type: ignore[assignment]
    return {
        kind: taken[kind] / (number * places * (until_s - from_s))
        for (kind, _, places), number in zip(KINDS, scenario.workers, strict=True)
    }


def _ideal_per_s(fleet: Fleet, scenario: Scenario) -> float:
    """What the narrowest queue lets through: its places, by the mean time that a task takes one of them.

    Of their time, places have what outages leave; what those destroy is not counted.
    """
    lost = sum(share * mean_s for _, share, mean_s in OUTAGES)
    up = scenario.outage_every_s / (scenario.outage_every_s + lost)
    most = []
    for (_, queue, places), number in zip(KINDS, scenario.workers, strict=True):
        need_s = [_need_s(song, queue) for song in fleet.songs]
        most.append(up * number * places / (sum(need_s) / len(need_s)))
    return min(most)


def _need_s(song: Song, queue: Queue) -> float:
    if song.kind == TaskKind.WAV:
        return song.work_s[queue] * (1 + song.by_url) if queue == Queue.IO else 0.0
    if queue == Queue.IO:
        return song.work_s[queue] if song.by_url else 0.0
    return song.work_s[queue]


def show(figures: Figures, scenario: Scenario) -> None:
    events, n = figures.events, scenario.n_tasks
    print(f"{n} tasks, {sum(scenario.workers)} workers, {'first come, first served' if scenario.fifo else 'turns'}")
    print(f"what may not be: {'; '.join(figures.problems[:5]) or 'nothing'}\n")
    print("| event | number |\n|---|---|")
    for name, number in sorted(events.items()):
        print(f"| {name} | {number} |")
    callbacks = f"{figures.delivered} / {figures.dead} / {figures.duplicates}"
    print(f"| callbacks delivered / given up / accepted twice | {callbacks} |")
    print("\n| customers | tasks | s until begun, median | s until done, median | 95th percentile |")
    print("|---|---|---|---|---|")
    for customer, (number, begun_s, p50_s, p95_s) in sorted(figures.rows.items()):
        print(f"| {customer} | {number} | {begun_s:.0f} | {p50_s:.0f} | {p95_s:.0f} |")
    print("\n| workers | taken, share of all time |\n|---|---|")
    for kind, share in figures.busy.items():
        print(f"| {kind} | {share:.3f} |")
    per_h, ideal_per_h = 3600 * figures.per_s, 3600 * figures.ideal_per_s
    print(f"\n{per_h:.0f} tasks an hour; by the formula, the narrowest queue lets {ideal_per_h:.0f} through.")
    print(f"All ended after {figures.ended_s / 3600:.2f} h; the last callback by {figures.over_s / 3600:.2f} h.")
    print("\n| operation | per task | real ms, median | 95th percentile |\n|---|---|---|---|")
    for what, taken in sorted(figures.taken_ms.items()):
        p50, p95 = np.percentile(taken, [50, 95])
        print(f"| {what} | {len(taken) / n:.2f} | {p50:.1f} | {p95:.1f} |")
    per_task = {word: count / n for word, count in figures.statements.most_common()}
    print("\nstatements per task: " + ", ".join(f"{word} {count:.1f}" for word, count in per_task.items()))
    for name, value in figures.server.items():
        print(f"{name} per task: {value / n:.1f}")
    print(f"{figures.wall_s:.0f} s real time, {figures.statements.total() / figures.wall_s:.0f} statements a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs=3, default=(6, 34, 10), metavar=("GPU", "CPU", "LIGHT"))
    parser.add_argument("--gpu", type=float, default=100.0, help="times real time, of a GPU")
    parser.add_argument("--cpu", type=float, default=11.4, help="times real time, of a CPU worker that writes down")
    parser.add_argument("--hours", type=float, default=1.5, help="over which songs come")
    parser.add_argument("--outage-every", type=float, default=1800.0, help="seconds, mean, of each worker")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fifo", action="store_true", help="first come, first served")
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    scenario = Scenario(
        options.tasks, tuple(options.workers), options.gpu, options.cpu, options.hours, options.outage_every,
        options.seed, options.fifo,
    )  # fmt: skip
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.sqlite:
            url = f"sqlite+aiosqlite:///{folder / 'fleet.db'}"
            asyncio.run(migrate(url))
            figures = asyncio.run(simulate(url, folder, scenario, tells=True))
        else:
            with running_postgres() as server, migrated_database(server.url, _UNFLUSHED) as url:
                figures = asyncio.run(simulate(url, folder, scenario, tells=True))
    show(figures, scenario)
    sys.exit(bool(figures.problems))


if __name__ == "__main__":
    main()
