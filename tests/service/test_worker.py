"""The worker: from a queued task to its end, and what it leaves behind when that end is not a good one."""

import asyncio
import dataclasses
import inspect
import json
import logging
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.errors import CorruptAudio, ModelUnavailable
from pipeline.song import Report, SongPipeline
from service.context import Context
from service.db.models import ApiKey, Task, TaskKind, TaskStatus
from service.errors import SourceFetchFailed
from service.store.leases import MAX_ATTEMPTS
from service.store.records import Claim, NewTask, NewTrack, TaskRecord
from service.worker.janitor import Janitor
from service.worker.rounds import Rounds
from service.worker.worker import Worker
from support.clock import ManualClock
from support.pipeline import FakePipeline
from support.stored import keep_source, stored_bytes, stored_keys


@pytest.fixture
def worker(context: Context, pipeline: FakePipeline) -> Worker:
    return Worker(context, pipeline, "tester")  # type: ignore[arg-type]  # see the signatures' test


async def upload(context: Context, key: ApiKey, content: bytes = b"song" * 100, task_id: str = "ab" * 16) -> TaskRecord:
    file = await keep_source(context, task_id, content)
    return await context.store.tasks.create_upload(
        key_id=key.id, task_id=task_id, track=NewTrack(file, None, 1.0), params={}
    )


async def queue_separation(context: Context, key: ApiKey, source: TaskRecord, kind: str = "split_stem") -> Task:
    return await context.store.tasks.create(
        NewTask(
            key_id=key.id,
            kind=TaskKind.SEPARATION,
            params={"type": kind},
            callback_url="http://client.test/done",
            source_track_id=source.tracks[0].track.id,
        )
    )


async def record(context: Context, task: Task) -> TaskRecord:
    found = await context.store.tasks.record(task.id)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["separate", "transcribe", "to_wav"])
def test_the_fake_pipeline_has_the_real_one_s_signatures(name: str) -> None:
    real, fake = (inspect.signature(getattr(one, name)) for one in (SongPipeline, FakePipeline))
    assert list(real.parameters.values()) == list(fake.parameters.values())


async def test_separation_then_midi(context: Context, key: ApiKey, worker: Worker) -> None:
    source = await upload(context, key)
    separation = await queue_separation(context, key, source)
    assert await worker.run_once()
    assert not await worker.run_once()
    separated = await record(context, separation)
    assert separated.task.status == TaskStatus.SUCCEEDED
    assert [item.track.stem for item in separated.tracks] == ["drums", "bass", "other", "vocals"]
    for item in separated.tracks:
        assert len(await stored_bytes(context, item.file.storage_key)) == item.file.size_bytes

    midi = await context.store.tasks.create(
        NewTask(key_id=key.id, kind=TaskKind.MIDI, params={}, callback_url=None, parent_task_id=separation.id)
    )
    assert await worker.run_once()
    transcribed = await record(context, midi)
    assert transcribed.task.status == TaskStatus.SUCCEEDED
    assert [(row.stem, row.is_drum) for row in transcribed.instruments] == [
        ("drums", True), ("bass", False), ("other", False),
    ]  # fmt: skip
    assert json.loads(transcribed.instruments[0].notes)[0] == {
        "pitch": 60, "start": 0.25, "end": 0.5, "velocity": 0.8, "confidence": 0.9,
    }  # fmt: skip
    assert transcribed.task.music == {
        "tempo": 120.0, "tempo_confidence": 0.9, "time_signature": "4/4", "key": "A minor", "key_confidence": 0.75,
    }  # fmt: skip
    assert transcribed.instruments[0].track_id == separated.tracks[0].track.id
    assert sorted(file.name for file in transcribed.files) == [
        "bass.mid", "beats.json", "drums.mid", "notes.csv", "other.mid", "piano-roll.svg", "preview.mp3",
        "score.musicxml", "song.mid",
    ]  # fmt: skip
    assert list(context.storage.scratch_dir.iterdir()) == []


async def test_midi_of_one_stem(context: Context, key: ApiKey, worker: Worker) -> None:
    separation = await queue_separation(context, key, await upload(context, key))
    await worker.run_once()
    bass = next(item for item in (await record(context, separation)).tracks if item.track.stem == "bass")
    midi = await context.store.tasks.create(
        NewTask(
            key_id=key.id,
            kind=TaskKind.MIDI,
            params={"audio_id": bass.track.id},
            callback_url=None,
            parent_task_id=separation.id,
        )
    )
    await worker.run_once()
    assert [row.stem for row in (await record(context, midi)).instruments] == ["bass"]


async def test_two_stems_where_they_are_asked_for(context: Context, key: ApiKey, worker: Worker) -> None:
    separation = await queue_separation(context, key, await upload(context, key), "separate_vocal")
    await worker.run_once()
    assert [item.track.stem for item in (await record(context, separation)).tracks] == ["vocals", "instrumental"]


async def test_unusable_audio_fails_at_once_with_its_own_message(context: Context, key: ApiKey, worker: Worker) -> None:
    source = await upload(context, key, b"short")
    task = await queue_separation(context, key, source)
    await worker.run_once()
    failed = (await record(context, task)).task
    assert (failed.status, failed.error_code, failed.error_message) == (
        TaskStatus.FAILED, 422, "The file breaks off at 0.0 s.",
    )  # fmt: skip
    assert len(await context.store.outbox.claim(10, 1000)) == 1
    assert await stored_keys(context) == [item.file.storage_key for item in source.tracks]


async def test_an_unexpected_error_is_tried_three_times_and_then_told_without_its_insides(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, clock: ManualClock
) -> None:
    def explode(_: Report) -> None:
        raise ZeroDivisionError("internal detail")

    pipeline.during = explode
    task = await queue_separation(context, key, await upload(context, key))
    for _ in range(MAX_ATTEMPTS):
        assert await worker.run_once()
        clock.advance(60)
    assert not await worker.run_once()
    failed = (await record(context, task)).task
    assert (failed.status, failed.error_code) == (TaskStatus.FAILED, 500)
    assert "internal detail" not in (failed.error_message or "")


async def test_what_may_pass_is_tried_again_later(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, clock: ManualClock
) -> None:
    def away(_: Report) -> None:
        raise ModelUnavailable("the hub does not answer")

    pipeline.during = away
    task = await queue_separation(context, key, await upload(context, key))
    await worker.run_once()
    assert (await record(context, task)).task.status == TaskStatus.QUEUED
    assert not await worker.run_once()  # not at once
    clock.advance(11)
    pipeline.during = lambda _: None
    await worker.run_once()
    assert (await record(context, task)).task.status == TaskStatus.SUCCEEDED


def stop_in_the_middle(pipeline: FakePipeline, worker: Worker) -> None:
    """Let the pipeline tell the worker to stop, and go on with its work until it is told so itself."""
    loop = asyncio.get_running_loop()

    def stop_now(report: Report) -> None:
        loop.call_soon_threadsafe(worker.stop)
        for _ in range(20):
            time.sleep(0.01)
            report("separating", 0.6)

    pipeline.during = stop_now


async def test_a_worker_that_is_told_to_stop_hands_back_without_an_attempt(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline
) -> None:
    context.settings = dataclasses.replace(context.settings, grace_seconds=0)
    source = await upload(context, key)
    task = await queue_separation(context, key, source)
    stop_in_the_middle(pipeline, worker)
    await worker.run_once()
    await asyncio.wait_for(worker.run(), 1)  # returns: nothing more is claimed
    back = (await record(context, task)).task
    assert (back.status, back.attempt, back.stage, back.progress) == (TaskStatus.QUEUED, 0, None, 0.0)
    assert await stored_keys(context) == [item.file.storage_key for item in source.tracks]


async def test_a_worker_that_is_told_to_stop_finishes_what_is_nearly_done(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline
) -> None:
    tasks = [await queue_separation(context, key, await upload(context, key)) for _ in range(2)]
    stop_in_the_middle(pipeline, worker)
    await asyncio.wait_for(worker.run(), 20)
    assert [(await record(context, task)).task.status for task in tasks] == [TaskStatus.SUCCEEDED, TaskStatus.QUEUED]


async def test_a_worker_that_lost_its_lease_discards_what_it_made(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, clock: ManualClock
) -> None:
    source = await upload(context, key)
    task = await queue_separation(context, key, source)
    loop = asyncio.get_running_loop()

    async def lose() -> None:
        clock.advance(60)
        assert await Janitor(context).reap_leases() == 1
        assert await context.store.leases.claim("heir") is not None

    pipeline.during = lambda _: asyncio.run_coroutine_threadsafe(lose(), loop).result(10)
    await worker.run_once()
    held = (await record(context, task)).task
    assert (held.status, held.lease_owner, held.fence) == (TaskStatus.RUNNING, "heir", 2)
    assert await stored_keys(context) == [item.file.storage_key for item in source.tracks]
    assert await context.store.outbox.claim(10, 1000) == []


async def test_what_a_killed_worker_left_is_gone_after_the_next_attempt(
    context: Context, key: ApiKey, worker: Worker, clock: ManualClock
) -> None:
    """The state on disk and in the database is what kill -9 in the middle of storing stems leaves."""
    task = await queue_separation(context, key, await upload(context, key))
    killed = await context.store.leases.claim("killed")
    assert killed is not None
    orphan = context.storage.scratch_dir / "drums.flac"
    orphan.write_bytes(b"not recorded")
    kept = await context.files.keep(orphan, task_id=task.id, fence=killed.fence, role="stem", name="drums.flac")
    scratch = context.storage.scratch_dir / f"{task.id}-{killed.fence}"
    scratch.mkdir()
    (scratch / "mix.raw").write_bytes(b"half")
    janitor = Janitor(context)
    await janitor.sweep_scratch()
    assert scratch.exists()  # its lease still runs: it might be alive
    clock.advance(31)
    await janitor.reap_leases()
    await janitor.sweep_scratch()
    assert not scratch.exists()
    await worker.run_once()
    assert not await context.storage.exists(kept.storage_key)
    done = await record(context, task)
    assert (done.task.status, done.task.attempt, done.task.fence) == (TaskStatus.SUCCEEDED, 2, 2)
    assert done.source is not None
    expected = {item.file.storage_key for item in (done.source, *done.tracks)}
    assert await stored_keys(context) == sorted(expected)


async def test_the_janitor_deletes_expired_tasks_and_their_files(
    context: Context, key: ApiKey, worker: Worker, clock: ManualClock
) -> None:
    task = await queue_separation(context, key, await upload(context, key))
    await worker.run_once()
    clock.advance(14 * 24 * 3600 - 60)
    assert await Janitor(context).delete_expired() == 0
    clock.advance(120)
    assert await Janitor(context).delete_expired() == 2
    assert await context.store.tasks.record(task.id) is None
    assert await stored_keys(context) == []


async def test_a_claim_whose_answer_was_lost_is_returned_like_any_other(
    context: Context, key: ApiKey, worker: Worker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the only worker that there is: it holds the lease, and knows nothing of it."""
    task = await queue_separation(context, key, await upload(context, key))
    claim = context.store.leases.claim

    async def claim_unheard(owner: str, queues: Sequence[str]) -> None:
        assert await claim(owner, queues) is not None
        raise ConnectionError("the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(context.store.leases, "claim", claim_unheard)
        with pytest.raises(ConnectionError):
            await worker.start_one()
    await Rounds(context, worker).make()
    assert (await record(context, task)).task.status == TaskStatus.RUNNING
    clock.advance(60)
    await Rounds(context, worker).make()
    assert await worker.run_once()
    assert (await record(context, task)).task.status == TaskStatus.SUCCEEDED


async def test_a_claim_under_way_when_the_worker_is_told_to_stop_is_handed_back(
    context: Context, key: ApiKey, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await queue_separation(context, key, await upload(context, key))
    claim, committed, answered = context.store.leases.claim, asyncio.Event(), asyncio.Event()

    async def claim_slowly(owner: str, queues: Sequence[str]) -> Claim | None:
        found = await claim(owner, queues)
        committed.set()
        await answered.wait()
        return found

    monkeypatch.setattr(context.store.leases, "claim", claim_slowly)
    rung_for = asyncio.create_task(worker.start_one())
    await committed.wait()
    worker.stop()
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.05)
    answered.set()
    await running
    assert rung_for.done()
    after = (await record(context, task)).task
    assert (after.status, after.attempt) == (TaskStatus.QUEUED, 0)


async def test_a_stale_half_upload_is_swept_and_a_fresh_one_is_not(context: Context) -> None:
    """By the time of this machine's files, however far that is from the database's."""

    def half_upload(name: str) -> Path:
        path = context.storage.scratch_dir / name
        path.write_bytes(b"half")
        return path

    fresh, stale = half_upload("upload-fresh"), half_upload("upload-stale")
    now_s = time.time()
    os.utime(fresh, (now_s, now_s))
    os.utime(stale, (now_s - 7200, now_s - 7200))
    await Janitor(context).sweep_scratch()
    assert fresh.exists()
    assert not stale.exists()


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, bool]]:
    """Level, text, and whether there is a traceback, of what the worker logged."""
    return [
        (entry.levelno, entry.getMessage(), entry.exc_info is not None)
        for entry in caplog.records
        if entry.name == "service.worker.worker"
    ][1:]  # without the attempt's beginning


async def test_a_task_that_is_cancelled_while_it_runs_is_logged_so(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    loop = asyncio.get_running_loop()
    for ends in ("well", "badly"):
        caplog.clear()
        task = await queue_separation(context, key, await upload(context, key, task_id=f"{ends:a<32}"))

        def cancel(_: Report, task_id: str = task.id, ends: str = ends) -> None:
            asyncio.run_coroutine_threadsafe(context.store.leases.cancel(task_id), loop).result(10)
            if ends == "badly":
                raise ZeroDivisionError

        pipeline.during = cancel
        await worker.run_once()
        assert told(caplog) == [(logging.INFO, f"task {task.id}: cancelled", False)]


async def test_only_our_own_faults_are_logged_as_errors(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for error, level, has_traceback in (
        (CorruptAudio("The file breaks off."), logging.INFO, False),
        (SourceFetchFailed("It answered with HTTP status 404."), logging.INFO, False),
        (ModelUnavailable("The hub does not answer."), logging.ERROR, False),
        (ZeroDivisionError("oh"), logging.ERROR, True),
    ):
        caplog.clear()
        task = await queue_separation(context, key, await upload(context, key, task_id=uuid.uuid4().hex))

        def fail(_: Report, error: Exception = error) -> None:
            raise error

        pipeline.during = fail
        await worker.run_once()
        assert told(caplog) == [(level, f"task {task.id}: {error}", has_traceback)]
