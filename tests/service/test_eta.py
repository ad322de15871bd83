"""When a task should be done."""

from typing import Any

import pytest

from service.db.models import Task, TaskKind, TaskStatus
from service.eta import eta_s

NOW_MS = 1_800_000_000_000
SPEEDS = {"separation": 2.0, "transcription": 0.5, "wav": 0.01}


def task(status: TaskStatus = TaskStatus.QUEUED, kind: TaskKind = TaskKind.SEPARATION, **values: Any) -> Task:
    given = {"progress": 0.0, "audio_s": 100.0, "due_ms": NOW_MS, "lease_owner": None, "started_ms": None, **values}
    return Task(status=status, kind=kind, **given)


def running(progress: float, **values: Any) -> Task:
    return task(TaskStatus.RUNNING, progress=progress, **{"lease_owner": "one", "started_ms": NOW_MS, **values})


@pytest.mark.parametrize("status", [TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_what_has_ended_takes_no_time(status: TaskStatus) -> None:
    assert eta_s(task(status), [], {}, NOW_MS) == 0


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [(TaskKind.SEPARATION, 200), (TaskKind.MIDI, 50), (TaskKind.TRANSCRIPTION, 250), (TaskKind.WAV, 1)],
)
def test_its_own_work(kind: TaskKind, seconds: float) -> None:
    assert eta_s(task(kind=kind), [], SPEEDS, NOW_MS) == seconds
    assert eta_s(running(0.75, kind=kind), [], SPEEDS, NOW_MS) == pytest.approx(seconds / 4, abs=0.06)


def test_what_is_before_it_is_shared_by_the_workers() -> None:
    waiting = [task(), task(kind=TaskKind.WAV)]
    assert eta_s(task(), waiting, SPEEDS, NOW_MS) == 200 + 1 + 200
    assert eta_s(task(), [running(0.5), *waiting], SPEEDS, NOW_MS) == 100 + 200 + 1 + 200
    two = [running(0.5), running(0.25, lease_owner="two")]
    assert eta_s(task(), [*two, *waiting], SPEEDS, NOW_MS) == (100 + 150 + 200 + 1) / 2 + 200


def test_a_task_of_unknown_length_before_it_counts_as_long_as_its_own() -> None:
    assert eta_s(task(), [task(audio_s=None)], SPEEDS, NOW_MS) == 400
    assert eta_s(task(), [running(0.5, audio_s=None)], SPEEDS, NOW_MS) == 300


def test_a_retry_waits_until_it_is_due() -> None:
    assert eta_s(task(due_ms=NOW_MS + 30_000), [], SPEEDS, NOW_MS) == 230
    assert eta_s(task(due_ms=NOW_MS + 30_000), [task()], SPEEDS, NOW_MS) == 400
    assert eta_s(task(due_ms=NOW_MS - 30_000), [], SPEEDS, NOW_MS) == 200


def test_nobody_knows() -> None:
    assert eta_s(task(audio_s=None), [], SPEEDS, NOW_MS) is None
    assert eta_s(task(kind=TaskKind.TRANSCRIPTION), [], {"separation": 2.0}, NOW_MS) is None
    assert eta_s(running(0.0, audio_s=None), [], SPEEDS, NOW_MS) is None
    assert eta_s(running(0.01), [], {}, NOW_MS + 60_000) is None


def test_without_a_speed_it_goes_on_as_it_went_so_far() -> None:
    assert eta_s(running(0.25), [], {}, NOW_MS + 60_000) == 180
    assert eta_s(running(1.0), [], {}, NOW_MS + 60_000) == 0
    assert eta_s(running(0.5), [], {}, NOW_MS - 5_000) == 0  # a clock that was set back
