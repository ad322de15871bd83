"""How soon a task is claimed after the API's 200: ``python tests/bench/bench_doorbell.py``.

Real processes on a private PostgreSQL: ``stemscribe api``, and one worker that is idle whenever it is asked.

1. With the doorbell: Redis and arq.
2. Without Redis: the worker looks into the database every quarter of a second.
3. Redis is set up, and down: it looks every five seconds.

From the moment the answer is there to ``started_ms`` of the task's row, which the claim writes by the database's clock;
below zero, the claim came before the client had its answer.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.audio import wav_bytes
from support.fleet import Fleet, running_fleet

EVERY_S = {"doorbell": 0.25, "no Redis": 0.25, "Redis down": 5.0}


def latencies_ms(fleet: Fleet, number: int, every_s: float) -> list[float]:
    """Asked at any moment of the worker's period, each when the one before has ended."""
    song = fleet.upload(wav_bytes())
    source = {"taskId": song["taskId"], "audioId": song["audioId"]}
    answered_ms = {}
    for _ in range(number):
        task_id = fleet.generate("vocal-removal", **source, type="split_stem", callBackUrl=fleet.receiver.url("any"))
        answered_ms[task_id] = time.time() * 1000
        fleet.wait("vocal-removal", task_id)
        time.sleep(random.uniform(0.2, 0.2 + every_s))
    rows = fleet.rows("SELECT id, started_ms FROM tasks WHERE id = ANY($1)", list(answered_ms))
    return [row["started_ms"] - answered_ms[row["id"]] for row in rows]


def measure(name: str, number: int, folder: Path) -> list[float]:
    folder.mkdir()
    settings = {"storage_url": "", "reuse_results": "false", "lease_seconds": "30"}
    if name == "no Redis":
        settings["redis_url"] = ""
    with running_fleet(folder, **settings) as fleet:
        fleet.start_worker(seconds=0.0)
        if name == "Redis down":
            fleet.redis.stop()
        latencies_ms(fleet, 3, 0.25)  # statements are compiled, connections opened
        return latencies_ms(fleet, number, EVERY_S[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50, help="of each way")
    parser.add_argument("--only", choices=tuple(EVERY_S))
    options = parser.parse_args()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| from the 200 to the claim, ms | tasks | p50 | p95 | longest |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="stemscribe-bench-") as folder:
        for name in [options.only] if options.only else EVERY_S:
            taken = measure(name, options.tasks, Path(folder) / name.replace(" ", "-"))
            p50, p95 = np.percentile(taken, [50, 95])
            print(f"| {name} | {len(taken)} | {p50:.0f} | {p95:.0f} | {max(taken):.0f} |", flush=True)


if __name__ == "__main__":
    main()
