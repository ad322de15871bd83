"""What a storage of files is, wherever it lies: objects that appear whole or not at all, named by their content."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from service.settings import SettingsError

T = TypeVar("T")

BLOCK_BYTES = 1 << 18
FRESH = timedelta(days=1)  # an object that is no older need not be stored again; see service.storage.lifecycle
N_FOLDERS = 256  # of objects: by the first two digits of their digests
_HASH_BYTES = 1 << 20

MIME_TYPES = {
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".w64": "audio/x-w64",
    ".rf64": "audio/wav",
    ".aiff": "audio/aiff",
    ".au": "audio/basic",
    ".caf": "audio/x-caf",
    ".mp3": "audio/mpeg",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".mka": "audio/x-matroska",
    ".mkv": "video/x-matroska",
    ".webm": "audio/webm",
    ".wma": "audio/x-ms-wma",
    ".wv": "audio/x-wavpack",
    ".mid": "audio/midi",
    ".csv": "text/csv",
    ".json": "application/json",
    ".musicxml": "application/vnd.recordare.musicxml+xml",
    ".svg": "image/svg+xml",
}


class Storage(ABC):
    """Objects by key, and a local folder for what is being made.

    Who stores and deletes must follow the protocol of :class:`service.keeper.FileKeeper`, which knows who refers to
    an object.

    Attributes:
        scratch_dir: on this machine, wherever the objects are.

    Raises:
        StorageError: from every method: the storage cannot be used just now.
    """

    scratch_dir: Path

    @abstractmethod
    async def put(self, source: Path, key: str) -> None:
        """Store a file durably; it is gone afterwards.  An object that is there already has the same content."""

    @abstractmethod
    async def local(self, key: str, folder: Path) -> Path:
        """A file of this machine with the object's bytes, to be read only; below ``folder``, if it must be fetched.

        Raises:
            FileNotFoundError: there is no such object.
        """

    @abstractmethod
    def read(self, key: str, start: int, n_bytes: int) -> AsyncIterator[bytes]:
        """Part of an object, in blocks of at most 256 kB; less, if the object is shorter.

        Raises:
            FileNotFoundError: there is no such object.
        """

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    @abstractmethod
    async def delete(self, keys: Collection[str]) -> None:
        """Delete objects; what is gone already is fine."""

    @abstractmethod
    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Keys of all objects below a folder, in no order."""

    @abstractmethod
    async def refresh(self, key: str) -> bool:
        """Make an object young again, where a rule of the storage deletes old ones; False if there is none."""

    @abstractmethod
    async def renew(self, prefix: str, older_than: timedelta) -> None:
        """Do so with all objects below a folder that are older than something."""

    @abstractmethod
    async def link(self, key: str, *, name: str, mime_type: str, seconds: int, method: str = "GET") -> str | None:
        """An address that clients can fetch the object from for some seconds; None where there is none.

        Args:
            name: the name they save it under.
            mime_type: the type they are told.
            method: ``GET`` or ``HEAD``; a link is good for one of them.
        """

    @abstractmethod
    async def check(self) -> str:
        """``ok``, or why no file can be stored now; found out by storing one."""

    @abstractmethod
    async def close(self) -> None:
        """Close connections."""


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await what goes on even when it is cancelled, as threads and requests do: who is cancelled waits for its end.

    Else an object would be stored, or deleted, when nobody holds its key any more.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def append_block(file: Path, block: bytes) -> None:
    """Write a block, and leave no file open: a fetch that is cancelled meanwhile could not close it."""
    with file.open("ab") as end:
        end.write(block)


def content_key(sha256: str) -> str:
    """The key of an object by its content's digest in hex; of so many folders that none grows huge."""
    return f"objects/{sha256[:2]}/{sha256}"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()


def unusable(data_dir: Path, reason: str) -> SettingsError:
    """For a data folder that nothing can be kept in."""
    return SettingsError(f"The data folder {data_dir} cannot be used: {reason}. Choose another: STEMSCRIBE_DATA_DIR.")


def make_usable(folder: Path, data_dir: Path) -> None:
    """Make a folder inside the data folder, and be sure that it can be written.

    Raises:
        SettingsError: it cannot be made, or not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # By doing it: permissions do not tell everything, above all not to root.
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(data_dir, f"{folder} cannot be written ({error.strerror or error})") from error
