"""What a second worker process brings: ``python tests/bench/bench_workers.py``.

1. Tasks whose work is a second of sleep with progress reports, done by one worker process and by two, which take turns:
   throughput from when each has ended one to the last end. The target is 1.95 times as much.
2. Callbacks delivered per second by one worker process and by two, from a backlog in the outbox; to one receiver, of
   which a process asks four things at once, and to eight.

Real processes on a private PostgreSQL and Redis, files in a local folder.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.audio import wav_bytes
from support.fleet import Fleet, running_fleet
from support.servers import answer, http_server

WORK_S = 1.0
ANSWER_S = 0.05
_OWE = """
WITH owner AS (SELECT id FROM api_keys LIMIT 1), made AS (
    INSERT INTO tasks (id, key_id, kind, dialect, status, params, callback_url, progress, credits, queue, turn,
        priority, due_ms, attempt, fence, created_ms, completed_ms, expires_ms)
    SELECT md5($1 || n), owner.id, 'wav', 'native', 'failed', '{}', '', 1, 0, 'io', 0, 0, 0, 1, 1, 0, 0, 4000000000000
    FROM generate_series(1, $2::int) AS n, owner RETURNING id)
INSERT INTO outbox (id, task_id, url, state, attempts, retries_from, due_ms, created_ms)
SELECT 'evt_' || id, id, ($3::text[])[1 + abs(hashtext(id)) % cardinality($3::text[])], 'pending', 0, 0, 0, 0 FROM made
"""


def throughput(fleet: Fleet, workers: int, n_tasks: int) -> float:
    """Tasks per second."""
    members = fleet.start_workers(workers, seconds=WORK_S)
    song = fleet.upload(wav_bytes())
    source = {"taskId": song["taskId"], "audioId": song["audioId"]}
    callback = fleet.receiver.url("any")
    ids = [fleet.generate("vocal-removal", **source, type="split_stem", callBackUrl=callback) for _ in range(n_tasks)]
    fleet.until_idle()
    for member in members:
        member.kill()
    rows = fleet.rows(
        "SELECT completed_ms FROM tasks WHERE id = ANY($1) AND status = 'succeeded' AND attempt = 1 ORDER BY 1", ids
    )
    ended_ms = [row["completed_ms"] for row in rows]
    assert len(ended_ms) == n_tasks
    first_ms = ended_ms[workers - 1]  # each worker has ended one: how long the first took to get going does not count
    return 1000 * (n_tasks - workers) / (ended_ms[-1] - first_ms)


def callbacks(fleet: Fleet, workers: int, urls: list[str], number: int) -> float:
    """Callbacks per second."""
    members = fleet.start_workers(workers, ["io"], seconds=0.0)
    name = f"{workers} {len(urls)} {time.time_ns()}"
    fleet.rows(_OWE, name, number, urls)
    fleet.until_idle()
    for member in members:
        member.kill()
    [row] = fleet.rows(
        "SELECT min(started_ms) AS began, max(started_ms + duration_ms) AS ended, count(*) AS attempts FROM deliveries "
        "JOIN outbox ON outbox.id = outbox_id "
        "WHERE task_id IN (SELECT md5($1 || n) FROM generate_series(1, $2::int) AS n)",
        name,
        number,
    )
    assert row["attempts"] == number
    return 1000 * number / (row["ended"] - row["began"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--callbacks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    settings: dict[str, Any] = {"storage_url": "", "reuse_results": "false", "lease_seconds": "30"}
    with (
        tempfile.TemporaryDirectory(prefix="stemscribe-bench-") as folder,
        running_fleet(Path(folder), **settings) as fleet,
    ):
        _throughputs(fleet, options)
        _callbacks(fleet, options)


def _throughputs(fleet: Fleet, options: argparse.Namespace) -> None:
    per_s: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for workers, measured in per_s.items():
            measured.append(throughput(fleet, workers, options.tasks))
    print(f"\n| tasks of {WORK_S:g} s | per second, median | rounds |\n|---|---|---|")
    for workers, measured in per_s.items():
        rounds = ", ".join(f"{value:.3f}" for value in measured)
        print(f"| {workers} worker processes | {statistics.median(measured):.3f} | {rounds} |")
    ratios = [two / one for one, two in zip(per_s[1], per_s[2], strict=True)]
    print(f"\nratio, median of {options.rounds} pairs of runs: {statistics.median(ratios):.3f} (target 1.95)")


def _answer_late(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    time.sleep(ANSWER_S)
    answer(handler, 200)


def _callbacks(fleet: Fleet, options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        urls = [f"{stack.enter_context(http_server(_answer_late))}/callback" for _ in range(8)]
        print(
            f"\n| callbacks a second, answered after {1000 * ANSWER_S:g} ms | 1 process | 2 processes |\n|---|---|---|"
        )
        for number in (1, 8):
            cells = []
            for workers in (1, 2):
                rates = [callbacks(fleet, workers, urls[:number], options.callbacks) for _ in range(options.rounds)]
                cells.append(f"{statistics.median(rates):.0f}")
            print(f"| to {number} receivers | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
