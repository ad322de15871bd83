"""Stages survive: another attempt goes on from what is stored, the same work is done once, and each worker its part."""

import asyncio
import dataclasses
import threading
import uuid
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from pipeline.song import Report
from service.context import Context
from service.db.models import ApiKey, PendingFile, Queue, Task, TaskKind, TaskStatus
from service.store.records import NewTask, NewTrack, TaskRecord, TrackFile
from service.worker.janitor import Janitor
from service.worker.worker import Worker
from support.clock import ManualClock
from support.pipeline import FakePipeline
from support.stored import keep_source, stored_keys
from support.tracks import stored_track

WHOLE_SONG = {"stems": None, "instruments": None}


def worker_of(context: Context, pipeline: FakePipeline, queues: Sequence[Queue] = tuple(Queue)) -> Worker:
    return Worker(context, pipeline, "+".join(queues), queues=queues)  # type: ignore[arg-type]


async def upload(context: Context, key: ApiKey, content: bytes = b"song" * 100) -> TrackFile:
    path = context.storage.scratch_dir / f"upload-{uuid.uuid4().hex}"
    path.write_bytes(content)
    return await stored_track(context, key, path)


async def ask(context: Context, key: ApiKey, source: TrackFile, kind: TaskKind = TaskKind.TRANSCRIPTION) -> Task:
    params = {TaskKind.SEPARATION: {"type": "split_stem"}, TaskKind.TRANSCRIPTION: dict(WHOLE_SONG), TaskKind.WAV: {}}
    new = NewTask(key_id=key.id, kind=kind, params=params[kind])
    return await context.store.tasks.create(new.over(source))


async def ask_for_notes(context: Context, key: ApiKey, separation: Task) -> Task:
    return await context.store.tasks.create(
        NewTask(key_id=key.id, kind=TaskKind.MIDI, params={}, parent_task_id=separation.id)
    )


async def record(context: Context, task: Task) -> TaskRecord:
    found = await context.store.tasks.record(task.id)
    assert found is not None
    return found


async def pending_files(context: Context) -> int:
    async with context.database.read() as session:
        return await session.scalar(sa.select(sa.func.count()).select_from(PendingFile)) or 0


def contents(made: TaskRecord) -> list[tuple[str, str, str]]:
    return sorted((file.role, file.name, file.sha256) for file in made.files)


async def test_another_attempt_does_not_separate_again(
    context: Context, key: ApiKey, pipeline: FakePipeline, clock: ManualClock
) -> None:
    task = await ask(context, key, await upload(context, key))

    def fail_once_in_transcription(report: Report) -> None:
        if pipeline.calls[-1] == "transcribe" and pipeline.calls.count("transcribe") == 1:
            raise OSError("the disk was full")

    pipeline.during = fail_once_in_transcription
    worker = worker_of(context, pipeline)
    await worker.run_once()
    assert (await record(context, task)).task.status == TaskStatus.QUEUED
    clock.advance(60)
    await worker.run_once()
    made = await record(context, task)
    assert made.task.status == TaskStatus.SUCCEEDED
    assert pipeline.calls == ["separate", "transcribe", "transcribe"]
    assert [item.track.stem for item in made.tracks] == ["drums", "bass", "other", "vocals"]


async def test_each_worker_does_its_part(context: Context, key: ApiKey) -> None:
    separating, writing = FakePipeline(), FakePipeline()
    separator = worker_of(context, separating, [Queue.SEPARATION])
    transcriber = worker_of(context, writing, [Queue.MIDI])
    task = await ask(context, key, await upload(context, key))
    assert not await transcriber.run_once()
    assert await separator.run_once()
    between = await record(context, task)
    assert (between.task.status, between.task.queue, between.tracks) == (TaskStatus.QUEUED, Queue.MIDI, [])
    assert not await separator.run_once()
    assert await transcriber.run_once()
    made = await record(context, task)
    assert made.task.status == TaskStatus.SUCCEEDED
    assert (separating.calls, writing.calls) == (["separate"], ["transcribe"])
    assert len(made.tracks) == 4
    assert [row.stem for row in made.instruments] == ["drums", "bass", "other"]
    assert {row.track_id for row in made.instruments} <= {item.track.id for item in made.tracks}


async def test_the_same_song_again_is_served_at_once_by_any_worker(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    everything, light = worker_of(context, pipeline), worker_of(context, FakePipeline(), [Queue.IO])
    first = await ask(context, key, await upload(context, key))
    await everything.run_once()
    other_key = await context.store.keys.create("other", "digest", "hint")
    again = await ask(context, other_key, await upload(context, other_key))
    assert again.queue == Queue.IO
    assert await light.run_once()
    made, before = await record(context, again), await record(context, first)
    assert made.task.status == TaskStatus.SUCCEEDED
    assert pipeline.calls == ["separate", "transcribe"], "once"
    assert contents(made) == contents(before)
    assert made.task.music == before.task.music
    assert [row.notes for row in made.instruments] == [row.notes for row in before.instruments]
    ids = {item.track.id for item in made.tracks}
    assert ids.isdisjoint(item.track.id for item in before.tracks)
    assert {row.track_id for row in made.instruments} <= ids


async def test_what_a_task_was_sent_is_not_among_the_results_that_others_get(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    worker = worker_of(context, pipeline)
    for name in ("a client's own name.wav", "another's.wav"):
        task_id = uuid.uuid4().hex
        source = NewTrack(await keep_source(context, task_id, b"song" * 100, name), None, 1.0)
        params = dict(WHOLE_SONG)
        new = NewTask(
            key_id=key.id, kind=TaskKind.TRANSCRIPTION, params=params, task_id=task_id,
            source=source, source_track_id=str(uuid.uuid4()),
        )  # fmt: skip
        task = await context.store.tasks.create(new)
        await worker.run_once()
        made = await record(context, task)
        assert made.task.status == TaskStatus.SUCCEEDED
        assert [file.name for file in made.files if file.role == "source"] == [name]
        assert len([file for file in made.files if file.role == "stem"]) == 4
        assert await pending_files(context) == 0
    assert pipeline.calls == ["separate", "transcribe"]


async def test_stems_serve_separations_and_whole_songs_alike(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    worker = worker_of(context, pipeline)
    source = await upload(context, key)
    separation = await ask(context, key, source, TaskKind.SEPARATION)
    await worker.run_once()
    await ask_for_notes(context, key, separation)
    await worker.run_once()
    whole = await ask(context, key, source)
    await worker.run_once()
    assert pipeline.calls == ["separate", "transcribe"]
    assert (await record(context, whole)).task.status == TaskStatus.SUCCEEDED
    await ask_for_notes(context, key, separation)
    await worker.run_once()
    assert pipeline.calls == ["separate", "transcribe"]


async def test_other_settings_are_other_work(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    worker = worker_of(context, pipeline)
    source = await upload(context, key)
    await ask(context, key, source, TaskKind.SEPARATION)
    vocals = NewTask(key_id=key.id, kind=TaskKind.SEPARATION, params={"type": "separate_vocal"})
    await context.store.tasks.create(vocals.over(source))
    await ask(context, key, await upload(context, key, b"another song" * 50), TaskKind.SEPARATION)
    for _ in range(3):
        await worker.run_once()
    assert pipeline.calls == ["separate"] * 3


async def test_wav_files_are_made_once_and_have_their_own_names(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    worker = worker_of(context, pipeline)
    separation = await ask(context, key, await upload(context, key), TaskKind.SEPARATION)
    await worker.run_once()
    stem = (await record(context, separation)).tracks[0]
    made = []
    for _ in range(2):
        new = NewTask(key_id=key.id, kind=TaskKind.WAV).over(stem)
        made.append(await context.store.tasks.create(new))
        await worker.run_once()
    assert pipeline.calls == ["separate", "to_wav"]
    first, second = [await record(context, task) for task in made]
    assert contents(first) == contents(second)
    assert second.task.audio_s == first.task.audio_s == 1.0


async def test_reuse_can_be_turned_off(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    context.settings = dataclasses.replace(context.settings, reuse_results=False)
    worker = worker_of(context, pipeline)
    source = await upload(context, key)
    for _ in range(2):
        await ask(context, key, source)
        await worker.run_once()
    assert pipeline.calls == ["separate", "transcribe"] * 2


async def test_deleting_one_task_leaves_the_other_s_files(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    worker = worker_of(context, pipeline)
    tasks = []
    for _ in range(2):
        tasks.append(await ask(context, key, await upload(context, key)))
        await worker.run_once()
    await context.files.delete_task(tasks[0].id)
    made = await record(context, tasks[1])
    for file in made.files:
        assert await context.storage.exists(file.storage_key)
    await ask(context, key, await upload(context, key))
    await worker.run_once()
    assert pipeline.calls == ["separate", "transcribe"], "what is left serves the next one"


async def test_nothing_of_a_failed_task_stays(
    context: Context, key: ApiKey, pipeline: FakePipeline, clock: ManualClock
) -> None:
    source = await upload(context, key)
    before = await stored_keys(context)
    task = await ask(context, key, source)

    def always_fail(report: Report) -> None:
        if pipeline.calls[-1] == "transcribe":
            raise OSError("no")

    pipeline.during = always_fail
    worker = worker_of(context, pipeline)
    for _ in range(3):
        await worker.run_once()
        clock.advance(60)
    assert (await record(context, task)).task.status == TaskStatus.FAILED
    assert pipeline.calls == ["separate"] + ["transcribe"] * 3
    assert await stored_keys(context) == before


async def test_nothing_of_a_cancelled_task_stays(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    source = await upload(context, key)
    before = await stored_keys(context)
    task = await ask(context, key, source)
    await worker_of(context, pipeline, [Queue.SEPARATION]).run_once()
    assert len(await stored_keys(context)) > len(before)
    assert await context.store.leases.cancel(task.id)
    await Janitor(context).sweep()
    assert await stored_keys(context) == before


@pytest.mark.parametrize("at_once", [2, 4])
async def test_several_tasks_at_once(context: Context, key: ApiKey, at_once: int) -> None:
    together = threading.Barrier(at_once, timeout=30)
    pipeline = FakePipeline(during=lambda report: together.wait() and None)
    worker = Worker(context, pipeline, "busy", tasks_at_once=at_once)  # type: ignore[arg-type]
    tasks = []
    for number in range(at_once):
        source = await upload(context, key, f"song {number}".encode() * 50)
        tasks.append(await ask(context, key, source, TaskKind.SEPARATION))
    started = [await worker.start_one() for _ in range(at_once)]
    assert await worker.start_one() is None, "there is no room"
    await asyncio.gather(*(job for job in started if job is not None))
    for task in tasks:
        assert (await record(context, task)).task.status == TaskStatus.SUCCEEDED
