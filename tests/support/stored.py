"""What lies in a service's storage, wherever that is."""

from pathlib import Path

from service.context import Context
from service.keeper import upload_fence
from service.store.records import NewFile


async def stored_keys(context: Context) -> list[str]:
    return sorted([key async for key in context.storage.keys("")])


async def stored_bytes(context: Context, key: str) -> bytes:
    return b"".join([block async for block in context.storage.read(key, 0, 1 << 40)])


async def keep_source(context: Context, task_id: str, content: bytes, name: str = "song.wav") -> NewFile:
    """Store an audio as an upload does, to be recorded with a task of this id."""
    path = Path(context.storage.scratch_dir) / f"upload-{task_id}"
    path.write_bytes(content)
    return await context.files.keep(
        path, task_id=task_id, fence=upload_fence(), role="source", name=name, mime_type="audio/wav"
    )
