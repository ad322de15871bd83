"""Audio that another task has made, named by its link: a conversion's result, say, to be cut or written down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.api.checks import NO_RECORD, is_expired
from service.context import Context
from service.db.models import ApiKey, File
from service.errors import Invalid
from service.keeper import upload_fence
from service.store.records import NewFile, NewTrack

_ROLES = ("converted", "wav", "sonified", "preview")  # audio that is no track


async def made_file(url: str, key: ApiKey, context: Context) -> File | None:
    """The caller's file of audio, no track, that a link of our own points to; None for any other address."""
    file_id = context.links.live_file_id(url, context.clock.now_ms())
    found = await context.store.tasks.file(file_id) if file_id is not None else None
    if found is None or found[0].role not in _ROLES:
        return None
    file, task = found
    return None if task.key_id != key.id or is_expired(task, context) else file


@asynccontextmanager
async def shared_source(file: File, field: str, *, task_id: str, context: Context) -> AsyncIterator[NewTrack]:
    """A file of another task as the source of the task that the block records; its length is found out by the worker.

    Args:
        field: that named it.
        task_id: the id the task will have.

    Raises:
        Invalid: it was deleted just now.
    """
    fence, key = upload_fence(), file.storage_key
    try:
        if not await context.files.reuse([key], task_id=task_id, fence=fence):
            raise Invalid(NO_RECORD, field=field)
        shared = NewFile("source", file.name, file.mime_type, key, file.size_bytes, file.sha256, fence)
        yield NewTrack(shared, stem=None, duration_s=None)
    finally:  # refused, or recorded by an earlier attempt
        await context.files.release(task_id, fence)
