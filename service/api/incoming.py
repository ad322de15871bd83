"""Audio that clients send: received in the scratch folder, checked, and stored as what a new task works on."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from pipeline.audio.probe import probe
from service.context import Context
from service.errors import ServiceError
from service.storage import task_key
from service.store.records import NewTrack

FORM_OVERHEAD_BYTES = 1_000_000  # of a form besides its file
_MAX_NAME_LENGTH = 200


@asynccontextmanager
async def scratch_file(context: Context) -> AsyncIterator[Path]:
    """A path in the scratch folder whose file, if it is still there at the end, is deleted."""
    path = context.storage.scratch_dir / f"upload-{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def clean_name(*candidates: str | None) -> str:
    """The first given name, its last path part only, without control characters."""
    for candidate in candidates:
        name = PurePosixPath((candidate or "").replace("\\", "/")).name
        name = "".join(char for char in name if char.isprintable()).strip()
        if name.strip("."):  # "." and ".." would change the path of the file's link
            return name[-_MAX_NAME_LENGTH:]
    return "audio"


@asynccontextmanager
async def stored_source(
    path: Path, *, task_id: str, name: str, sha256: str, context: Context
) -> AsyncIterator[NewTrack]:
    """A received file as the source of the task that the block records; if it does not, the file is deleted again.

    Args:
        path: the file; gone afterwards, if it is taken.
        task_id: the id the task will have.
        name: the file's name for people.
        sha256: its digest in hex.

    Raises:
        AudioError: it is no audio that is taken.
    """
    info = await asyncio.to_thread(probe, path, context.settings.decode_limits)
    key = task_key(task_id, f"source-{sha256[:16]}{info.container.suffix}")
    stored = await asyncio.to_thread(context.storage.put, path, key=key, role="source", name=name, sha256=sha256)
    try:
        yield NewTrack(stored, stem=None, duration_s=info.duration_s)
    except ServiceError:  # refused, so this file was not recorded
        context.storage.delete(key)
        raise
    except BaseException:  # a cancelled request too: nobody would ever know of the stored file
        if not await context.store.tasks.exists(task_id):  # unless it was recorded, now or by an earlier request
            context.storage.delete(key)
        raise
