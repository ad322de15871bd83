"""Audio that clients send: received in the scratch folder, checked, and stored as what a new task works on."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pipeline.audio.limits import DecodeLimits
from pipeline.audio.probe import probe
from service.context import Context
from service.keeper import upload_fence
from service.names import with_suffix
from service.storage import MIME_TYPES
from service.store.records import NewTrack

FORM_OVERHEAD_BYTES = 1_000_000  # of a form besides its file


@asynccontextmanager
async def scratch_file(context: Context) -> AsyncIterator[Path]:
    """A path in the scratch folder whose file, if it is still there at the end, is deleted."""
    path = context.storage.scratch_dir / f"upload-{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@asynccontextmanager
async def stored_source(
    path: Path, *, task_id: str, name: str, sha256: str, context: Context, limits: DecodeLimits | None = None
) -> AsyncIterator[NewTrack]:
    """A received file as the source of the task that the block records; if it does not, the file is deleted again.

    A task that an earlier attempt has recorded keeps its file.

    Args:
        path: the file; gone afterwards, if it is taken.
        task_id: the id the task will have.
        name: the file's name for people; one that was made up gets a suffix.
        sha256: its digest in hex.
        limits: what is taken; the settings' usual ones if None.

    Raises:
        AudioError: it is no audio that is taken.
        StorageError: it cannot be stored just now.
    """
    info = await asyncio.to_thread(probe, path, limits or context.settings.decode_limits)
    suffix, fence = info.container.suffix, upload_fence()
    try:
        stored = await context.files.keep(
            path,
            task_id=task_id,
            fence=fence,
            role="source",
            name=with_suffix(name, suffix),
            mime_type=MIME_TYPES.get(suffix),
            sha256=sha256,
        )
        yield NewTrack(stored, stem=None, duration_s=info.duration_s)
    finally:  # refused, cancelled, or found to be recorded by an earlier attempt: nobody would ever know of this file
        await context.files.release(task_id, fence)
