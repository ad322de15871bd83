"""The doorbell: rings that wake workers, what becomes of rings that nobody hears, and Redis that comes and goes."""

import asyncio
import contextlib
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from service.context import Context
from service.db.models import ApiKey, Queue, TaskKind, TaskStatus
from service.doorbell import ArqDoorbell, arq_queue, decode_job
from service.settings import Settings
from service.store.records import NewTask
from service.worker import worker as worker_module
from service.worker.bell import Bell
from service.worker.rounds import Rounds
from service.worker.worker import Worker
from support.clock import ManualClock
from support.pipeline import FakePipeline
from support.redis_server import RedisServer
from support.tracks import stored_track
from support.waiting import until

SOON_S = 20.0  # the test's patience; a ring takes milliseconds


@pytest.fixture
def settings(settings: Settings, own_redis: RedisServer) -> Settings:
    return dataclasses.replace(settings, redis_url=own_redis.url)


@pytest.fixture(autouse=True)
def deaf_without_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that look only when they are rung for, so that a lost ring shows."""
    monkeypatch.setattr(worker_module, "_POLL_WITH_DOORBELL_S", 3600.0)


@pytest.fixture
def rings(own_redis: RedisServer) -> Iterator["redis.Redis[bytes]"]:
    with contextlib.closing(own_redis.client()) as client:
        yield client


async def queue(context: Context, key: ApiKey, number: int = 1) -> list[str]:
    """Tasks that fail at once, for want of stems, on the queue ``midi``."""
    new = NewTask(key_id=key.id, kind=TaskKind.MIDI)
    return [(await context.store.tasks.create(new)).id for _ in range(number)]


async def until_ended(context: Context, *task_ids: str) -> None:
    async with asyncio.timeout(SOON_S):
        for task_id in task_ids:
            while True:
                found = await context.store.tasks.record(task_id)
                assert found is not None
                if found.task.status in (TaskStatus.FAILED, TaskStatus.SUCCEEDED):
                    break
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def listening(
    context: Context, pipeline: FakePipeline, *queues: Queue, name: str = "worker"
) -> AsyncIterator[tuple[Worker, Bell]]:
    """A worker with its bell, as a process has them."""
    worker = Worker(context, pipeline, name, queues=queues or tuple(Queue))  # type: ignore[arg-type]
    assert isinstance(context.doorbell, ArqDoorbell)
    bell = Bell(context.doorbell, worker, Rounds(context, worker).make)
    tasks = [asyncio.create_task(worker.run()), asyncio.create_task(bell.run())]
    try:
        await until(lambda: bell.is_heard)
        yield worker, bell
    finally:
        worker.stop()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_ring_is_a_job_with_the_task_s_id_and_nothing_else(
    context: Context, key: ApiKey, rings: "redis.Redis[bytes]"
) -> None:
    [task_id] = await queue(context, key)
    await until(lambda: rings.zcard(arq_queue(Queue.MIDI)))
    [job_id] = rings.zrange(arq_queue(Queue.MIDI), 0, -1)
    job = decode_job(rings.get(b"arq:job:" + job_id) or b"")
    assert (job["f"], job["a"], job["k"]) == ("attend", [task_id], {})
    assert json.loads(rings.get(b"arq:job:" + job_id) or b"") == job, "JSON, not a pickle"


async def test_who_is_rung_for_comes_at_once(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    async with listening(context, pipeline):
        await until_ended(context, *await queue(context, key))
        await until_ended(context, *await queue(context, key, 3))


async def test_rings_of_other_queues_are_not_heard(
    context: Context, key: ApiKey, pipeline: FakePipeline, rings: "redis.Redis[bytes]"
) -> None:
    async with listening(context, pipeline, Queue.SEPARATION):
        [task_id] = await queue(context, key)
        await asyncio.sleep(0.3)
        found = await context.store.tasks.record(task_id)
        assert found is not None
        assert found.task.status == TaskStatus.QUEUED
        assert rings.zcard(arq_queue(Queue.MIDI)) == 1


async def test_after_a_flush_the_next_round_rings_for_everything_that_is_due(
    context: Context, key: ApiKey, pipeline: FakePipeline, own_redis: RedisServer
) -> None:
    task_ids = await queue(context, key, 50)
    await asyncio.sleep(0.1)
    own_redis.flush()
    async with listening(context, pipeline) as (worker, _):
        await Rounds(context, worker).make()
        await until_ended(context, *task_ids)


async def test_ringing_again_adds_nothing(
    context: Context, key: ApiKey, pipeline: FakePipeline, rings: "redis.Redis[bytes]"
) -> None:
    await queue(context, key, 3)
    rounds = Rounds(context, Worker(context, pipeline, "worker"))  # type: ignore[arg-type]
    for _ in range(3):
        await rounds.make()
    await until(lambda: rings.zcard(arq_queue(Queue.MIDI)) == 3)
    await asyncio.sleep(0.1)
    assert rings.zcard(arq_queue(Queue.MIDI)) == 3


async def test_however_many_rings_take_few_connections(context: Context, rings: "redis.Redis[bytes]") -> None:
    for number in range(300):
        context.doorbell.ring(Queue.MIDI, f"{number:032x}")
    await until(lambda: rings.zcard(arq_queue(Queue.MIDI)) == 300)
    assert rings.info("clients")["connected_clients"] < 12


async def test_a_ring_that_came_to_nothing_is_not_in_the_way_of_the_next(
    context: Context, key: ApiKey, pipeline: FakePipeline, rings: "redis.Redis[bytes]"
) -> None:
    """One that nobody heard for an hour, say: arq would keep its failure, and take no other of the same name."""
    task_id = "a" * 32
    rings.zadd(arq_queue(Queue.MIDI), {f"midi:{task_id}": 1})  # what it was has expired
    async with listening(context, pipeline):
        await until(lambda: not rings.zcard(arq_queue(Queue.MIDI)))
    context.doorbell.ring(Queue.MIDI, task_id)
    await until(lambda: rings.zcard(arq_queue(Queue.MIDI)))


async def test_a_fault_of_the_listener_does_not_end_the_listening(
    context: Context, key: ApiKey, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = Bell._listen
    listened = []

    async def fail_at_first(bell: Bell) -> None:
        listened.append(bell)
        if len(listened) == 1:
            raise KeyError("of arq")
        await listen(bell)

    monkeypatch.setattr(Bell, "_listen", fail_at_first)
    async with listening(context, pipeline):
        await until_ended(context, *await queue(context, key))
    assert len(listened) == 2


async def test_rounds_are_made_by_the_clock_of_arq(
    context: Context, key: ApiKey, pipeline: FakePipeline, clock: ManualClock
) -> None:
    """A lease that ran out is returned, and rung for, without anybody else doing anything."""
    [task_id] = await queue(context, key)
    assert await context.store.leases.claim("a worker that died") is not None
    clock.advance(31)
    async with listening(context, pipeline):
        await until_ended(context, task_id)


async def test_a_busy_worker_leaves_rings_to_others(
    context: Context, key: ApiKey, settings: Settings, clock: ManualClock
) -> None:
    release, busy = threading.Event(), threading.Event()

    def hold(_report: object) -> None:
        busy.set()
        assert release.wait(SOON_S)

    other = Context(settings, clock)
    try:
        source = context.storage.scratch_dir / "source"
        source.write_bytes(b"song" * 100)
        async with listening(context, FakePipeline(during=hold), name="one") as (one, _):
            track = await stored_track(context, key, source)
            long = await context.store.tasks.create(
                NewTask(key_id=key.id, kind=TaskKind.SEPARATION, params={"type": "split_stem"}).over(track)
            )
            assert await asyncio.to_thread(busy.wait, SOON_S)
            assert not one.has_room
            async with listening(other, FakePipeline(), name="two"):
                await until_ended(context, *await queue(context, key, 4))
            release.set()
            await until_ended(context, long.id)
    finally:
        release.set()
        await other.close()


async def test_without_redis_tasks_are_taken_in_and_redis_is_heard_again_when_it_is_back(
    context: Context, key: ApiKey, pipeline: FakePipeline, own_redis: RedisServer
) -> None:
    async with listening(context, pipeline) as (worker, bell):
        own_redis.stop()
        [task_id] = await queue(context, key)
        await until(lambda: not bell.is_heard)
        assert not await context.doorbell.is_up()
        own_redis.start()
        await until(lambda: bell.is_heard)
        await Rounds(context, worker).make()
        await until_ended(context, task_id)
