"""Whose turn it is: fair between keys, then by priority, then by age; and tasks that go from queue to queue."""

import pytest

from service.context import Context
from service.db.models import ApiKey, Queue, Task, TaskKind, TaskStatus
from service.errors import LeaseLost
from service.store.leases import MAX_ATTEMPTS
from service.store.records import NewFile, NewStageFile, NewTask, Outcome
from support.clock import ManualClock

WAV, MIDI, SEPARATION = TaskKind.WAV, TaskKind.MIDI, TaskKind.SEPARATION

DIGEST = "a" * 64


async def another_key(context: Context, name: str) -> ApiKey:
    return await context.store.keys.create(name, f"digest of {name}", "hint")


async def queue(context: Context, key: ApiKey, number: int = 1, *, priority: int = 0) -> list[str]:
    """Tasks of a kind that needs nothing, on the queue ``midi``."""
    new = NewTask(key_id=key.id, kind=MIDI, priority=priority)
    return [(await context.store.tasks.create(new)).id for _ in range(number)]


async def claimed(context: Context, number: int, *queues: Queue) -> list[Task]:
    """Tasks claimed one after the other, all of them running then."""
    tasks = []
    for _ in range(number):
        claim = await context.store.leases.claim("worker", queues or tuple(Queue))
        assert claim is not None
        tasks.append(claim.task)
    return tasks


async def test_many_tasks_of_one_key_do_not_hold_up_another_key(context: Context, key: ApiKey) -> None:
    other = await another_key(context, "other")
    await queue(context, key, 30)
    await claimed(context, 10)
    await queue(context, other, 3)
    owners = [task.key_id for task in await claimed(context, 6)]
    assert owners[0] == other.id
    assert owners.count(other.id) == 3, "one of each key in every turn"


async def test_what_a_key_was_given_alone_is_not_held_against_it(context: Context, key: ApiKey) -> None:
    await queue(context, key, 20)
    await claimed(context, 20)
    other = await another_key(context, "other")
    await queue(context, other, 20)
    await claimed(context, 5)
    await queue(context, key, 5)
    owners = [task.key_id for task in await claimed(context, 10)]
    assert owners.count(key.id) == 5, "they take turns from now on"


async def test_within_a_key_oldest_first(context: Context, key: ApiKey, clock: ManualClock) -> None:
    ids = []
    for _ in range(4):
        ids += await queue(context, key)
        clock.advance(-1)  # whatever the clock says
    clock.advance(5)
    assert [task.id for task in await claimed(context, 4)] == ids


async def test_higher_priority_goes_before_the_key_s_own_others_and_nobody_else_s(
    context: Context, key: ApiKey
) -> None:
    other = await another_key(context, "other")
    plain = await queue(context, key, 4)
    others = await queue(context, other, 4)
    urgent = await queue(context, key, 2, priority=5)
    order = [task.id for task in await claimed(context, 10)]
    assert [task_id for task_id in order if task_id not in others] == urgent + plain
    assert sorted(order.index(task_id) // 2 for task_id in others) == [0, 1, 2, 3], "every second place, as before"


async def test_a_retried_task_keeps_its_place(context: Context, key: ApiKey) -> None:
    first, second = await queue(context, key, 2)
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    assert claim.task.id == first
    await context.store.leases.hand_back(claim)
    assert [task.id for task in await claimed(context, 2)] == [first, second]


async def test_a_worker_claims_from_its_queues_only(context: Context, key: ApiKey) -> None:
    [midi] = await queue(context, key)
    wav = await context.store.tasks.create(NewTask(key_id=key.id, kind=WAV, source_track_id="nobody has it"))
    assert await context.store.leases.claim("worker", [Queue.SEPARATION]) is None
    assert [task.id for task in await claimed(context, 1, Queue.SEPARATION, Queue.IO)] == [wav.id]
    assert await context.store.leases.claim("worker", [Queue.IO]) is None
    assert [task.id for task in await claimed(context, 1, Queue.MIDI)] == [midi]


async def test_the_first_of_the_queues_comes_first(context: Context, key: ApiKey) -> None:
    [midi] = await queue(context, key)
    wav = await context.store.tasks.create(NewTask(key_id=key.id, kind=WAV, source_track_id="nobody has it"))
    assert [task.id for task in await claimed(context, 2, Queue.IO, Queue.MIDI)] == [wav.id, midi]


async def test_passed_on_a_task_waits_for_another_queue_s_worker_with_fresh_attempts(
    context: Context, key: ApiKey
) -> None:
    await queue(context, key)
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    await context.store.leases.renew(claim, "separating", 0.9)
    await context.store.leases.pass_on(claim, Queue.IO)
    with pytest.raises(LeaseLost):
        await context.store.leases.renew(claim, "separating", 0.95)
    found = await context.store.tasks.record(claim.task.id)
    assert found is not None
    assert (found.task.status, found.task.queue, found.task.progress) == (TaskStatus.QUEUED, Queue.IO, 0.9)
    assert await context.store.leases.claim("worker", [Queue.MIDI]) is None
    [task] = await claimed(context, 1, Queue.IO)
    assert (task.id, task.attempt, task.fence) == (claim.task.id, 1, 2)


async def test_many_passed_on_tasks_do_not_hold_up_another_key(context: Context, key: ApiKey) -> None:
    await queue(context, key, 10)
    for _ in range(10):
        claim = await context.store.leases.claim("worker", [Queue.MIDI])
        assert claim is not None
        await context.store.leases.pass_on(claim, Queue.SEPARATION)
    await claimed(context, 3, Queue.SEPARATION)
    other = await another_key(context, "other")
    [wanted] = await queue(context, other)
    claim = await context.store.leases.claim("worker", [Queue.MIDI])
    assert claim is not None
    await context.store.leases.pass_on(claim, Queue.SEPARATION)
    assert wanted in [task.id for task in await claimed(context, 2, Queue.SEPARATION)]


async def test_a_queue_remembers_how_far_it_came_when_everything_was_passed_on(context: Context, key: ApiKey) -> None:
    """Else a newcomer's tasks would all go before those that have waited longest."""
    await queue(context, key, 8)
    for _ in range(4):
        claim = await context.store.leases.claim("worker", [Queue.MIDI])
        assert claim is not None
        await context.store.stages.finish(claim, "a stage", "a digest", [])
        await context.store.leases.pass_on(claim, Queue.IO)
    other = await another_key(context, "other")
    await queue(context, other, 4)
    owners = [task.key_id for task in await claimed(context, 5, Queue.MIDI)]
    assert owners.count(key.id) == 2


async def test_a_clock_that_was_set_back_neither_keeps_dead_leases_nor_hides_tasks(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    dead, waiting = await queue(context, key, 2)
    await claimed(context, 1)
    clock.advance(-3600)
    assert [task.id for task in await context.store.leases.reap()] == [dead]
    assert {task.id for task in await claimed(context, 2)} == {dead, waiting}


async def test_a_clock_that_was_set_forward_takes_nothing_from_the_worker_that_asks(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    await queue(context, key)
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    clock.advance(3600)
    assert await context.store.leases.reap(alive={claim.task.id}) == []
    await context.store.leases.renew(claim, "separating", 0.5)
    assert await context.store.leases.reap() == []


async def test_attempts_of_one_stage_are_not_held_against_the_next(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    await queue(context, key)
    for _ in range(MAX_ATTEMPTS - 1):
        await claimed(context, 1)
        clock.advance(31)
        await context.store.leases.reap()
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    assert claim.attempt == MAX_ATTEMPTS
    await context.store.leases.pass_on(claim, Queue.IO)
    [task] = await claimed(context, 1, Queue.IO)
    clock.advance(31)
    [reaped] = await context.store.leases.reap()
    assert (reaped.id, reaped.status) == (task.id, TaskStatus.QUEUED)


async def test_a_stage_is_found_by_the_next_attempt_and_by_others(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    await queue(context, key, 2)
    first = await context.store.leases.claim("worker")
    second = await context.store.leases.claim("worker")
    assert first is not None
    assert second is not None
    stages = context.store.stages
    await stages.finish(first, "separation", DIGEST, _files())
    await stages.finish(first, "separation", DIGEST, _files())  # the answer was lost: once more
    for claim, of_others, there in ((first, False, True), (second, False, False), (second, True, True)):
        found = await stages.files(claim, "separation", DIGEST, of_others=of_others)
        assert (found is not None) is there
    by_other_code = DIGEST[:32] + "b" * 32
    assert await stages.files(first, "separation", by_other_code, of_others=True) is not None, "its own, all the same"
    assert await stages.files(second, "separation", by_other_code, of_others=True) is None
    found = await stages.files(second, "separation", DIGEST, of_others=True)
    assert found is not None
    task_id, files = found
    assert task_id == first.task.id
    assert [(row.stem, row.duration_s, row.storage_key) for row in files] == [
        ("vocals", 2.5, "objects/aa/vocals"), ("bass", 2.5, "objects/aa/bass"),
    ]  # fmt: skip
    assert await stages.files(second, "separation", "b" * 64, of_others=True) is None
    assert await stages.finished_task("separation", DIGEST) is None, "that task has not ended"
    await context.store.leases.succeed(first, Outcome())
    assert await stages.finished_task("separation", DIGEST) == first.task.id
    clock.advance(14 * 24 * 3600 - 30)
    assert await stages.finished_task("separation", DIGEST) is None, "it goes within a minute"


async def test_a_stage_of_a_lost_claim_is_not_recorded(context: Context, key: ApiKey, clock: ManualClock) -> None:
    await queue(context, key)
    zombie = await context.store.leases.claim("zombie")
    assert zombie is not None
    clock.advance(31)
    await context.store.leases.reap()
    with pytest.raises(LeaseLost):
        await context.store.stages.finish(zombie, "separation", "digest", _files())
    [_] = await claimed(context, 1)
    assert await context.store.stages.files(zombie, "separation", "digest", of_others=True) is None


def _files() -> list[NewStageFile]:
    return [
        NewStageFile(NewFile("stem", f"{stem}.flac", "audio/flac", f"objects/aa/{stem}", 10, "00" * 32), stem, 2.5)
        for stem in ("vocals", "bass")
    ]
