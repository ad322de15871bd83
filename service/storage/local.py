"""Objects as files below one folder."""

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import timedelta
from pathlib import Path

import anyio

from service.errors import StorageError
from service.storage.base import BLOCK_BYTES, Storage, make_usable, to_its_end

_log = logging.getLogger(__name__)

_PARTIAL = ".partial"  # folder of copies that are not whole yet
_PARTIAL_STALE_S = 3600
_KEYS_AT_ONCE = 1000


class LocalStorage(Storage):
    """Files below one folder, beside a scratch folder, on the same file system if possible: storing is a rename then.

    Args:
        data_dir: holds both.

    Raises:
        SettingsError: the folders cannot be made, or not be written.
    """

    def __init__(self, data_dir: Path) -> None:
        self.scratch_dir = data_dir / "scratch"
        self._files_dir = data_dir / "files"
        for folder in (self._files_dir, self.scratch_dir):
            make_usable(folder, data_dir)
        self._drop_partial()

    async def put(self, source: Path, key: str) -> None:
        """Move a file into the storage, durably; one that is there already is replaced by the same content."""
        try:
            await to_its_end(asyncio.to_thread(self._put, source, self._path(key)))
        except OSError as error:
            raise _not_now(error) from error

    async def local(self, key: str, folder: Path) -> Path:
        """The object's own file."""
        path = self._path(key)
        if not await asyncio.to_thread(path.is_file):
            raise FileNotFoundError(errno.ENOENT, "no such object", key)
        return path

    async def read(self, key: str, start: int, n_bytes: int) -> AsyncIterator[bytes]:
        """Part of an object."""
        async with await anyio.open_file(self._path(key), "rb") as file:
            await file.seek(start)
            while n_bytes > 0 and (block := await file.read(min(BLOCK_BYTES, n_bytes))):
                n_bytes -= len(block)
                yield block

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return await asyncio.to_thread(self._path(key).is_file)

    async def delete(self, keys: Collection[str]) -> None:
        """Delete objects, and the folders of tasks that older versions kept them in."""
        try:
            await to_its_end(asyncio.to_thread(self._delete, keys))
        except OSError as error:
            raise _not_now(error) from error

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Keys of all objects below a folder."""
        found = self._walk(self._path(prefix))
        while some := await asyncio.to_thread(lambda: list(itertools.islice(found, _KEYS_AT_ONCE))):
            for key in some:
                yield key

    async def refresh(self, key: str) -> bool:
        """Whether there is such an object; no rule deletes files for their age."""
        return await self.exists(key)

    async def renew(self, prefix: str, older_than: timedelta) -> None:
        """Nothing."""

    async def link(self, key: str, *, name: str, mime_type: str, seconds: int, method: str = "GET") -> None:
        """None: only the API reaches these files."""

    async def check(self) -> str:
        """Whether a file can be written now (disk full, read-only mounts and lost permissions say no)."""
        return await asyncio.to_thread(self._check)

    async def close(self) -> None:
        """Nothing is open."""

    def _path(self, key: str) -> Path:
        return self._files_dir / key

    def _put(self, source: Path, target: Path) -> None:
        self._make_folder(target.parent)
        _fsync(source)
        try:
            source.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(source, target)
            source.unlink()
        _fsync(target.parent)

    def _copy(self, source: Path, target: Path) -> None:
        """From another file system: under a name of its own first, so that nobody sees half a file."""
        partial = self._path(_PARTIAL) / uuid.uuid4().hex
        self._make_folder(partial.parent)
        try:
            shutil.copyfile(source, partial)
            _fsync(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def _drop_partial(self) -> None:
        """Delete what a process left that died while it copied."""
        for path in self._path(_PARTIAL).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _PARTIAL_STALE_S:
                    path.unlink()

    def _delete(self, keys: Collection[str]) -> None:
        for key in keys:
            self._path(key).unlink(missing_ok=True)
            if key.startswith("tasks/"):
                with contextlib.suppress(OSError):  # not empty yet, or gone already
                    for folder in itertools.islice(self._path(key).parents, key.count("/")):
                        folder.rmdir()

    def _walk(self, folder: Path) -> Iterator[str]:
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name != _PARTIAL]
            keys = (Path(place) / name for name in names if not name.startswith("."))
            yield from (path.relative_to(self._files_dir).as_posix() for path in keys)

    def _check(self) -> str:
        try:
            for folder in (self.scratch_dir, self._files_dir):
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b"x" * 4096)
                    file.flush()
        except OSError as error:
            return f"the data folder is not writable ({error.strerror or error})"
        return "ok"

    def _make_folder(self, folder: Path) -> None:
        """Make a folder below the storage so that it outlasts a power cut: its name is on disk in its parent."""
        if folder.is_dir() or folder == self._files_dir:
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _not_now(error: OSError) -> StorageError:
    _log.error("the data folder: %s", error)
    return StorageError(error.strerror or str(error))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
