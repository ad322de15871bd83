"""Workers that die without a word, at every part of a task: it is finished, once, and as if nothing had happened."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.embedded import check_callback, check_clean, check_success, rows, transcribe, until, wait_for_end
from support.fleet import Receiver
from support.process import RunningService, running_service

pytestmark = [pytest.mark.chaos, pytest.mark.weights]

LEASE_S = "3"
_STAGE = "SELECT id FROM stages WHERE task_id = ? AND name = 'separation'"
_PROGRESS = "SELECT progress FROM tasks WHERE id = ?"
_STATUS = "SELECT status FROM tasks WHERE id = ?"
_ANNOUNCED = "SELECT 1 FROM pending_files WHERE task_id = ? AND fence > 0"


def kill_worker(service: RunningService) -> None:
    worker = service.worker()
    worker.kill()
    worker.wait(10)


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
    moment: Callable[[RunningService, str], bool],
    tmp_path: Path,
    whole_song: bytes,
    whole_song_files: dict[str, str],
    receiver: Receiver,
) -> None:
    """At 0, 25 and 50 % of a task, and between storing and recording its first stage."""
    with running_service(tmp_path, lease_seconds=LEASE_S) as service:
        task_id = transcribe(service, whole_song, receiver.url("song"))
        until(lambda: moment(service, task_id), service, "the moment did not come")
        kill_worker(service)
        assert rows(service, _STATUS, task_id) == [("running",)]
        assert rows(service, _STAGE, task_id) == []
        check_success(service, task_id, whole_song_files, receiver, "song")
        assert rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id) == [(2,)]


@pytest.mark.parametrize("moment", [notes_being_written, results_being_stored])
def test_killed_after_the_stems_are_recorded(
    moment: Callable[[RunningService, str], bool],
    tmp_path: Path,
    whole_song: bytes,
    whole_song_files: dict[str, str],
    receiver: Receiver,
) -> None:
    """At 75 and 99 % of a task: what is done for good is not done again."""
    with running_service(tmp_path, lease_seconds=LEASE_S) as service:
        task_id = transcribe(service, whole_song, receiver.url("song"))
        until(lambda: moment(service, task_id), service, "the moment did not come")
        kill_worker(service)
        assert rows(service, _STATUS, task_id) == [("running",)]
        [stage] = rows(service, _STAGE, task_id)
        check_success(service, task_id, whole_song_files, receiver, "song")
        assert rows(service, _STAGE, task_id) == [stage], "made anew, it would have another id"


def test_killed_again_and_again(tmp_path: Path, whole_song: bytes, receiver: Receiver) -> None:
    """The third death fails the task, in plain words; it costs nothing, and nothing of it stays but what was sent."""
    with running_service(tmp_path, lease_seconds=LEASE_S) as service:
        task_id = transcribe(service, whole_song, receiver.url("song"))
        moments = [notes_being_written, claimed, claimed]
        for attempt, moment in enumerate(moments, start=1):
            until(
                lambda attempt=attempt, moment=moment: (
                    rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id) == [(attempt,)]
                    and moment(service, task_id)
                ),
                service,
                f"the moment of attempt {attempt} did not come",
            )
            kill_worker(service)
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
