"""The storage's contract, in a local folder and in S3 alike, and what each of the two does on its own."""

import asyncio
import dataclasses
import errno
import hashlib
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service.errors import StorageError
from service.settings import Settings, SettingsError
from service.storage import Storage, content_key, file_sha256, open_storage
from service.storage.local import LocalStorage
from service.storage.presign import Signer, open_signer
from support import storage_memory
from support.s3 import S3Server, s3_server, set_in_environment
from support.storage_servers import without_conditions
from support.waiting import until

SMALL = b"a small file\n" * 100
LARGE = random.Random(3).randbytes(20_000_003)  # three parts of a multipart upload


@pytest.fixture
def settings(storage_url: str, tmp_path: Path) -> Settings:
    return dataclasses.replace(Settings(), data_dir=tmp_path / "data", storage_url=storage_url)


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    storage = open_storage(settings)
    yield storage
    await storage.close()


def made(storage: Storage, content: bytes, name: str = "made") -> Path:
    path = storage.scratch_dir / name
    path.write_bytes(content)
    return path


async def put(storage: Storage, content: bytes) -> str:
    key = content_key(hashlib.sha256(content).hexdigest())
    await storage.put(made(storage, content), key)
    return key


async def cancelled_in_the_middle(work: Awaitable[None], go_on: threading.Event) -> None:
    """Cancel something that a thread does, which then goes on: who waits for it waits until that has ended."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_a_folder_s_changes_come_to_their_end_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would else happen after whoever cancelled them has looked."""
    storage = LocalStorage(tmp_path)
    for name in ("_put", "_delete"):
        go_on, change = threading.Event(), getattr(storage, name)

        def late(*args: Any, go_on: threading.Event = go_on, change: Callable[..., None] = change) -> None:
            assert go_on.wait(20)
            change(*args)

        monkeypatch.setattr(storage, name, late)
        is_put = name == "_put"
        await cancelled_in_the_middle(
            storage.put(made(storage, SMALL), "objects/ab/ab") if is_put else storage.delete(["objects/ab/ab"]), go_on
        )
        assert await storage.exists("objects/ab/ab") is is_put


async def all_of(storage: Storage, key: str) -> bytes:
    return b"".join([block async for block in storage.read(key, 0, 1 << 40)])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def keys(storage: Storage, prefix: str = "") -> list[str]:
    return sorted([key async for key in storage.keys(prefix)])


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
async def test_what_is_put_is_read(storage: Storage, tmp_path: Path, content: bytes) -> None:
    source = made(storage, content)
    key = content_key(file_sha256(source))
    assert not await storage.exists(key)
    await storage.put(source, key)
    assert not source.exists()
    assert await storage.exists(key)
    local = await storage.local(key, tmp_path)
    assert local.read_bytes() == content
    assert await storage.local(key, tmp_path) == local
    if content:
        assert await all_of(storage, key) == content


async def test_every_range_in_small_blocks(storage: Storage) -> None:
    key = await put(storage, LARGE)
    chance = random.Random(4)
    spans = [(0, 1), (len(LARGE) - 1, 1), (5, 0), (0, len(LARGE)), (len(LARGE) - 10, 100)]
    spans += [(start := chance.randrange(len(LARGE)), chance.randrange(1, len(LARGE) - start)) for _ in range(5)]
    for start, n_bytes in spans:
        blocks = [block async for block in storage.read(key, start, n_bytes)]
        assert b"".join(blocks) == LARGE[start : start + n_bytes]
        assert max(map(len, blocks), default=0) <= 1 << 18


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_the_same_content_is_one_object(storage: Storage, content: bytes) -> None:
    assert await put(storage, content) == await put(storage, content)
    first, second = made(storage, content, "first"), made(storage, content, "second")
    key = content_key(file_sha256(first))
    await asyncio.gather(storage.put(first, key), storage.put(second, key))
    assert await keys(storage) == [key]
    assert await all_of(storage, key) == content
    assert list(storage.scratch_dir.iterdir()) == []


async def test_what_is_gone(storage: Storage, tmp_path: Path) -> None:
    key = content_key("0" * 64)
    with pytest.raises(FileNotFoundError):
        await storage.local(key, tmp_path)
    with pytest.raises(FileNotFoundError):
        await all_of(storage, key)
    assert not await storage.exists(key)
    assert not await storage.refresh(key)
    await storage.delete([key])
    assert names(tmp_path) <= {"data"}  # nothing half


async def test_keys_by_folder_and_deleting_many(storage: Storage) -> None:
    made_keys = sorted([await put(storage, b"%d" % number) for number in range(40)])
    old = "tasks/ab/abab/1/drums.flac"  # as older versions named them
    await storage.put(made(storage, SMALL), old)
    assert await keys(storage) == sorted([*made_keys, old])
    folder = made_keys[0][:10]
    assert await keys(storage, folder) == [key for key in made_keys if key.startswith(folder)]
    assert await keys(storage, "nowhere") == []
    assert await all_of(storage, old) == SMALL
    await storage.delete([*made_keys[1:], old, content_key("f" * 64)])
    assert await keys(storage) == made_keys[:1]
    await storage.delete([])


async def test_the_check_stores_something_and_leaves_nothing(storage: Storage) -> None:
    assert await storage.check() == "ok"
    assert await keys(storage) == []
    assert list(storage.scratch_dir.iterdir()) == []


async def test_a_local_folder_that_cannot_be_written(tmp_path: Path) -> None:
    storage = open_storage(dataclasses.replace(Settings(), data_dir=tmp_path))
    (tmp_path / "files").rmdir()
    (tmp_path / "files").write_text("in the way")
    assert "not writable" in await storage.check()
    source = made(storage, SMALL)
    with pytest.raises(StorageError) as told:
        await storage.put(source, content_key("0" * 64))
    assert source.read_bytes() == SMALL
    assert told.value.detail
    assert told.value.detail not in told.value.message  # clients need not know where files lie


async def test_local_files_are_moved_and_folders_of_old_tasks_go(tmp_path: Path) -> None:
    storage = open_storage(dataclasses.replace(Settings(), data_dir=tmp_path))
    source = made(storage, SMALL)
    inode = source.stat().st_ino
    key = content_key(file_sha256(source))
    await storage.put(source, key)
    path = await storage.local(key, tmp_path / "unused")
    assert path.stat().st_ino == inode  # not one byte was copied
    for number in (1, 2):
        await storage.put(made(storage, SMALL), f"tasks/ab/abab/{number}/x.flac")
    await storage.delete(["tasks/ab/abab/1/x.flac"])
    assert {path.name for path in (tmp_path / "files/tasks/ab/abab").iterdir()} == {"2"}
    await storage.delete(["tasks/ab/abab/2/x.flac"])
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["objects"]


async def test_a_scratch_folder_on_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renaming across file systems fails; killed in the middle of copying, nothing half is ever seen."""
    storage = open_storage(dataclasses.replace(Settings(), data_dir=tmp_path))
    replace = Path.replace

    def across(self: Path, target: Path) -> Path:
        if storage.scratch_dir in self.parents:
            raise OSError(errno.EXDEV, "another file system")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", across)
    key = await put(storage, LARGE)
    assert await all_of(storage, key) == LARGE
    assert list(storage.scratch_dir.iterdir()) == []
    half = tmp_path / "files" / ".partial" / "half"
    half.write_bytes(b"half")
    assert await keys(storage) == [key]
    open_storage(dataclasses.replace(Settings(), data_dir=tmp_path))
    assert half.exists()  # it may be a copy that is being made
    os.utime(half, (time.time() - 7200, time.time() - 7200))
    open_storage(dataclasses.replace(Settings(), data_dir=tmp_path))
    assert not half.exists()


def s3_settings(tmp_path: Path, url: str, public_url: str = "") -> Settings:
    return dataclasses.replace(Settings(), data_dir=tmp_path / "data", storage_url=url, storage_public_url=public_url)


@pytest.fixture
def s3_url(s3: S3Server, request: pytest.FixtureRequest) -> str:
    return f"s3://stemscribe-tests/{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_an_object_of_s3_is_stored_again_only_when_it_is_old(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    storage = open_storage(s3_settings(tmp_path, s3_url))
    stored = []
    again = storage._put  # type: ignore[attr-defined]

    async def spy(source: Path, key: str) -> None:
        stored.append(key)
        await again(source, key)

    key = await put(storage, content)
    monkeypatch.setattr(storage, "_put", spy)
    await put(storage, content)
    assert await storage.refresh(key)
    await storage.renew("objects", timedelta(hours=1))
    assert stored == []
    monkeypatch.setattr("service.storage.s3.FRESH", timedelta(0))
    await put(storage, content)
    assert await storage.refresh(key)
    await storage.renew("objects", timedelta(0))
    assert stored == [key] * 3
    assert await all_of(storage, key) == content
    assert list(storage.scratch_dir.iterdir()) == []


async def test_a_fetch_that_is_cancelled_leaves_no_file_open(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(s3_settings(tmp_path, s3_url))
    key = await put(storage, SMALL)
    opened, really = list[Any](), Path.open

    def slow(path: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(really(path, *args, **kwargs))
        time.sleep(0.1)  # it is cancelled now, and whoever opened the file has yet to hear of that
        return opened[-1]

    monkeypatch.setattr(Path, "open", slow)
    fetch = asyncio.ensure_future(storage.local(key, tmp_path))
    await until(lambda: opened and fetch.cancel())
    with pytest.raises(asyncio.CancelledError):
        await fetch
    await until(lambda: opened[-1].closed)


async def test_a_presigned_link_tells_name_and_type(s3: S3Server, s3_url: str, tmp_path: Path) -> None:
    storage = open_storage(s3_settings(tmp_path, s3_url, s3.endpoint))
    key = await put(storage, SMALL)
    link = await storage.link(key, name="曲 & more.flac", mime_type="audio/flac", seconds=60)
    assert link is not None
    async with httpx.AsyncClient() as http:
        answer = await http.get(link)
        part = await http.get(link, headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (200, SMALL)
    assert answer.headers["content-type"] == "audio/flac"
    assert answer.headers["content-disposition"] == ("attachment; filename*=UTF-8''%E6%9B%B2%20%26%20more.flac")
    assert (part.status_code, part.content) == (206, SMALL[5:10])


async def test_without_a_public_address_there_is_no_link(storage: Storage) -> None:
    assert await storage.link("objects/ab/abc", name="a", mime_type="b", seconds=1) is None


@pytest.mark.parametrize("token", ["", "lent/to+us="])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("endpoint", ["https://s3.example.com", "http://127.0.0.1:9000", "https://example.com/s3"])
def test_signatures_are_those_of_amazons_own_library(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, method: str, token: str
) -> None:
    now = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None))
    answer = {
        "response-content-type": "audio/flac",
        "response-content-disposition": "attachment; filename*=UTF-8''a%20b",
    }
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "AWS_SESSION_TOKEN": token,
        "AWS_REGION": "eu-central-1",
    }
    signer = open_signer(endpoint, "bucket", "some/prefix", environ)
    ours = signer.link("objects/ab/cd", answer=answer, seconds=300, method=method, now=now)
    request = AWSRequest(method=method, url=f"{endpoint}/bucket/some/prefix/objects/ab/cd", params=answer)
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token or None)
    S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=300).add_auth(request)
    theirs = httpx.URL(request.prepare().url)
    assert dict(httpx.URL(ours).params) == dict(theirs.params)
    assert httpx.URL(ours).path == theirs.path


def test_the_bucket_may_be_in_the_hosts_name() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"}
    signer = open_signer("https://bucket.example.com", "bucket", "", environ)
    assert signer == Signer("https://bucket.example.com", "", "a", "b", "", "us-east-1")
    link = signer.link("objects/ab", answer={}, seconds=1, method="GET", now=datetime.now(UTC))
    assert link.startswith("https://bucket.example.com/objects/ab?")


def test_links_need_credentials_to_sign_them() -> None:
    with pytest.raises(SettingsError, match="STORAGE_PUBLIC_URL needs AWS_ACCESS_KEY_ID"):
        open_signer("https://example.com", "bucket", "", {"AWS_ACCESS_KEY_ID": "a"})


def test_links_need_a_storage_that_can_be_reached(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="STORAGE_PUBLIC_URL is for S3 only"):
        open_storage(s3_settings(tmp_path, "", "https://example.com"))


async def test_a_bucket_that_is_not_there(s3: S3Server, tmp_path: Path) -> None:
    storage = open_storage(s3_settings(tmp_path, "s3://no-such-bucket"))
    assert await storage.check() == "there is no bucket no-such-bucket"
    source = made(storage, SMALL)
    with pytest.raises(StorageError):
        await storage.put(source, "objects/ab/abc")
    assert source.exists()


async def test_a_server_that_knows_no_conditions(tmp_path: Path) -> None:
    with without_conditions() as (endpoint, requests):
        access = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        with set_in_environment(access):
            storage = open_storage(s3_settings(tmp_path, "s3://bucket"))
        first, second = await put(storage, b"first"), await put(storage, b"second")
        assert await put(storage, b"first") == first
        assert await all_of(storage, first) == b"first"
        assert await all_of(storage, second) == b"second"
    conditional = [request for request in requests if request.endswith("if-none-match")]
    assert len(set(conditional)) == 1  # it is asked for once, and then known


async def test_a_server_that_is_down_and_comes_back(tmp_path: Path) -> None:
    """Errors say so; nothing is lost meanwhile, and requests outlast a short absence."""
    with s3_server(tmp_path / "log") as server, set_in_environment(server.environment()):
        storage = open_storage(s3_settings(tmp_path, "s3://stemscribe-tests"))
        key = await put(storage, SMALL)
        server.suspend()
        began = asyncio.create_task(put(storage, LARGE))
        await asyncio.sleep(0.2)
        assert not began.done()
        server.resume()
        large_key = await began
        assert await keys(storage) == sorted([key, large_key])
        server.stop()
        source = made(storage, SMALL)
        acts = (storage.delete([key]), storage.exists(key), storage.put(source, key), all_of(storage, key))
        for answer in await asyncio.gather(*acts, return_exceptions=True):
            assert isinstance(answer, StorageError)
            assert "cannot be used just now" in answer.message
            assert server.endpoint not in answer.message
            assert "error sending request" in answer.detail
        assert "error sending request" in await storage.check()
        assert source.read_bytes() == SMALL


async def test_memory_stays_flat(s3: S3Server, s3_url: str, tmp_path: Path) -> None:
    """A file of 200 MB is stored, fetched and streamed in far less memory than its size."""
    command = [sys.executable, "-m", "support.storage_memory", str(tmp_path / "data"), s3_url]
    env = {**os.environ, "PYTHONPATH": str(Path(storage_memory.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert float(out) < storage_memory.FILE_MB / 2
