"""Clocks that are wrong, and clocks that are set while a task runs."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from support import fake_worker
from support.fake_worker import read_runs
from support.fleet import Fleet, running_receiver
from support.fleet_songs import check, new_song, times_done, transcribe
from support.process import await_ready, environment, free_port, stemscribe

pytestmark = pytest.mark.chaos

HOUR_S = 3600
PATIENCE_S = 60.0


def test_workers_whose_clocks_are_an_hour_off(fleet: Fleet, tmp_path: Path) -> None:
    """The database's clock decides: nobody's lease is over early or late, and nobody waits for what is due."""
    workers = []
    for offset_s in (HOUR_S, -HOUR_S):
        clock = tmp_path / f"{offset_s}"
        clock.write_text(str(offset_s))
        workers += fleet.start_workers(1, seconds=3.5, tasks=2, clock=clock)  # each stage is longer than a lease
    songs = transcribe(fleet, range(4))
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)
    assert {run.pid for run in fleet.runs} == {worker.pid for worker in workers}, "both did some"
    assert not any(worker.says("fell silent") for worker in workers)


@contextlib.contextmanager
def embedded(folder: Path, clock: Path) -> Iterator[httpx.Client]:
    """An API and a worker over SQLite, on a machine with this clock; gives a client with a key."""
    port = free_port()
    env = {
        **environment(folder / "data", port=str(port), allow_addresses="127.0.0.0/8", worker_tasks="1"),
        "PYTHONPATH": str(Path(fake_worker.__file__).parents[1]),
        fake_worker.SECONDS: "3",
        fake_worker.RUNS: str(folder / "runs.jsonl"),
    }
    assert stemscribe("db", "upgrade", env=env).returncode == 0
    token = stemscribe("keys", "create", "tests", env=env).stdout.strip()
    with contextlib.ExitStack() as stack:
        started = {}
        for name, *command in (("api", "service.cli", "api"), ("worker", fake_worker.__name__, "separation,midi,io")):
            out = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "support.other_clock", str(clock), *command], env=env, stdout=out, stderr=out
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started[name] = process
        address = f"http://127.0.0.1:{port}"
        await_ready(address, started["api"], folder / "api.log")
        headers = {"Authorization": f"Bearer {token}"}
        yield stack.enter_context(httpx.Client(base_url=address, headers=headers, timeout=30))


def until(condition: Callable[[], object], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, (folder / "worker.log").read_text()[-3000:]
        time.sleep(0.05)


@pytest.mark.parametrize("jumps_s", [(HOUR_S, 0), (-HOUR_S, HOUR_S)], ids=["forth-and-back", "back-and-forth"])
def test_a_clock_that_is_set_while_a_task_runs(tmp_path: Path, jumps_s: tuple[int, int]) -> None:
    """Embedded there is no other clock than the machine's: its lease seems over, or far from it."""
    clock, runs = tmp_path / "clock", tmp_path / "runs.jsonl"
    clock.write_text("0")
    with running_receiver() as receiver, embedded(tmp_path, clock) as client:
        files, data = {"file": ("song.wav", new_song(1))}, {"callback_url": receiver.url("done")}
        task_id = client.post("/v1/transcriptions", files=files, data=data).raise_for_status().json()["id"]
        for stage, jump_s in zip(("separate", "transcribe"), jumps_s, strict=True):
            until(lambda stage=stage: (stage, "begin") in [(run.stage, run.event) for run in read_runs(runs)], tmp_path)
            clock.write_text(str(jump_s))
        until(lambda: client.get(f"/v1/tasks/{task_id}").json()["status"] == "succeeded", tmp_path)
        until(lambda: receiver.ids("done"), tmp_path)
        task = client.get(f"/v1/tasks/{task_id}").json()
    assert [(run.event, run.stage) for run in read_runs(runs)] == [
        ("begin", "separate"), ("end", "separate"), ("begin", "transcribe"), ("end", "transcribe"),
    ], "no attempt was lost"  # fmt: skip
    assert task["status"] == "succeeded"
    assert list(receiver.ids("done").values()) == [1]
