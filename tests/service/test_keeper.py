"""The database and the storage in step: shared objects, deaths between any two steps, and everybody at once."""

import asyncio
import hashlib
import random
import uuid
from collections.abc import Collection
from typing import Any

import pytest
import sqlalchemy as sa

from service.context import Context
from service.db.models import ApiKey, File, PendingFile, Task, TaskKind
from service.errors import LeaseLost, StorageError
from service.keeper import upload_fence
from service.settings import Settings
from service.storage import content_key
from service.store.files import Holder
from service.store.records import Claim, NewFile, NewStageFile, NewTask, NewTrack, Outcome, TaskRecord
from service.worker.janitor import Janitor
from support.clock import ManualClock
from support.stored import keep_source, stored_bytes, stored_keys

SONG = b"a song" * 50
HOUR_S = 3600.0
HESITATION_S = 0.02


def key_of(content: bytes) -> str:
    return content_key(hashlib.sha256(content).hexdigest())


async def upload(context: Context, key: ApiKey, content: bytes = SONG) -> TaskRecord:
    task_id = uuid.uuid4().hex
    file = await keep_source(context, task_id, content)
    return await context.store.tasks.create_upload(
        key_id=key.id, task_id=task_id, track=NewTrack(file, None, 1.0), params={}
    )


async def claimed(context: Context, key: ApiKey) -> Claim:
    await context.store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.MIDI, parent_task_id="none"))
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    return claim


async def keep(context: Context, claim: Claim, content: bytes, name: str = "stem.flac") -> NewFile:
    path = context.storage.scratch_dir / uuid.uuid4().hex
    path.write_bytes(content)
    return await context.files.keep(
        path, task_id=claim.task.id, fence=claim.fence, role="stem", name=name, mime_type="audio/flac"
    )


async def pending(context: Context) -> list[tuple[str, int]]:
    async with context.database.read() as session:
        rows = await session.execute(sa.select(PendingFile.storage_key, PendingFile.fence))
        return sorted((row[0], row[1]) for row in rows)


async def test_what_is_kept_is_announced_until_it_is_recorded(context: Context, key: ApiKey) -> None:
    claim = await claimed(context, key)
    file = await keep(context, claim, SONG)
    assert (file.storage_key, file.size_bytes, file.mime_type) == (key_of(SONG), len(SONG), "audio/flac")
    assert await pending(context) == [(key_of(SONG), 1)]
    other = await keep(context, claim, b"never recorded")
    await context.store.leases.succeed(claim, Outcome(files=[file]))
    assert await pending(context) == [(other.storage_key, 1)]
    assert await context.files.sweep() == 1  # its holder has ended
    assert await pending(context) == []
    assert await stored_keys(context) == [key_of(SONG)]


async def test_types_come_from_the_files_own_suffix(context: Context, key: ApiKey) -> None:
    claim = await claimed(context, key)
    for suffix, mime_type in ((".mid", "audio/midi"), (".unheard-of", "application/octet-stream")):
        path = context.storage.scratch_dir / f"made{suffix}"
        path.write_bytes(b"x")
        file = await context.files.keep(path, task_id=claim.task.id, fence=1, role="midi", name="a client's.html")
        assert (file.name, file.mime_type) == ("a client's.html", mime_type)


async def test_an_object_goes_with_the_last_task_that_has_it(context: Context, key: ApiKey) -> None:
    one, two = await upload(context, key), await upload(context, key)
    assert await stored_keys(context) == [key_of(SONG)]
    await context.files.delete_task(one.task.id)
    assert await context.store.tasks.record(one.task.id) is None
    assert await stored_bytes(context, key_of(SONG)) == SONG
    await context.files.delete_task(two.task.id)
    assert await stored_keys(context) == []
    assert await pending(context) == []
    await context.files.delete_task(two.task.id)  # again: nothing breaks


async def test_files_under_keys_of_older_versions_go_with_their_tasks(context: Context, key: ApiKey) -> None:
    record = await upload(context, key)
    old_key = f"tasks/{record.task.id[:2]}/{record.task.id}/source.wav"
    path = context.storage.scratch_dir / "old"
    path.write_bytes(SONG)
    await context.storage.put(path, old_key)
    async with context.database.write() as session:
        await session.execute(sa.update(File).values(storage_key=old_key))
    await context.storage.delete([key_of(SONG)])
    assert await context.files.reuse([old_key], task_id="b" * 32, fence=1)
    await context.files.release("b" * 32, 1)
    assert await stored_bytes(context, old_key) == SONG
    await context.files.delete_task(record.task.id)
    assert await stored_keys(context) == []


async def test_stages_hold_their_files_until_they_are_dropped(context: Context, key: ApiKey) -> None:
    claim = await claimed(context, key)
    shared, own = await keep(context, claim, SONG), await keep(context, claim, b"of the stage")
    await context.store.stages.finish(claim, "separation", "digest", [NewStageFile(shared), NewStageFile(own)])
    assert await pending(context) == []
    record = await upload(context, key)
    await context.files.drop_stages(claim.task.id)
    assert await stored_keys(context) == [key_of(SONG)]
    await context.files.delete_task(record.task.id)
    assert await stored_keys(context) == []


async def test_a_task_takes_the_files_of_its_stages_along(context: Context, key: ApiKey) -> None:
    claim = await claimed(context, key)
    await context.store.stages.finish(claim, "separation", "digest", [NewStageFile(await keep(context, claim, SONG))])
    await context.files.delete_task(claim.task.id)
    assert await stored_keys(context) == []


async def test_reuse_holds_what_is_there(context: Context, key: ApiKey) -> None:
    record = await upload(context, key)
    claim = await claimed(context, key)
    holder: dict[str, Any] = {"task_id": claim.task.id, "fence": claim.fence}
    assert not await context.files.reuse([key_of(SONG), key_of(b"unknown")], **holder)
    assert await pending(context) == []
    assert await context.files.reuse([key_of(SONG)], **holder)
    await context.files.delete_task(record.task.id)
    assert await stored_keys(context) == [key_of(SONG)]
    file = record.tracks[0].file
    again = NewFile("source", file.name, file.mime_type, file.storage_key, file.size_bytes, file.sha256)
    await context.store.leases.succeed(claim, Outcome(files=[again]))
    assert await pending(context) == []
    await context.files.delete_task(claim.task.id)
    assert await stored_keys(context) == []


async def test_reuse_of_an_object_that_was_lost(context: Context, key: ApiKey) -> None:
    await upload(context, key)
    claim = await claimed(context, key)
    await context.storage.delete([key_of(SONG)])
    assert not await context.files.reuse([key_of(SONG)], task_id=claim.task.id, fence=claim.fence)


@pytest.mark.parametrize("dies", ["before the object is stored", "before it is recorded"])
async def test_a_worker_that_dies_in_between_leaves_nothing(
    context: Context, key: ApiKey, clock: ManualClock, dies: str
) -> None:
    claim = await claimed(context, key)
    if dies == "before it is recorded":
        await keep(context, claim, SONG)
    else:
        await context.store.files.announce([key_of(SONG)], Holder(claim.task.id, claim.fence))
    assert await context.files.sweep() == 0  # it may be alive
    clock.advance(60)
    await context.store.leases.reap()
    assert await context.files.sweep() == 1
    assert await pending(context) == []
    assert await stored_keys(context) == []


async def test_the_next_claim_clears_what_earlier_ones_left(context: Context, key: ApiKey, clock: ManualClock) -> None:
    claim = await claimed(context, key)
    await keep(context, claim, b"of the first")
    clock.advance(60)
    await context.store.leases.reap()
    second = await context.store.leases.claim("heir")
    assert second is not None
    kept = await keep(context, second, b"of the second")
    await context.files.release(second.task.id, below=second.fence)
    assert await stored_keys(context) == [kept.storage_key]
    await context.files.release(second.task.id, second.fence)
    assert await stored_keys(context) == []


async def test_an_upload_that_dies_in_between_leaves_nothing(context: Context, key: ApiKey, clock: ManualClock) -> None:
    file = await keep_source(context, "a" * 32, SONG)
    await upload(context, key, b"another")
    clock.advance(HOUR_S - 1)
    assert await context.files.sweep() == 0
    clock.advance(2)
    assert await context.files.sweep() == 1
    assert await stored_keys(context) == [key_of(b"another")]
    with pytest.raises(StorageError):  # it was alive after all; a row without its object is worse than an error
        await context.store.tasks.create_upload(
            key_id=key.id, task_id="a" * 32, track=NewTrack(file, None, 1.0), params={}
        )
    assert await context.store.tasks.record("a" * 32) is None


@pytest.mark.parametrize("dies", ["after the rows", "after the object"])
async def test_a_deletion_that_dies_in_between_is_finished_by_the_sweep(
    context: Context, key: ApiKey, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    record = await upload(context, key)
    delete = context.storage.delete

    async def die(keys: Collection[str]) -> None:
        if dies == "after the object":
            await delete(keys)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(context.storage, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            await context.files.delete_task(record.task.id)
    assert await context.store.tasks.record(record.task.id) is None  # nobody is shown a file that may be gone
    assert await context.files.sweep() == 1
    assert await stored_keys(context) == []
    assert await pending(context) == []


async def test_a_worker_taken_for_dead_that_stores_after_all_takes_it_back(
    context: Context, key: ApiKey, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await claimed(context, key)
    put = context.storage.put

    async def late(source: Any, storage_key: str) -> None:
        clock.advance(60)
        await context.store.leases.reap()
        assert await context.files.sweep() == 1
        await put(source, storage_key)

    monkeypatch.setattr(context.storage, "put", late)
    with pytest.raises(LeaseLost):
        await keep(context, claim, SONG)
    assert await stored_keys(context) == []


async def test_an_upload_taken_for_dead_is_refused_and_takes_its_object_back(
    context: Context, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = context.storage.put

    async def late(source: Any, storage_key: str) -> None:
        clock.advance(HOUR_S + 1)
        assert await context.files.sweep() == 1
        await put(source, storage_key)

    monkeypatch.setattr(context.storage, "put", late)
    with pytest.raises(StorageError):  # which clients are told to try again
        await keep_source(context, "a" * 32, SONG)
    assert await stored_keys(context) == []


async def test_a_task_deleted_while_its_former_stage_is_released_leaves_nothing(context: Context, key: ApiKey) -> None:
    claim = await claimed(context, key)
    stem = NewStageFile(await keep(context, claim, SONG))
    for digest in ("digest", "of the next version"):  # which makes the same
        await context.store.stages.finish(claim, "separation", digest, [stem])
    assert await pending(context) == [(key_of(SONG), 0)]
    async with context.store.files.releasing(claim.task.id, (0, 0)) as unknown:
        assert unknown == [], "the stage has it"
        forgetting = asyncio.create_task(context.store.files.forget_task(claim.task.id))
        await asyncio.sleep(0.2)  # for it to come as far as it gets
    await forgetting
    assert await context.files.sweep() == 1
    assert await stored_keys(context) == []


async def test_the_audit_deletes_what_no_row_has(context: Context, key: ApiKey) -> None:
    record = await upload(context, key)
    await keep(context, await claimed(context, key), b"announced")
    old = "tasks/ab/abab/1/drums.flac"  # an older version may be about to record it
    for stored_key in (key_of(b"nobody's"), old):
        path = context.storage.scratch_dir / "x"
        path.write_bytes(b"nobody's")
        await context.storage.put(path, stored_key)
    janitor = Janitor(context)
    for _ in range(256):
        await janitor.sweep()
    kept = {key_of(b"announced"), old, *(item.file.storage_key for item in record.tracks)}
    assert set(await stored_keys(context)) == kept


async def test_a_storage_that_is_away_loses_nothing(
    context: Context, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await claimed(context, key)

    async def away(*_: Any) -> None:
        raise StorageError("away")

    path = context.storage.scratch_dir / "made.flac"
    path.write_bytes(SONG)

    async def keep_it() -> NewFile:
        return await context.files.keep(path, task_id=claim.task.id, fence=1, role="stem", name="made.flac")

    with monkeypatch.context() as patch:
        patch.setattr(context.storage, "put", away)
        patch.setattr(context.storage, "delete", away)
        with pytest.raises(StorageError):
            await keep_it()
        await context.files.release(claim.task.id, claim.fence)  # nothing is raised: it is done later
    file = await keep_it()
    await context.store.leases.succeed(claim, Outcome(files=[file]))
    assert await stored_bytes(context, file.storage_key) == SONG


def test_every_upload_has_a_number_of_its_own() -> None:
    numbers = {upload_fence() for _ in range(1000)}
    assert len(numbers) == 1000
    assert max(numbers) < 0


def hesitating(process: Context) -> Context:
    """Deletes objects a moment after it was decided: what may happen in between, does."""
    delete = process.storage.delete

    async def late(keys: Collection[str]) -> None:
        await asyncio.sleep(HESITATION_S)
        await delete(keys)

    process.storage.delete = late  # type: ignore[method-assign]
    return process


async def test_announcing_and_deleting_at_once_never_loses_an_object(
    context: Context, settings: Settings, clock: ManualClock, key: ApiKey
) -> None:
    """Two processes store, record and delete the same few contents, again and again, while a third sweeps.

    After every record the object must be there; at the end, exactly those that are referred to.
    """
    processes = [hesitating(process) for process in (context, Context(settings, clock), Context(settings, clock))]
    contents = [b"one" * 30, b"two" * 30]
    rounds, ended = 15, asyncio.Event()

    async def live(process: Context, seed: int) -> str:
        chance = random.Random(seed)
        for _ in range(rounds):
            content = chance.choice(contents)
            record = await upload(process, key, content)
            await asyncio.sleep(chance.choice((0.0, 2 * HESITATION_S)))  # what was decided before is done by then
            assert await stored_bytes(process, key_of(content)) == content
            await process.files.delete_task(record.task.id)
        last = await upload(process, key, content)
        return last.tracks[0].file.storage_key

    async def sweep(process: Context) -> None:
        while not ended.is_set():
            await process.files.sweep()
            await process.files.audit(int(key_of(contents[0])[8:10], 16))
            await asyncio.sleep(0.01)

    sweeping = asyncio.create_task(sweep(processes[2]))
    left = await asyncio.gather(*(live(process, seed) for seed, process in enumerate(processes[:2] * 2)))
    ended.set()
    await sweeping
    await context.files.sweep()
    assert await stored_keys(context) == sorted(set(left))
    assert await pending(context) == []
    async with context.database.read() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Task)) == len(left)
    for process in processes[1:]:
        await process.close()
