"""Stages of tasks that hear a recording as it is: what it was taken for, notes, key and tempo, stems by name."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.recognition import Recognised
from pipeline.song import Report
from service.context import Context
from service.db.models import ApiKey, Queue, Task, TaskKind, TaskStatus
from service.models import models_of_queues
from service.settings import Settings
from service.store.records import NewTask, TaskRecord, TrackFile
from service.worker.worker import Worker
from support.clock import ManualClock
from support.pipeline import FakePipeline
from support.stored import stored_keys
from support.tracks import stored_track

PIANO = Recognised("other", 0.9)
MIDI = {"mode": "auto", "sonify": True, "note_events": True, "transcriber": "auto"}


def worker_of(context: Context, pipeline: FakePipeline, queues: Sequence[Queue] = tuple(Queue)) -> Worker:
    return Worker(context, pipeline, "+".join(queues), queues=queues)  # type: ignore[arg-type]


async def upload(context: Context, key: ApiKey) -> TrackFile:
    path = context.storage.scratch_dir / f"upload-{uuid.uuid4().hex}"
    path.write_bytes(b"song" * 100)
    return await stored_track(context, key, path)


async def ask(context: Context, key: ApiKey, kind: TaskKind, params: dict[str, Any]) -> Task:
    new = NewTask(key_id=key.id, kind=kind, params=dict(params))
    return await context.store.tasks.create(new.over(await upload(context, key)))


async def record(context: Context, task: Task) -> TaskRecord:
    found = await context.store.tasks.record(task.id)
    assert found is not None
    return found


def roles(made: TaskRecord) -> set[str]:
    return {file.role for file in made.files} - {"source", "stem"}


@pytest.mark.parametrize(
    ("recognised", "separated"),
    [(Recognised(None, 0.9), ["recognise", "separate"]), (PIANO, ["recognise"])],
    ids=["song", "piano"],
)
async def test_each_worker_does_its_part(
    context: Context, key: ApiKey, recognised: Recognised, separated: list[str]
) -> None:
    listening, writing = FakePipeline(recognised=recognised), FakePipeline()
    separator = worker_of(context, listening, [Queue.SEPARATION])
    transcriber = worker_of(context, writing, [Queue.MIDI])
    task = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    assert not await transcriber.run_once()
    assert await separator.run_once()
    between = (await record(context, task)).task
    assert (between.status, between.queue) == (TaskStatus.QUEUED, Queue.MIDI)
    assert await transcriber.run_once()
    made = await record(context, task)
    assert made.task.status == TaskStatus.SUCCEEDED
    assert (listening.calls, writing.calls) == (separated, ["transcribe", "sonify"])
    assert roles(made) > {"midi", "sonified", "note_events"}
    assert (made.task.music or {})["mode"] == ("song" if recognised.stem is None else "instrument")
    stems = ["drums", "bass", "other"] if recognised.stem is None else ["other"]
    assert [row.stem for row in made.instruments] == stems


async def test_workers_of_other_code_do_not_send_a_task_back_and_forth(
    context: Context, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening, writing = FakePipeline(), FakePipeline()
    separator = worker_of(context, listening, [Queue.SEPARATION])
    transcriber = worker_of(context, writing, [Queue.MIDI])
    task = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    assert await separator.run_once()
    monkeypatch.setattr("service.digests.code_fingerprint", lambda: "another release's")
    assert await transcriber.run_once()
    assert (await record(context, task)).task.status == TaskStatus.SUCCEEDED
    assert (listening.calls, writing.calls) == (["recognise", "separate"], ["transcribe", "sonify"])


def test_who_separates_has_what_recognition_takes() -> None:
    assert models_of_queues(Settings(), [Queue.SEPARATION]) == ("htdemucs", "swift-f0")
    assert models_of_queues(Settings(), [Queue.IO]) == ()


async def test_what_the_client_says_needs_no_listening(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    task = await ask(context, key, TaskKind.AUDIO_TO_MIDI, {**MIDI, "mode": "bass", "sonify": False})
    await worker_of(context, pipeline).run_once()
    made = await record(context, task)
    assert task.queue == Queue.MIDI
    assert pipeline.calls == ["transcribe"]
    assert (made.task.music or {})["mode"] == "bass"
    assert "note_events" in roles(made)
    assert "sonified" not in roles(made)


async def test_another_attempt_does_not_listen_again(
    context: Context, key: ApiKey, pipeline: FakePipeline, clock: ManualClock
) -> None:
    pipeline.recognised = PIANO

    def fail_once_in_transcription(report: Report) -> None:
        if pipeline.calls[-1] == "transcribe" and pipeline.calls.count("transcribe") == 1:
            raise OSError("the disk was full")

    pipeline.during = fail_once_in_transcription
    task = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    worker = worker_of(context, pipeline)
    await worker.run_once()
    clock.advance(60)
    await worker.run_once()
    assert (await record(context, task)).task.status == TaskStatus.SUCCEEDED
    assert pipeline.calls == ["recognise", "transcribe", "transcribe", "sonify"]


async def test_what_was_heard_serves_others_who_ask_for_more_or_the_same(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    pipeline.recognised = PIANO
    worker = worker_of(context, pipeline)
    first = await ask(context, key, TaskKind.AUDIO_TO_MIDI, {**MIDI, "sonify": False})
    await worker.run_once()
    more = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    await worker.run_once()
    assert pipeline.calls == ["recognise", "transcribe", "transcribe", "sonify"]
    same = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    assert same.queue == Queue.IO
    await context.files.delete_task(first.id)
    await context.files.delete_task(more.id)
    await worker.run_once()
    again = await record(context, same)
    assert again.task.status == TaskStatus.SUCCEEDED, "made anew: nobody has it any more"
    once_more = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    n_calls = len(pipeline.calls)
    await worker.run_once()
    made = await record(context, once_more)
    assert len(pipeline.calls) == n_calls
    assert (made.task.music, roles(made)) == (again.task.music, roles(again))
    assert [row.notes for row in made.instruments] == [row.notes for row in again.instruments]


async def test_nothing_of_a_deleted_task_stays(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    pipeline.recognised = PIANO
    task = await ask(context, key, TaskKind.AUDIO_TO_MIDI, MIDI)
    await worker_of(context, pipeline).run_once()
    made = await record(context, task)
    assert made.source is not None
    await context.files.delete_task(task.id)
    assert await stored_keys(context) == [made.source.file.storage_key], "the upload's own"
    await context.files.delete_task(made.source.track.task_id)
    assert await stored_keys(context) == []


async def test_stems_by_name_share_the_separation_and_subtract_once(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    worker = worker_of(context, pipeline)
    await ask(context, key, TaskKind.SEPARATION, {"type": "split_stem"})
    await worker.run_once()
    for wanted in (["instrumental", "bass"], ["vocals", "drums", "instrumental"]):
        task = await ask(context, key, TaskKind.EXTRACTION, {"stems": wanted})
        await worker.run_once()
        made = await record(context, task)
        assert [item.track.stem for item in made.tracks] == wanted
    assert pipeline.calls == ["separate", "subtract"]
    task = await ask(context, key, TaskKind.EXTRACTION, {"stems": ["instrumental"]})
    await worker.run_once()
    assert [item.track.stem for item in (await record(context, task)).tracks] == ["instrumental"]
    assert pipeline.calls == ["separate", "subtract", "separate"], "vocals and the rest, which is less work"


async def test_key_and_tempo_are_heard_once(context: Context, key: ApiKey, pipeline: FakePipeline) -> None:
    worker = worker_of(context, pipeline)
    first, second = [await ask(context, key, TaskKind.KEY_BPM, {}) for _ in range(2)]
    while await worker.run_once():
        pass
    assert pipeline.calls == ["tempo_and_key"]
    heard = (await record(context, first)).task.music
    assert heard == (await record(context, second)).task.music
    assert heard == {
        "tempo": 120.0,
        "tempo_confidence": 0.9,
        "key": "A minor",
        "key_confidence": 0.75,
        "keys": [{"start_s": 0.0, "end_s": 1.0, "key": "A minor"}],
    }
