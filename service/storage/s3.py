"""Objects in a bucket of S3, or of a server that speaks its protocol."""

import asyncio
import errno
import logging
import tempfile
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from service.errors import StorageError
from service.settings import SettingsError
from service.storage.base import BLOCK_BYTES, FRESH, Storage, append_block, make_usable, to_its_end
from service.storage.presign import Signer

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import BackoffConfig, ClientConfig, RetryConfig

_log = logging.getLogger(__name__)

_PART_BYTES = 8 << 20  # a put of more is one of many parts
_PARTS_AT_ONCE = 4  # 32 MB of memory an upload, however large its file
_PROBE_KEY = "probe"
# For a server that takes requests: the whole of one may take long, a silence may not.
_CLIENT: "ClientConfig" = {
    "allow_http": True,  # the endpoint says which it is
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(hours=6),
}
_BACKOFF: "BackoffConfig" = {
    "init_backoff": timedelta(milliseconds=100),
    "max_backoff": timedelta(seconds=3),
    "base": 2,
}
_PATIENT: "RetryConfig" = {"max_retries": 6, "retry_timeout": timedelta(seconds=30), "backoff": _BACKOFF}
# Where somebody waits meanwhile: locks are held while objects are deleted, and that is tried again later anyway.
_BRISK: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=3), "backoff": _BACKOFF}
_BRISK_CLIENT: "ClientConfig" = {**_CLIENT, "timeout": timedelta(seconds=10)}


class S3Storage(Storage):
    """Objects below a prefix of a bucket; endpoint and credentials come from the usual ``AWS_`` variables.

    Args:
        data_dir: holds the scratch folder.
        signer: makes links for clients; None where they cannot reach the bucket.

    Raises:
        SettingsError: the scratch folder cannot be written, or a variable has a value that cannot be used.
    """

    def __init__(self, data_dir: Path, bucket: str, prefix: str, signer: Signer | None) -> None:
        self.scratch_dir = data_dir / "scratch"
        make_usable(self.scratch_dir, data_dir)
        self._bucket = bucket
        self._signer = signer
        self._takes_conditions = True
        try:
            self._store = S3Store(bucket, prefix=prefix or None, client_options=_CLIENT, retry_config=_PATIENT)
            self._brisk = S3Store(bucket, prefix=prefix or None, client_options=_BRISK_CLIENT, retry_config=_BRISK)
        except (BaseError, ValueError) as error:
            raise SettingsError(f"The S3 storage cannot be opened: {_reason(error)}.") from error

    async def put(self, source: Path, key: str) -> None:
        """Store a file, and make an object young again that is there already."""
        size_bytes = (await asyncio.to_thread(source.stat)).st_size
        with self._telling(f"storing {key}"):
            if size_bytes > _PART_BYTES:
                if not await self._is_fresh(key, size_bytes):
                    await self._put(source, key)
            elif not await self._create(source, key) and not await self._is_fresh(key, size_bytes):
                await self._put(source, key)
        await asyncio.to_thread(source.unlink)

    async def local(self, key: str, folder: Path) -> Path:
        """A copy of the object below ``folder``."""
        target = folder / key.replace("/", "-")
        if await asyncio.to_thread(target.is_file):  # fetched before, and contents never change
            return target
        partial = folder / f"{uuid.uuid4().hex}.part"
        with self._telling(f"fetching {key}"):
            answer = await obstore.get_async(self._store, key)
            await asyncio.to_thread(partial.touch)  # an empty object comes in no blocks
            async for block in answer.stream(min_chunk_size=16 * BLOCK_BYTES):
                await asyncio.to_thread(append_block, partial, block)
        if (size_bytes := partial.stat().st_size) != answer.meta["size"]:
            raise StorageError(f"{key} ended after {size_bytes} of {answer.meta['size']} bytes")
        partial.replace(target)
        return target

    async def read(self, key: str, start: int, n_bytes: int) -> AsyncIterator[bytes]:
        """Part of an object."""
        if n_bytes <= 0:
            return
        with self._telling(f"reading {key}"):
            answer = await obstore.get_async(self._store, key, options={"range": (start, start + n_bytes)})
            async for chunk in answer.stream(min_chunk_size=BLOCK_BYTES):
                whole = memoryview(chunk)
                for at in range(0, len(whole), BLOCK_BYTES):
                    yield bytes(whole[at : at + BLOCK_BYTES])

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return await self._age(key) is not None

    async def delete(self, keys: Collection[str]) -> None:
        """Delete objects, a thousand with one request."""
        if not keys:
            return
        with self._telling("deleting"):
            await to_its_end(self._delete(keys))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Keys of all objects below a folder."""
        async for meta in self._list(prefix):
            yield meta["path"]

    async def refresh(self, key: str) -> bool:
        """Store an object again that is older than a day: S3 has no other way that every server knows."""
        age = await self._age(key)
        if age is not None and age >= FRESH:
            with tempfile.TemporaryDirectory(prefix="refresh-", dir=self.scratch_dir) as folder:
                copy = await self.local(key, Path(folder))
                with self._telling(f"storing {key}"):
                    await self._put(copy, key)
        return age is not None

    async def renew(self, prefix: str, older_than: timedelta) -> None:
        """Store objects again that are older than something."""
        async for meta in self._list(prefix):
            if datetime.now(UTC) - meta["last_modified"] > older_than:
                await self.refresh(meta["path"])

    async def link(self, key: str, *, name: str, mime_type: str, seconds: int, method: str = "GET") -> str | None:
        """A presigned link, where clients reach the storage."""
        if self._signer is None:
            return None
        answer = {
            "response-content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "response-content-type": mime_type,
        }
        return self._signer.link(key, answer=answer, seconds=seconds, method=method, now=datetime.now(UTC))

    async def check(self) -> str:
        """Store a probe and delete it again; the scratch folder must be writable, too."""
        try:
            await asyncio.to_thread(_probe_scratch, self.scratch_dir)
        except OSError as error:
            return f"the scratch folder is not writable ({error.strerror or error})"
        try:
            with self._telling("probing"):
                await obstore.put_async(self._brisk, _PROBE_KEY, b"ok")
                await obstore.delete_async(self._brisk, _PROBE_KEY)
        except StorageError as error:
            return error.detail
        return "ok"

    async def close(self) -> None:
        """Nothing: connections end with the store."""

    async def _list(self, prefix: str) -> "AsyncIterator[ObjectMeta]":
        with self._telling("listing"):
            async for some in obstore.list(self._store, prefix=prefix or None):
                for meta in some:
                    if meta["path"] != _PROBE_KEY:
                        yield meta

    async def _create(self, source: Path, key: str) -> bool:
        """Store a small file unless there is such an object; False where there is, or where the server cannot tell."""
        if not self._takes_conditions:
            return False
        try:
            await obstore.put_async(self._store, key, source, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, NotImplementedError) as error:
            if not isinstance(error, NotImplementedError) and "501 Not Implemented" not in str(error):
                raise
            self._takes_conditions = False
            return False
        return True

    async def _put(self, source: Path, key: str) -> None:
        await obstore.put_async(self._store, key, source, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    async def _delete(self, keys: Collection[str]) -> None:
        await obstore.delete_async(self._brisk, list(keys))

    async def _is_fresh(self, key: str, size_bytes: int) -> bool:
        age = await self._age(key, size_bytes)
        return age is not None and age < FRESH

    async def _age(self, key: str, size_bytes: int | None = None) -> timedelta | None:
        """How old an object is; None where there is none, or one of another size."""
        try:
            with self._telling(f"looking at {key}"):
                meta = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return None
        if size_bytes is not None and meta["size"] != size_bytes:
            return None
        return datetime.now(UTC) - meta["last_modified"]

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """The library's errors as ours; the log has what it said."""
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" not in str(error):
                raise FileNotFoundError(errno.ENOENT, "no such object", what) from error
            raise self._not_now(what, f"there is no bucket {self._bucket}") from error
        except BaseError as error:
            raise self._not_now(what, _reason(error)) from error

    def _not_now(self, what: str, reason: str) -> StorageError:
        _log.error("S3 storage, %s: %s", what, reason)
        return StorageError(reason)


def _reason(error: Exception) -> str:
    """The library's message without its debug part."""
    return str(error).partition("\n")[0]


def _probe_scratch(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * 4096)
        file.flush()
