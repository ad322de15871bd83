"""Deaths at bad moments: within a migration, between a commit and its answer, between storing and recording."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Cancelled
from service.context import Context
from service.db.database import Database
from service.db.models import ApiKey, TaskKind, TaskStatus
from service.errors import StorageError
from service.store.leases import LeaseStore
from service.store.records import Claim, NewTask, Outcome
from service.worker.janitor import Janitor
from service.worker.progress import JobProgress
from service.worker.worker import Worker
from support.api import Api
from support.audio import wav_bytes
from support.clock import ManualClock
from support.pipeline import FakePipeline
from support.process import environment, stemscribe
from support.stored import stored_keys

UPGRADE = "import asyncio, sys; from service.db.database import Database; asyncio.run(Database(sys.argv[1]).upgrade())"


def test_a_first_start_that_is_killed_anywhere_can_be_repeated(tmp_path: Path) -> None:
    """The database file is there before its tables are: kill right then, and at some moments after."""
    for number, pause_s in enumerate((0.0, 0.01, 0.03, 0.06, 0.1)):
        path = tmp_path / f"{number}.db"
        url = f"sqlite+aiosqlite:///{path}"
        process = subprocess.Popen([sys.executable, "-c", UPGRADE, url])
        while not path.exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        again = subprocess.run([sys.executable, "-c", UPGRADE, url], capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() != []
        connection.close()


async def test_many_processes_may_start_on_an_empty_database_at_once(tmp_path: Path) -> None:
    for number in range(5):  # a race that one start in a hundred lost
        url = f"sqlite+aiosqlite:///{tmp_path / f'new-{number}.db'}"
        databases = [Database(url) for _ in range(5)]
        await asyncio.gather(*(database.upgrade() for database in databases))
        assert await databases[0].at_head()
        for database in databases:
            await database.close()


async def test_a_success_whose_commit_was_never_answered_keeps_its_files(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = LeaseStore.succeed

    async def commit_and_break(self: LeaseStore, claim: Claim, outcome: Outcome) -> None:
        await succeed(self, claim, outcome)
        raise ConnectionResetError("the database went away after the commit")

    monkeypatch.setattr(LeaseStore, "succeed", commit_and_break)
    done = await api.separated()
    assert done["successFlag"] == "SUCCESS"
    for item in done["response"]["originData"]:
        assert (await api.get_bytes(item["audio_url"])).startswith(b"fLaC")


async def test_an_upload_that_cannot_be_recorded_leaves_no_file(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("the database is away")

    monkeypatch.setattr(type(api.context.store.tasks), "create_upload", break_down)
    response = await api.http.post("/api/file-stream-upload", files={"file": wav_bytes()}, headers=api.headers)
    assert response.status_code == 500
    assert await stored_keys(api.context) == []


async def test_an_expired_record_goes_at_once_and_files_that_cannot_be_deleted_then_go_later(
    api: Api, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = await api.upload()
    clock.advance(15 * 24 * 3600)

    async def busy(_: Collection[str]) -> None:
        raise StorageError("busy")

    janitor = Janitor(api.context)
    with monkeypatch.context() as patched:
        patched.setattr(api.context.storage, "delete", busy)
        assert await janitor.delete_expired() == 1
        assert await janitor.sweep() == 1
    assert not await api.context.store.tasks.exists(uploaded["taskId"])
    assert len(await stored_keys(api.context)) == 1
    assert await janitor.sweep() == 1
    assert await stored_keys(api.context) == []
    assert await janitor.sweep() == 0


async def test_a_stored_file_that_is_gone_is_not_found(api: Api) -> None:
    uploaded = await api.upload()
    await api.context.storage.delete(await stored_keys(api.context))
    assert (await api.http.get(api.path_of(uploaded["downloadUrl"]))).status_code == 404


async def test_a_stop_ends_a_download_at_once() -> None:
    progress = JobProgress()
    started = asyncio.get_running_loop().time()
    asyncio.get_running_loop().call_later(0.05, progress.stop)
    with pytest.raises(Cancelled):
        await progress.unless_stopped(asyncio.sleep(30))
    assert asyncio.get_running_loop().time() - started < 5


async def test_a_job_that_does_not_stop_is_handed_back_and_can_write_nothing_more(
    context: Context, key: ApiKey, pipeline: FakePipeline
) -> None:
    task = await context.store.tasks.create(
        NewTask(key_id=key.id, kind=TaskKind.MIDI, params={}, callback_url=None, parent_task_id="none")
    )
    claim = await context.store.leases.claim("stubborn")
    assert claim is not None
    worker = Worker(context, pipeline, "stubborn")  # type: ignore[arg-type]
    job = asyncio.create_task(asyncio.sleep(0))  # what does not stop
    worker._running[job] = (claim, JobProgress())
    await worker.abandon()
    record = await context.store.tasks.record(task.id)
    assert record is not None
    assert (record.task.status, record.task.attempt) == (TaskStatus.QUEUED, 0)
    await worker.abandon()  # again: nothing to hand back, nothing breaks
    await job


def test_two_first_commands_at_once(tmp_path: Path) -> None:
    env = environment(tmp_path / "data")
    command = [sys.executable, "-m", "service.cli", "keys", "create"]
    started = [
        subprocess.Popen([*command, name], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in ("one", "two", "three")
    ]
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    assert stemscribe("keys", "list", env={**env, "COLUMNS": "200"}).stdout.count("stsc_") == 3
