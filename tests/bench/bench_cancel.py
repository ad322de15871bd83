"""How soon a cancelled task stops: ``python tests/bench/bench_cancel.py``.

Starts the service as a user does, with the real weights.  A song is cancelled in the middle of its separation while a
short one waits behind it: from the ``DELETE`` until the worker begins with the short one is how long it took to stop.
The first song in a process also loads the models; it is left out.
"""

import argparse
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.audio import wav_bytes
from support.process import running_service


class _Client:
    def __init__(self, base_url: str, headers: dict[str, str]) -> None:
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False)

    def transcribe(self, song: bytes) -> str:
        answer = self._http.post("/v1/transcriptions", files={"file": ("song.wav", song)})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        return self._http.get(f"/v1/tasks/{task_id}", params={"notes": "false"}).json()

    def until(self, task_id: str, progress: float) -> dict[str, Any]:
        while (task := self.task(task_id))["progress"] < progress and task["status"] in ("queued", "running"):
            time.sleep(0.05)
        return task

    def cancel(self, task_id: str) -> None:
        assert self._http.delete(f"/v1/tasks/{task_id}").json()["status"] == "cancelled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    song, short = wav_bytes(60.0), wav_bytes(1.0)
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service:
        client = _Client(service.base_url, service.headers)
        client.until(client.transcribe(short), 1.0)
        for number in range(options.rounds):
            cancelled, next_one = client.transcribe(song), client.transcribe(short)
            client.until(cancelled, 0.1 + 0.1 * number)
            asked_s = time.time()
            client.cancel(cancelled)
            started = client.until(next_one, 1.0)["started_at"]
            waits.append(datetime.fromisoformat(started).timestamp() - asked_s)
    print(f"stopped after {statistics.median(waits):.2f} s (median of {len(waits)}), {max(waits):.2f} s at the longest")


if __name__ == "__main__":
    main()
