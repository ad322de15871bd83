"""Adding the rows of files, tracks, notes and callbacks inside a transaction that somebody else opened."""

import uuid
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from service.db.models import File, InstrumentNotes, Outbox, OutboxState, PendingFile, Stage, StageFile, Task, Track
from service.errors import StorageError
from service.store.records import Claim, NewFile, NewTrack, Outcome, TrackFile

SOURCE_POSITION = -1  # before the stems
FORSAKEN = 0  # the fence of announcements that nobody holds any more: those of claims are above, of uploads below


def add_file(session: AsyncSession, task_id: str, new: NewFile, now_ms: int) -> File:
    """Record a stored file."""
    row = File(
        id=new.id or uuid.uuid4().hex,
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


async def add_outcome(session: AsyncSession, claim: Claim, outcome: Outcome, now_ms: int) -> None:
    """Record all that a finished task leaves behind."""
    task_id = claim.task.id
    if outcome.stage is not None:
        add_stage(session, claim, *outcome.stage, now_ms)
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


def add_stage(session: AsyncSession, claim: Claim, name: str, digest: str, now_ms: int) -> Stage:
    """Record that a stage of the claimed task is done for good."""
    row = Stage(
        id=uuid.uuid4().hex,
        task_id=claim.task.id,
        name=name,
        digest=digest,
        queue=claim.task.queue,
        turn=claim.task.turn,
        completed_ms=now_ms,
    )
    session.add(row)
    return row


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


async def settle(session: AsyncSession, task_id: str, fence: int) -> None:
    """Delete a holder's announcements of files that the task has rows of now; others stay until they are released."""
    files = sa.select(File.storage_key).where(File.task_id == task_id)
    in_stages = sa.select(StageFile.storage_key).join(Stage, Stage.id == StageFile.stage_id)
    recorded = sa.union(files, in_stages.where(Stage.task_id == task_id))
    await session.flush()
    await session.execute(
        sa.delete(PendingFile).where(
            PendingFile.task_id == task_id, PendingFile.fence == fence, PendingFile.storage_key.in_(recorded)
        )
    )


async def settle_upload(session: AsyncSession, task_id: str, file: NewFile) -> None:
    """Delete the announcement of an upload that this transaction records.

    Raises:
        StorageError: it took so long that its file may have been taken for a dead process's, and deleted.
    """
    announced = (
        PendingFile.storage_key == file.storage_key,
        PendingFile.task_id == task_id,
        PendingFile.fence == file.fence,
    )
    dropped = await session.scalar(sa.delete(PendingFile).where(*announced).returning(PendingFile.storage_key))
    if dropped is None:
        raise StorageError(f"the upload {task_id} was stored too long ago to be recorded")


async def forsake(session: AsyncSession, task_id: str, keys: Collection[str], now_ms: int) -> None:
    """Leave objects, the rows of which this transaction deletes, to whoever releases what nobody holds any more."""
    ours = sa.select(PendingFile.storage_key).where(PendingFile.task_id == task_id, PendingFile.fence == FORSAKEN)
    ours = ours.where(PendingFile.storage_key.in_(keys)).order_by(PendingFile.storage_key)
    known = set(await session.scalars(ours.with_for_update()))  # else a release could drop one that is relied on here
    session.add_all(
        PendingFile(storage_key=key, task_id=task_id, fence=FORSAKEN, created_ms=now_ms) for key in set(keys) - known
    )


async def find_track(session: AsyncSession, track_id: str) -> TrackFile | None:
    """A track by its public id."""
    query = sa.select(Track, File).join(File, File.id == Track.file_id).where(Track.id == track_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else TrackFile(row[0], row[1])
