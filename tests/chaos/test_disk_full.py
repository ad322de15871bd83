"""A disk that is full: tasks wait until there is room again, requests are told so, and nothing is half there.

Full is what a limit of the size of files makes it (Linux): the same calls fail as on a full disk, at the same places,
and it can be put on a process that runs, and taken away again, by anybody.
"""

import base64
import contextlib
import errno
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.song import Report
from service.context import Context
from service.db.models import ApiKey, TaskKind, TaskStatus
from service.store.records import NewTask
from service.worker import worker as worker_module
from service.worker.worker import Worker
from support.audio import wav_bytes
from support.clock import ManualClock
from support.embedded import ask, check_success, left_over, rows, show, transcribe, until
from support.fleet import Receiver
from support.pipeline import FakePipeline
from support.process import RunningService, running_service
from support.servers import answer, http_server
from support.tracks import stored_track

pytestmark = pytest.mark.chaos

SOME_BYTES = 300_000  # enough for what the database writes in a minute, too little for a stem


@contextlib.contextmanager
def full_disk(process: psutil.Process, max_bytes: int) -> Iterator[None]:
    """Let a process write no file beyond a size."""
    _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))


def shorten_log(service: RunningService) -> None:
    """Of the database, which writes on from the start of its log then."""
    with contextlib.closing(sqlite3.connect(service.data_dir / "stemscribe.db", timeout=30)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.weights
def test_a_worker_without_room(
    tmp_path: Path, whole_song: bytes, whole_song_files: dict[str, str], receiver: Receiver
) -> None:
    """It is encoding when the disk becomes full."""
    with running_service(tmp_path) as service:
        worker = service.worker()
        task_id = transcribe(service, whole_song, receiver.url("song"))
        until(lambda: show(service, task_id)["stage"] == "separating", service, "it was not begun")
        shorten_log(service)
        with full_disk(worker, SOME_BYTES):
            until(lambda: "waits until it can be stored" in service.log.read_text(), service, "it has room")
            until(lambda: show(service, task_id)["status"] == "queued", service, "it does not wait")
            assert rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id) == [(0,)]
            assert "File too large" in service.log.read_text(), "the log must say why"
        check_success(service, task_id, whole_song_files, receiver, "song")
        assert service.worker().pid == worker.pid


@pytest.mark.weights
def test_a_worker_that_can_write_nothing_at_all(
    tmp_path: Path, whole_song: bytes, whole_song_files: dict[str, str], receiver: Receiver
) -> None:
    """Not even into the database: whatever it is doing waits, and so does who would take the task from it."""
    with running_service(tmp_path, lease_seconds="3") as service:
        worker = service.worker()
        task_id = transcribe(service, whole_song, receiver.url("song"))
        until(lambda: show(service, task_id)["stage"] == "separating", service, "it was not begun")
        shorten_log(service)
        with full_disk(worker, 0):
            lease_until = rows(service, "SELECT lease_until_ms FROM tasks WHERE id = ?", task_id)
            with contextlib.suppress(psutil.TimeoutExpired):
                worker.wait(8)
            assert worker.is_running()
            assert rows(service, "SELECT lease_until_ms FROM tasks WHERE id = ?", task_id) == lease_until
        check_success(service, task_id, whole_song_files, receiver, "song")
        assert service.worker().pid == worker.pid


@pytest.mark.weights
def test_an_api_without_room(tmp_path: Path) -> None:
    song = wav_bytes(5.0)

    def send_song(handler: object, _body: bytes) -> None:
        answer(handler, 200, song)  # type: ignore[arg-type]

    with running_service(tmp_path) as service, http_server(send_song) as elsewhere:
        api = psutil.Process(service.process.pid)
        shorten_log(service)
        uploads = f"{service.base_url}/api"
        by_url = {"fileUrl": f"{elsewhere}/song.wav"}
        by_text = {"base64Data": base64.b64encode(song).decode()}
        with full_disk(api, SOME_BYTES):
            answers = [
                service.send(song),
                httpx.post(f"{uploads}/file-url-upload", json=by_url, headers=service.headers, timeout=60),
                httpx.post(f"{uploads}/file-base64-upload", json=by_text, headers=service.headers, timeout=60),
                ask(service, song),
            ]
            for response in answers:
                assert response.status_code == 503, response.text
                assert response.headers["Retry-After"] == "5"
                assert "storage of files cannot be used just now" in response.text
            assert left_over(service) == []
        with full_disk(api, 0):
            ready = httpx.get(f"{service.base_url}/health/ready", timeout=30)
            assert ready.status_code == 503
            assert "File too large" in ready.json()["checks"]["storage"]
            assert service.send(song).status_code == 503
        assert left_over(service) == []
        assert httpx.get(f"{service.base_url}/health/ready", timeout=30).status_code == 200
        assert service.send(song).status_code == 200


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_audio_is_written_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    """Above all the end of a FLAC, which libsndfile writes when it closes the file, and loses without a word."""
    samples = quantise(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 50_000)).astype(np.float32), 16)
    path = tmp_path / f"song{suffix}"

    def write() -> bytes:
        with AudioWriter(path, 44_100, 2, 16) as file:
            for start in range(0, samples.shape[1], 20_000):
                file.write(samples[:, start : start + 20_000])
        return path.read_bytes()

    whole = write()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for missing in (1, 1000, 10_000, len(whole) // 2, len(whole) - 30, len(whole)):
        path.unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) - missing, hard))
        try:
            with pytest.raises(OSError, match="File too large") as told:
                write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert (told.value.errno, told.value.filename) == (errno.EFBIG, str(path))
    assert write() == whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_costs_no_attempt_for_a_day(
    context: Context,
    key: ApiKey,
    pipeline: FakePipeline,
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wav_bytes())
    new = NewTask(key_id=key.id, kind=TaskKind.SEPARATION, params={"type": "split_stem"})
    task = await context.store.tasks.create(new.over(await stored_track(context, key, path)))
    worker = Worker(context, pipeline, "tests")  # type: ignore[arg-type]

    def fail(_report: Report) -> None:
        raise OSError(number, "no room", "vocals.flac")

    async def row() -> tuple[str, int]:
        found = await context.store.tasks.find(key.id, task.id)
        assert found is not None
        return found.status, found.attempt

    pipeline.during = fail
    clock.advance(48 * 3600)  # before anybody had time for it
    for _ in range(10):
        assert await worker.run_once()
        assert not await worker.run_once(), "it must not be tried again at once"
        assert await row() == (TaskStatus.QUEUED, 0)
        clock.advance(15)
    monkeypatch.setattr(worker_module, "_MOST_CLAIMS", 10)
    for _ in range(3):
        assert await worker.run_once()
        clock.advance(60)
    assert (await row())[0] == TaskStatus.FAILED
