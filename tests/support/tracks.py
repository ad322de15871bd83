"""Uploads as tests of the worker need them: stored and recorded, without a request."""

import uuid
from pathlib import Path

from service.context import Context
from service.db.models import ApiKey
from service.store.records import NewTrack, TrackFile


async def stored_track(context: Context, key: ApiKey, path: Path) -> TrackFile:
    """A file as the track of an upload; the file is gone afterwards."""
    task_id = uuid.uuid4().hex
    file = await context.files.keep(path, task_id=task_id, fence=-1, role="source", name="song.wav")
    made = await context.store.tasks.create_upload(
        key_id=key.id, task_id=task_id, track=NewTrack(file, None, 1.0), params={}
    )
    return made.tracks[0]
