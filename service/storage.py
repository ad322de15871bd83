"""Where files lie: one folder, addressed by keys; every file appears whole or not at all."""

import hashlib
import os
import shutil
from pathlib import Path

from service.store.records import NewFile

MIME_TYPES = {
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mid": "audio/midi",
    ".csv": "text/csv; charset=utf-8",
}
_READ_BYTES = 1 << 20


class LocalStorage:
    """Files below one folder, beside a scratch folder on the same file system so that storing is a rename."""

    def __init__(self, data_dir: Path) -> None:
        self.files_dir = data_dir / "files"
        self.scratch_dir = data_dir / "scratch"
        for folder in (self.files_dir, self.scratch_dir):
            folder.mkdir(parents=True, exist_ok=True)

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
        target.parent.mkdir(parents=True, exist_ok=True)
        _fsync(source)
        source.replace(target)
        _fsync(target.parent)
        mime_type = MIME_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
        return NewFile(role, name, mime_type, key, size_bytes, digest)

    def delete(self, key: str) -> None:
        """Delete a file, or everything below a folder's key; what is gone already is fine."""
        path = self.path(key)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def writable(self) -> bool:
        """Whether a file can be written now (disk full, read-only mounts and lost permissions say no)."""
        probe = self.scratch_dir / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"x" * 4096)
            probe.unlink()
        except OSError:
            return False
        return True


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
