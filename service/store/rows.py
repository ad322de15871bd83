"""Adding the rows of files, tracks, notes and callbacks inside a transaction that somebody else opened."""

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from service.db.models import File, InstrumentNotes, Outbox, OutboxState, Task, Track
from service.store.records import NewFile, NewTrack, Outcome, TrackFile

SOURCE_POSITION = -1  # before the stems


def add_file(session: AsyncSession, task_id: str, new: NewFile, now_ms: int) -> File:
    """Record a stored file."""
    row = File(
        id=uuid.uuid4().hex,
        task_id=task_id,
        role=new.role,
        name=new.name,
        mime_type=new.mime_type,
        storage_key=new.storage_key,
        size_bytes=new.size_bytes,
        sha256=new.sha256,
        created_ms=now_ms,
    )
    session.add(row)
    return row


async def add_track(
    session: AsyncSession, task_id: str, new: NewTrack, position: int, now_ms: int, track_id: str | None = None
) -> TrackFile:
    """Record an audio and its file; ``track_id`` where the id was promised beforehand."""
    file = add_file(session, task_id, new.file, now_ms)
    await session.flush()  # the file's row must stand before the track that points to it
    track = Track(
        id=track_id or str(uuid.uuid4()),
        task_id=task_id,
        file_id=file.id,
        stem=new.stem,
        position=position,
        duration_s=new.duration_s,
    )
    session.add(track)
    return TrackFile(track, file)


async def add_outcome(session: AsyncSession, task_id: str, outcome: Outcome, now_ms: int) -> None:
    """Record all that a finished task leaves behind."""
    ids = {}
    for position, new_track in enumerate(outcome.tracks):
        ids[new_track.stem] = (await add_track(session, task_id, new_track, position, now_ms)).track.id
    for new_file in outcome.files:
        add_file(session, task_id, new_file, now_ms)
    for position, new in enumerate(outcome.instruments):
        session.add(
            InstrumentNotes(
                id=uuid.uuid4().hex,
                task_id=task_id,
                track_id=new.track_id or ids.get(new.stem, ""),
                position=position,
                name=new.name,
                program=new.program,
                is_drum=new.is_drum,
                stem=new.stem,
                confidence=new.confidence,
                notes=new.notes,
            )
        )


def add_callback(session: AsyncSession, task: Task, now_ms: int) -> None:
    """Owe the task's callback, if it asked for one."""
    if task.callback_url:
        session.add(
            Outbox(
                id=f"evt_{uuid.uuid4().hex}",
                task_id=task.id,
                url=task.callback_url,
                state=OutboxState.PENDING,
                attempts=0,
                retries_from=0,
                due_ms=now_ms,
                created_ms=now_ms,
            )
        )
