"""Where files lie: one folder, addressed by keys; every file appears whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from service.settings import SettingsError
from service.store.records import NewFile

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
_READ_BYTES = 1 << 20


class LocalStorage:
    """Files below one folder, beside a scratch folder on the same file system so that storing is a rename.

    Raises:
        SettingsError: the folders cannot be made, or not be written.
    """

    def __init__(self, data_dir: Path) -> None:
        self.files_dir = data_dir / "files"
        self.scratch_dir = data_dir / "scratch"
        for folder in (self.files_dir, self.scratch_dir):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unusable(data_dir, error.strerror or str(error)) from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise unusable(data_dir, f"{folder} cannot be written")

    def path(self, key: str) -> Path:
        """Where the file of a key lies (or would lie)."""
        return self.files_dir / key

    def put(self, source: Path, *, key: str, role: str, name: str, sha256: str | None = None) -> NewFile:
        """Move a file from the scratch folder into the storage, durably.

        Args:
            source: the finished file; gone afterwards.
            key: its key; an existing file under it is replaced.
            role: what it is to its task.
            name: the name clients see.
            sha256: its digest in hex, where it is known already.
        """
        digest = sha256 or file_sha256(source)
        size_bytes = source.stat().st_size
        target = self.path(key)
        self._make_folder(target.parent)
        _fsync(source)
        source.replace(target)
        _fsync(target.parent)
        mime_type = MIME_TYPES.get(target.suffix, "application/octet-stream")  # the key's: a client chose the name
        return NewFile(role, name, mime_type, key, size_bytes, digest)

    def delete(self, key: str) -> None:
        """Delete a file, or everything below a folder's key; what is gone already is fine.

        Raises:
            OSError: it is still there.
        """
        with contextlib.suppress(FileNotFoundError):
            if self.path(key).is_dir():
                shutil.rmtree(self.path(key))
            else:
                self.path(key).unlink()

    def writable(self) -> bool:
        """Whether a file can be written now (disk full, read-only mounts and lost permissions say no)."""
        try:
            with tempfile.TemporaryFile(dir=self.scratch_dir) as file:
                file.write(b"x" * 4096)
                file.flush()
        except OSError:
            return False
        return True

    def task_ids(self) -> Iterator[str]:
        """Ids of the tasks that have a folder, known to the database or not."""
        return (path.name for path in self.files_dir.glob("tasks/??/*"))

    def touched_s(self, key: str) -> float:
        """When a folder was last changed, in Unix seconds; now, if it is gone."""
        try:
            return self.path(key).stat().st_mtime
        except FileNotFoundError:
            return time.time()

    def _make_folder(self, folder: Path) -> None:
        """Make a folder below the storage so that it outlasts a power cut: its name is on disk in its parent."""
        if folder.is_dir() or folder == self.files_dir:
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def unusable(data_dir: Path, reason: str) -> SettingsError:
    """For a data folder that nothing can be kept in."""
    return SettingsError(f"The data folder {data_dir} cannot be used: {reason}. Choose another: STEMSCRIBE_DATA_DIR.")


def task_key(task_id: str, *parts: object) -> str:
    """The storage key of something of a task: ``tasks/<first two digits>/<id>/...``, so that no folder grows huge."""
    return "/".join(["tasks", task_id[:2], task_id, *map(str, parts)])


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
