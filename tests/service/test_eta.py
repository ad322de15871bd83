"""When a task should be done."""

from typing import Any

import pytest

from service.context import Context
from service.db.models import ApiKey, Task, TaskKind, TaskStatus
from service.eta import eta_s
from service.store.records import NewTask
from service.store.speeds import Ahead, Running, Waiting
from support.clock import ManualClock

NOW_MS = 1_800_000_000_000
SPEEDS = {"separation": 2.0, "transcription": 0.5, "wav": 0.01}


def task(status: TaskStatus = TaskStatus.QUEUED, kind: TaskKind = TaskKind.SEPARATION, **values: Any) -> Task:
    given = {"progress": 0.0, "audio_s": 100.0, "due_ms": NOW_MS, "lease_owner": None, "started_ms": None, **values}
    return Task(status=status, kind=kind, **given)


def running(progress: float, **values: Any) -> Task:
    return task(TaskStatus.RUNNING, progress=progress, **{"lease_owner": "one", "started_ms": NOW_MS, **values})


@pytest.mark.parametrize("status", [TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_what_has_ended_takes_no_time(status: TaskStatus) -> None:
    assert eta_s(task(status), Ahead(), {}, NOW_MS) == 0


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [(TaskKind.SEPARATION, 200), (TaskKind.MIDI, 50), (TaskKind.TRANSCRIPTION, 250), (TaskKind.WAV, 1)],
)
def test_its_own_work(kind: TaskKind, seconds: float) -> None:
    assert eta_s(task(kind=kind), Ahead(), SPEEDS, NOW_MS) == seconds
    assert eta_s(running(0.75, kind=kind), Ahead(), SPEEDS, NOW_MS) == pytest.approx(seconds / 4, abs=0.06)


SEPARATING = Running(TaskKind.SEPARATION, 100.0, 0.5, "one")


def test_what_is_before_it_is_shared_by_the_workers() -> None:
    waiting = [Waiting(TaskKind.SEPARATION, 150.0, 2, 0), Waiting(TaskKind.WAV, 100.0, 1, 0)]
    assert eta_s(task(), Ahead(waiting=waiting), SPEEDS, NOW_MS) == 300 + 1 + 200
    assert eta_s(task(), Ahead([SEPARATING], waiting), SPEEDS, NOW_MS) == 100 + 300 + 1 + 200
    two = [SEPARATING, Running(TaskKind.SEPARATION, 100.0, 0.25, "two")]
    assert eta_s(task(), Ahead(two, waiting), SPEEDS, NOW_MS) == (100 + 150 + 300 + 1) / 2 + 200


def test_a_task_of_unknown_length_or_speed_before_it_counts_as_long_as_its_own() -> None:
    waiting = [Waiting(TaskKind.SEPARATION, 0.0, 0, 2), Waiting(TaskKind.WAV, 100.0, 1, 1)]
    assert eta_s(task(), Ahead(waiting=waiting), SPEEDS, NOW_MS) == 400 + 1 + 200 + 200
    assert eta_s(task(), Ahead(waiting=waiting), {"separation": 2.0}, NOW_MS) == 400 + 200 + 200 + 200
    running = Running(TaskKind.SEPARATION, None, 0.5, "one")
    assert eta_s(task(), Ahead([running]), SPEEDS, NOW_MS) == 300


async def test_what_is_before_it_is_added_up_by_the_database(context: Context, key: ApiKey, clock: ManualClock) -> None:
    async def queue(kind: TaskKind, audio_s: float | None) -> Task:
        clock.advance(1)
        return await context.store.tasks.create(NewTask(key_id=key.id, kind=kind, audio_s=audio_s))

    first = await queue(TaskKind.SEPARATION, 30.0)
    assert await context.store.speeds.ahead(first) == Ahead([], [])
    await context.store.leases.claim("one")
    for audio_s in (10.0, None, 2.5, None):
        await queue(TaskKind.SEPARATION, audio_s)
    await queue(TaskKind.WAV, None)
    last = await queue(TaskKind.MIDI, 1.0)
    await queue(TaskKind.MIDI, 1000.0)  # after it
    ahead = await context.store.speeds.ahead(last)
    assert ahead.running == [Running(TaskKind.SEPARATION, 30.0, 0.0, "one")]
    assert sorted(ahead.waiting, key=lambda some: some.kind) == [
        Waiting(TaskKind.SEPARATION, 12.5, 2, 2), Waiting(TaskKind.WAV, 0.0, 0, 1),
    ]  # fmt: skip


def test_a_retry_waits_until_it_is_due() -> None:
    assert eta_s(task(due_ms=NOW_MS + 30_000), Ahead(), SPEEDS, NOW_MS) == 230
    assert (
        eta_s(task(due_ms=NOW_MS + 30_000), Ahead(waiting=[Waiting(TaskKind.SEPARATION, 100.0, 1, 0)]), SPEEDS, NOW_MS)
        == 400
    )
    assert eta_s(task(due_ms=NOW_MS - 30_000), Ahead(), SPEEDS, NOW_MS) == 200


def test_nobody_knows() -> None:
    assert eta_s(task(audio_s=None), Ahead(), SPEEDS, NOW_MS) is None
    assert eta_s(task(kind=TaskKind.TRANSCRIPTION), Ahead(), {"separation": 2.0}, NOW_MS) is None
    assert eta_s(running(0.0, audio_s=None), Ahead(), SPEEDS, NOW_MS) is None
    assert eta_s(running(0.01), Ahead(), {}, NOW_MS + 60_000) is None


def test_without_a_speed_it_goes_on_as_it_went_so_far() -> None:
    assert eta_s(running(0.25), Ahead(), {}, NOW_MS + 60_000) == 180
    assert eta_s(running(1.0), Ahead(), {}, NOW_MS + 60_000) == 0
    assert eta_s(running(0.5), Ahead(), {}, NOW_MS - 5_000) == 0  # a clock that was set back
