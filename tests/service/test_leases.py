"""Claims, fences and ends of tasks: what two workers may do to one task, and what they may not."""

import pytest
import sqlalchemy as sa

from service.context import Context
from service.db.models import ApiKey, Task, TaskKind, TaskStatus
from service.errors import LeaseLost
from service.store.leases import MAX_ATTEMPTS
from service.store.records import Claim, NewFile, NewTask, NewTrack, Outcome, TaskRecord
from support.clock import ManualClock

CALLBACK = "https://client.example/callback"


async def queue(context: Context, key: ApiKey, callback_url: str | None = CALLBACK) -> str:
    task = await context.store.tasks.create(
        NewTask(key_id=key.id, kind=TaskKind.SEPARATION, params={"type": "split_stem"}, callback_url=callback_url)
    )
    return task.id


async def claim(context: Context, owner: str = "one") -> Claim:
    found = await context.store.leases.claim(owner)
    assert found is not None
    return found


async def record(context: Context, task_id: str) -> TaskRecord:
    found = await context.store.tasks.record(task_id)
    assert found is not None
    return found


def outcome() -> Outcome:
    file = NewFile("stem", "vocals.flac", "audio/flac", "tasks/aa/vocals.flac", 10, "00" * 32)
    return Outcome(tracks=[NewTrack(file, stem="vocals", duration_s=1.5)])


async def test_tasks_are_claimed_oldest_first_and_only_when_due(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    first = await queue(context, key)
    clock.advance(1)
    second = await queue(context, key)
    held = await claim(context)
    assert held.task.id == first
    assert held.task.status == TaskStatus.RUNNING
    await context.store.leases.retry_later(held, delay_ms=5000)
    assert (await claim(context)).task.id == second
    assert await context.store.leases.claim("one") is None
    clock.advance(6)
    again = await claim(context)
    assert (again.task.id, again.attempt, again.fence) == (first, 2, 2)


async def test_success_writes_result_state_and_callback_together(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    task_id = await queue(context, key)
    held = await claim(context)
    clock.advance(10)
    await context.store.leases.succeed(held, outcome())
    found = await record(context, task_id)
    assert found.task.status == TaskStatus.SUCCEEDED
    assert found.task.completed_ms == clock.now_ms()
    assert found.task.expires_ms == clock.now_ms() + 14 * 24 * 3600 * 1000
    assert [item.track.stem for item in found.tracks] == ["vocals"]
    assert [item.task_id for item in await context.store.outbox.claim(10, 1000)] == [task_id]


async def test_a_zombie_changes_nothing(context: Context, key: ApiKey, clock: ManualClock) -> None:
    task_id = await queue(context, key)
    zombie = await claim(context, "zombie")
    clock.advance(31)
    assert [task.id for task in await context.store.leases.reap()] == [task_id]
    heir = await claim(context, "heir")
    for act in (
        context.store.leases.renew(zombie, "separating", 0.9),
        context.store.leases.succeed(zombie, outcome()),
        context.store.leases.fail(zombie, 501, "no", "no"),
        context.store.leases.hand_back(zombie),
        context.store.leases.retry_later(zombie, 1),
        context.store.leases.add_source(zombie, outcome().tracks[0]),
    ):
        with pytest.raises(LeaseLost):
            await act
    untouched = await record(context, task_id)
    assert (untouched.task.status, untouched.task.lease_owner) == (TaskStatus.RUNNING, "heir")
    assert untouched.tracks == []
    assert await context.store.outbox.claim(10, 1000) == []
    await context.store.leases.succeed(heir, outcome())
    assert len((await record(context, task_id)).tracks) == 1
    assert len(await context.store.outbox.claim(10, 1000)) == 1


async def test_renewing_keeps_the_lease_and_shows_progress(context: Context, key: ApiKey, clock: ManualClock) -> None:
    task_id = await queue(context, key)
    held = await claim(context)
    for _ in range(5):
        clock.advance(20)
        await context.store.leases.renew(held, "separating", 0.5)
        assert await context.store.leases.reap() == []
    shown = (await record(context, task_id)).task
    assert (shown.stage, shown.progress) == ("separating", 0.5)


async def test_handing_back_costs_no_attempt_but_moves_the_fence(context: Context, key: ApiKey) -> None:
    await queue(context, key)
    for number in range(1, 6):
        held = await claim(context)
        assert (held.attempt, held.fence) == (1, number)
        await context.store.leases.hand_back(held)


async def test_the_third_silent_worker_fails_the_task_with_a_plain_reason_and_one_callback(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    task_id = await queue(context, key)
    for _ in range(MAX_ATTEMPTS):
        await claim(context)
        clock.advance(31)
        await context.store.leases.reap()
    assert await context.store.leases.claim("one") is None
    task = (await record(context, task_id)).task
    assert (task.status, task.error_code) == (TaskStatus.FAILED, 500)
    assert task.error_message == "The worker stopped 3 times while working on this task."
    assert len(await context.store.outbox.claim(10, 1000)) == 1


async def test_those_who_reap_lock_the_keys_in_one_order(context: Context, clock: ManualClock) -> None:
    """Two that locked the same keys in two orders would wait for each other for ever."""
    keys = [await context.store.keys.create(f"key {number}", f"digest {number}", "hint") for number in range(4)]
    for key in sorted(keys, key=lambda key: key.id, reverse=True):
        clock.advance(1)
        await queue(context, key)
    async with context.database.write() as session:  # there is something to give back
        await session.execute(sa.update(Task).values(credits=1000))
    for _ in range(MAX_ATTEMPTS - 1):
        for _ in keys:
            await claim(context)
        clock.advance(31)
        await context.store.leases.reap()
    for _ in keys:
        await claim(context)
    clock.advance(31)
    locked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, parameters: tuple[str, ...], *_: object) -> None:
        if statement.startswith("SELECT") and "FROM api_keys" in statement:
            locked.append(parameters[0])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert len(await context.store.leases.reap()) == len(keys)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert locked == sorted(key.id for key in keys)


async def test_no_callback_is_owed_where_none_was_asked_for(context: Context, key: ApiKey) -> None:
    await queue(context, key, callback_url=None)
    await context.store.leases.succeed(await claim(context), outcome())
    assert await context.store.outbox.claim(10, 1000) == []


async def test_a_fetched_source_is_kept_under_the_promised_id(context: Context, key: ApiKey) -> None:
    task = await context.store.tasks.create(
        NewTask(
            key_id=key.id,
            kind=TaskKind.SEPARATION,
            params={"audio_url": "https://host.example/song.mp3"},
            callback_url=None,
            source_track_id="promised-id",
        )
    )
    stored = await context.store.leases.add_source(
        await claim(context), NewTrack(outcome().tracks[0].file, stem=None, duration_s=None)
    )
    assert stored.track.id == "promised-id"
    found = await record(context, task.id)
    assert found.source is not None
    assert found.source.track.id == "promised-id"
    assert found.tracks == []  # a source is no stem


async def test_expired_tasks_go_with_all_their_rows(context: Context, key: ApiKey, clock: ManualClock) -> None:
    task_id = await queue(context, key)
    await context.store.leases.succeed(await claim(context), outcome())
    assert await context.store.tasks.expired(10) == []
    clock.advance(14 * 24 * 3600)
    assert [task.id for task in await context.store.tasks.expired(10)] == [task_id]
    await context.files.delete_task(task_id)
    assert await context.store.tasks.record(task_id) is None
    assert await context.store.tasks.tracks(task_id) == []
    assert await context.store.outbox.claim(10, 1000) == []
