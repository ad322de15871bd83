"""Workers that die without a word, at every part of a task: it is finished, once, and as if nothing had happened."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from support.embedded import (
    check_callback,
    check_clean,
    check_success,
    rows,
    sha256_of_files,
    transcribe,
    until,
    wait_for_end,
)
from support.fleet import Receiver
from support.process import RunningService, running_service

pytestmark = [pytest.mark.chaos, pytest.mark.weights]

Moment = Callable[[RunningService, str], bool]

LEASE_S = "3"
_STAGE = "SELECT id FROM stages WHERE task_id = ? AND name = 'separation'"
_PROGRESS = "SELECT progress FROM tasks WHERE id = ?"
_STATUS = "SELECT status FROM tasks WHERE id = ?"
_ANNOUNCED = "SELECT 1 FROM pending_files WHERE task_id = ? AND fence > 0"


def kill_worker(service: RunningService, task_id: str, moment: Moment, attempt: int = 1) -> None:
    """Kill it at a moment of an attempt at a task."""
    worker = service.worker()

    def has_come() -> bool:
        attempts = rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id)
        return attempts == [(attempt,)] and moment(service, task_id)

    until(has_come, service, f"the moment of attempt {attempt} did not come")
    worker.kill()
    worker.wait(10)
    assert rows(service, _STATUS, task_id) == [("running",)]


def claimed(service: RunningService, task_id: str) -> bool:
    return rows(service, _STATUS, task_id) == [("running",)]


def a_quarter(service: RunningService, task_id: str) -> bool:
    return rows(service, _PROGRESS, task_id)[0][0] >= 0.25


def half(service: RunningService, task_id: str) -> bool:
    return rows(service, _PROGRESS, task_id)[0][0] >= 0.5


def stems_being_stored(service: RunningService, task_id: str) -> bool:
    return bool(rows(service, _ANNOUNCED, task_id))


def notes_being_written(service: RunningService, task_id: str) -> bool:
    return bool(rows(service, _STAGE, task_id))


def results_being_stored(service: RunningService, task_id: str) -> bool:
    return bool(rows(service, _STAGE, task_id)) and bool(rows(service, _ANNOUNCED, task_id))


@pytest.mark.parametrize("moment", [claimed, a_quarter, half, stems_being_stored])
def test_killed_before_the_stems_are_recorded(
    moment: Moment,
    tmp_path: Path,
    whole_song: bytes,
    whole_song_files: dict[str, str],
    receiver: Receiver,
) -> None:
    """At 0, 25 and 50 % of a task, and between storing and recording its first stage."""
    with running_service(tmp_path, lease_seconds=LEASE_S) as service:
        task_id = transcribe(service, whole_song, receiver.url("song"))
        kill_worker(service, task_id, moment)
        assert rows(service, _STAGE, task_id) == []
        check_success(service, task_id, whole_song_files, receiver, "song")
        assert rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id) == [(2,)]


@pytest.mark.parametrize("moment", [notes_being_written, results_being_stored])
def test_killed_after_the_stems_are_recorded(
    moment: Moment,
    tmp_path: Path,
    whole_song: bytes,
    whole_song_files: dict[str, str],
    receiver: Receiver,
) -> None:
    """At 75 and 99 % of a task: what is done for good is not done again."""
    with running_service(tmp_path, lease_seconds=LEASE_S) as service:
        task_id = transcribe(service, whole_song, receiver.url("song"))
        kill_worker(service, task_id, moment)
        [stage] = rows(service, _STAGE, task_id)
        check_success(service, task_id, whole_song_files, receiver, "song")
        assert rows(service, _STAGE, task_id) == [stage], "made anew, it would have another id"
        check_served_again(service, whole_song, whole_song_files)


def check_served_again(service: RunningService, song: bytes, files: dict[str, str]) -> None:
    """What was made by two workers serves the next task over the same song."""
    done = separations(service)
    task_id = transcribe(service, song)
    assert wait_for_end(service, task_id)["status"] == "succeeded"
    assert sha256_of_files(service, task_id) == files
    assert separations(service) == done <= 1


def separations(service: RunningService) -> float:
    """How many were done to their end, says the service."""
    exposed = httpx.get(f"{service.base_url}/health/metrics", timeout=30).text
    counted = re.search(r'^stemscribe_stage_seconds_count\{stage="separation"\} (\S+)$', exposed, re.MULTILINE)
    return float(counted.group(1)) if counted else 0.0


def test_killed_again_and_again(tmp_path: Path, whole_song: bytes, receiver: Receiver) -> None:
    """The third death fails the task, in plain words; it costs nothing, and nothing of it stays but what was sent."""
    with running_service(tmp_path, lease_seconds=LEASE_S) as service:
        task_id = transcribe(service, whole_song, receiver.url("song"))
        moments = [notes_being_written, claimed, claimed]
        for attempt, moment in enumerate(moments, start=1):
            kill_worker(service, task_id, moment, attempt)
        shown = wait_for_end(service, task_id)
        assert shown["status"] == "failed"
        assert shown["error"]["code"] == "worker_lost"
        assert shown["error"]["message"] == "The worker stopped 3 times while working on this task."
        check_callback(service, task_id, receiver, "song")
        assert rows(service, "SELECT sum(amount), count(*) FROM credit_entries WHERE task_id = ?", task_id) == [(0, 2)]
        assert rows(service, "SELECT sum(credits_spent) FROM api_keys") == [(0,)]
        until(lambda: not rows(service, _STAGE, task_id), service, "stages of a failed task stay")
        check_clean(service)
        assert rows(service, "SELECT role FROM files WHERE task_id = ?", task_id) == [("source",)]
