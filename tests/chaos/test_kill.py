"""Ends of the embedded service that somebody wants: nothing is lost, and no process is left behind."""

import signal
from pathlib import Path

import psutil
import pytest

from support.embedded import rows, show, song, transcribe, until
from support.fleet import Receiver
from support.process import running_service

pytestmark = [pytest.mark.chaos, pytest.mark.weights]


def test_one_ctrl_c_hands_back_and_the_next_start_finishes(tmp_path: Path, receiver: Receiver) -> None:
    long_song = song(25.0)  # what is nearly done is finished first
    with running_service(tmp_path) as service:
        task_id = transcribe(service, long_song, receiver.url("done"))
        until(lambda: show(service, task_id)["progress"] >= 0.2, service, "it was not begun")
        family = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children(recursive=True)]
        assert service.stop(signal.SIGINT) == 0
        assert [member for member in family if member.is_running()] == []
        assert "handed back" in service.log.read_text()
    with running_service(tmp_path, token=service.token) as service:
        until(lambda: receiver.ids("done"), service, "no callback came")
        [owed] = rows(service, "SELECT id FROM outbox")
        assert set(receiver.ids("done")) == {owed[0]}
        assert show(service, task_id)["status"] == "succeeded"
        assert rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id) == [(1,)], "that was no attempt"


def test_a_worker_never_outlives_its_parent(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        worker = service.worker()
        service.process.kill()
        worker.wait(60)  # it may be starting, which takes long on a busy machine
        assert not worker.is_running()
