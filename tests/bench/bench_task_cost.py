"""What a task costs the servers behind: ``python tests/bench/bench_task_cost.py``.

A fleet of one API and one worker with the fake pipeline, on private PostgreSQL, Redis and S3 servers: whole songs are
uploaded one after the other (``POST /v1/transcriptions``), separated and written down, and their callbacks delivered.
Counted by the servers themselves: statements, transactions, bytes of the write-ahead log, Redis commands, S3 requests.
What an idle fleet asks of the database in the same time is taken off, and told on its own. A busy worker asks Redis for
nothing, so that only idle ones matter there. The fake notes are the same for every song: they are stored once, and only
looked for after that.
"""

import argparse
import collections
import contextlib
import dataclasses
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.fleet import Fleet, running_fleet
from support.fleet_songs import transcribe

IDLE_S = 10.0
# Without those by which the bench looks whether all is done.
_STATEMENT = re.compile(r"(?:execute [^:]*|statement): *(\w+)\b(?! id, queue, status| task_id, attempts, due_ms)")
_S3_REQUEST = re.compile(r'"(GET|PUT|POST|HEAD|DELETE) ')
WRITES = ("INSERT", "UPDATE", "DELETE")
OF_IDLE_ONES = ("statements that read", "transactions", "of them with a commit")


@dataclasses.dataclass
class Counts:
    """Of the servers, since they were started."""

    at_s: float
    statements: Counter[str]
    wal_bytes: float
    redis: float
    s3: Counter[str]


def counts(fleet: Fleet) -> Counts:
    time.sleep(1.2)  # statistics and logs come late
    [wal] = fleet.rows("SELECT (pg_current_wal_lsn() - '0/0')::float8 AS bytes")
    log = Path(fleet.postgres.installed.log).read_text(errors="replace")
    with contextlib.closing(fleet.redis.client()) as client:
        redis = float(client.info("stats")["total_commands_processed"])
    s3 = (fleet.folder / "s3.log").read_text(errors="replace")
    statements = collections.Counter(word.upper() for word in _STATEMENT.findall(log))
    return Counts(time.monotonic(), statements, wal["bytes"], redis, Counter(_S3_REQUEST.findall(s3)))


def between(before: Counts, after: Counts) -> dict[str, float]:
    """What came between two moments."""
    ran = {word: after.statements[word] - before.statements[word] for word in after.statements}
    writes = sum(ran.get(word, 0) for word in WRITES)
    s3 = {word: after.s3[word] - before.s3[word] for word in after.s3}
    return {
        "statements that read": ran.get("SELECT", 0),
        "statements that write": writes,
        "transactions": ran.get("COMMIT", 0) + ran.get("ROLLBACK", 0),
        "of them with a commit": ran.get("COMMIT", 0),
        "write-ahead log, kB": (after.wal_bytes - before.wal_bytes) / 1000,
        "Redis commands": after.redis - before.redis,
        **{f"S3 {word}": count for word, count in sorted(s3.items())},
    }


def measure(fleet: Fleet, first: int, number: int) -> tuple[dict[str, float], float]:
    before = counts(fleet)
    for n in range(first, first + number):
        transcribe(fleet, [n])
        fleet.until_idle()
    after = counts(fleet)
    return between(before, after), after.at_s - before.at_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="stemscribe-bench-") as folder,
        running_fleet(Path(folder), lease_seconds="30") as fleet,
    ):
        fleet.rows("ALTER SYSTEM SET log_statement = 'all'")
        fleet.rows("SELECT pg_reload_conf()")
        columns = {}
        for stage_s in (0.0, 5.0):
            worker = fleet.start_worker(seconds=stage_s)
            measure(fleet, 1000 + int(stage_s), 1)
            before = counts(fleet)
            time.sleep(IDLE_S)
            after = counts(fleet)
            idle = {what: n / (after.at_s - before.at_s) for what, n in between(before, after).items()}
            number = options.tasks if stage_s == 0 else max(2, options.tasks // 4)
            found, took_s = measure(fleet, 1100 + 100 * int(stage_s), number)
            columns[stage_s] = {
                what: (count - idle[what] * took_s * (what in OF_IDLE_ONES)) / number for what, count in found.items()
            }
            worker.kill()
    print(
        "| a whole song | its stages taking no time | each second that they take | one idle API and worker, a second |"
    )
    print("|---|---|---|---|")
    for what, count in columns[0.0].items():
        per_s = (columns[5.0].get(what, 0.0) - count) / 10.0  # two stages of five seconds
        cells = ("", "") if what == "Redis commands" else (f"{count:.1f}", f"{per_s:.1f}")
        print(f"| {what} | " + " | ".join(cells) + f" | {idle[what]:.1f} |")


if __name__ == "__main__":
    main()
