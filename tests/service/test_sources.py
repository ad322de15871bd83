"""What a task works on: uploaded or fetched, measured where its header states no length, and paid for."""

import dataclasses
import ipaddress
import math
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest

from pipeline.song import Report
from service.context import Context
from service.db.models import ApiKey, Task, TaskKind, TaskStatus
from service.settings import Settings
from service.storage import content_key
from service.store.records import NewTask, NewTrack, TaskRecord
from service.worker.worker import Worker
from support.audio import aac_bytes, wav_bytes
from support.pipeline import FakePipeline
from support.servers import answer, http_server
from support.stored import keep_source, stored_keys

LENGTH_S = 10.0
ABOUT_LENGTH_S = pytest.approx(LENGTH_S, abs=0.3)  # an encoder fills its first and last frames


@pytest.fixture
def settings(settings: Settings) -> Settings:
    loopback = (ipaddress.ip_network("127.0.0.0/8"),)
    return dataclasses.replace(settings, prices="separation=2+6/min", allow_addresses=loopback)


@pytest.fixture
def worker(context: Context, pipeline: FakePipeline) -> Worker:
    return Worker(context, pipeline, "tester")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def endless() -> bytes:
    return aac_bytes(LENGTH_S)


async def upload(context: Context, key: ApiKey, content: bytes, name: str, duration_s: float | None = None) -> str:
    """The id of an uploaded track."""
    file = await keep_source(context, "ab" * 16, content, name)
    made = await context.store.tasks.create_upload(
        key_id=key.id, task_id="ab" * 16, track=NewTrack(file, None, duration_s), params={}
    )
    return made.tracks[0].track.id


async def separation(context: Context, key: ApiKey, source_track_id: str, url: str | None = None) -> Task:
    params = {"type": "split_stem"} if url is None else {"type": "split_stem", "audio_url": url}
    return await context.store.tasks.create(
        NewTask(key_id=key.id, kind=TaskKind.SEPARATION, params=params, source_track_id=source_track_id)
    )


async def record(context: Context, task: Task) -> TaskRecord:
    found = await context.store.tasks.record(task.id)
    assert found is not None
    return found


async def spent(context: Context, key: ApiKey) -> int:
    return (await context.store.keys.get(key.id)).credits_spent


def price(record: TaskRecord) -> int:
    """Of a separation of the source, whose length must be known by now."""
    assert record.source is not None
    assert record.source.track.duration_s == ABOUT_LENGTH_S
    return 2000 + math.ceil(6000 * record.source.track.duration_s / 60)


async def test_an_upload_of_unknown_length_is_measured_and_charged(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, endless: bytes
) -> None:
    scratch: list[str] = []

    def look(_: Report) -> None:
        scratch.extend(path.name for path in context.storage.scratch_dir.rglob("decoded-*"))

    pipeline.during = look
    track_id = await upload(context, key, endless, "song.aac")
    tasks = [await separation(context, key, track_id) for _ in range(2)]  # the second need not be measured
    assert [task.credits for task in tasks] == [2000, 2000]
    assert [await worker.run_once() for _ in tasks] == [True, True]
    for task in tasks:
        done = await record(context, task)
        assert (done.task.status, done.task.credits) == (TaskStatus.SUCCEEDED, price(done))
    assert await spent(context, key) == 2 * price(done)
    assert scratch == []


async def test_a_fetched_source_of_unknown_length_is_measured_and_charged(
    context: Context, key: ApiKey, worker: Worker, endless: bytes
) -> None:
    with http_server(lambda handler, _: answer(handler, 200, endless)) as base:
        task = await separation(context, key, "promised", f"{base}/{'x' * 1500}.aac")
        assert await worker.run_once()
    done = await record(context, task)
    assert (done.task.status, done.task.credits) == (TaskStatus.SUCCEEDED, price(done))
    assert await spent(context, key) == price(done)
    assert done.source is not None
    assert done.source.file.name == "x" * 196 + ".aac"


@pytest.mark.parametrize("how", ["uploaded", "fetched"])
async def test_what_turns_out_too_long_for_the_credits_fails_and_is_refunded(
    context: Context, key: ApiKey, worker: Worker, pipeline: FakePipeline, endless: bytes, how: str
) -> None:
    await context.store.keys.set_limits(key.id, {"credit_limit": 2500})
    with http_server(lambda handler, _: answer(handler, 200, endless)) as base:
        if how == "uploaded":
            task = await separation(context, key, await upload(context, key, endless, "song.aac"))
        else:
            task = await separation(context, key, "promised", f"{base}/song.aac")
        assert await worker.run_once()
    failed = (await record(context, task)).task
    assert (failed.status, failed.error_code, failed.error_name) == (TaskStatus.FAILED, 402, "insufficient_credits")
    assert (failed.credits, await spent(context, key), pipeline.calls) == (0, 0, [])
    assert len(await stored_keys(context)) == (how == "uploaded")  # a source that nobody paid for is not kept


async def test_a_download_counts_for_no_stage_s_speed(
    context: Context, key: ApiKey, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0

    def slowly(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal now_s
        now_s += 100
        answer(handler, 200, wav_bytes())

    monkeypatch.setattr("service.worker.progress.time", SimpleNamespace(monotonic=lambda: now_s))
    with http_server(slowly) as base:
        await separation(context, key, "promised", f"{base}/song.wav")
        assert await worker.run_once()
    assert now_s == 100
    assert await context.store.speeds.all() == {"separation": 0.0}


async def test_a_name_of_any_length_becomes_a_wav(context: Context, key: ApiKey, worker: Worker) -> None:
    track_id = await upload(context, key, wav_bytes(), "曲" * 100 + ".flac", 1.0)
    task = await context.store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.WAV, source_track_id=track_id))
    assert await worker.run_once()
    done = await record(context, task)
    assert (done.task.status, done.task.error_message) == (TaskStatus.SUCCEEDED, None)
    [file] = done.files
    assert (file.name, file.storage_key) == ("曲" * 65 + ".wav", content_key(file.sha256))
