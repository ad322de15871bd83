"""Tasks as clients see them: created by a request, read by a poll, deleted when their time is over."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from pipeline.recognition_modes import STEMS
from service.clock import Clock
from service.db.database import Database
from service.db.models import (
    LIVE,
    Delivery,
    Dialect,
    File,
    InstrumentNotes,
    Outbox,
    Queue,
    Stage,
    Task,
    TaskKind,
    TaskStatus,
    Track,
)
from service.digests import Digests, same_work, transcriber_of, wanted_stems
from service.doorbell import Doorbell
from service.errors import Conflict
from service.logs import current_request_id
from service.store.admission import Limits, admit, locked_key
from service.store.records import NewTask, NewTrack, TaskRecord, TrackFile
from service.store.rows import SOURCE_POSITION, add_track, find_track, settle_upload
from service.store.turns import next_turn

# Where the main stage of each kind is done.
HOME_QUEUES = {
    TaskKind.UPLOAD: Queue.IO,
    TaskKind.SEPARATION: Queue.SEPARATION,
    TaskKind.TRANSCRIPTION: Queue.SEPARATION,
    TaskKind.MIDI: Queue.MIDI,
    TaskKind.WAV: Queue.IO,
    TaskKind.AUDIO_TO_MIDI: Queue.SEPARATION,
    TaskKind.EXTRACTION: Queue.SEPARATION,
    TaskKind.KEY_BPM: Queue.MIDI,
    TaskKind.CONVERSION: Queue.IO,
    TaskKind.CUT: Queue.IO,
    TaskKind.SPEED: Queue.IO,
}


class TaskStore:
    """Creates, reads, lists and deletes tasks."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        limits: Limits,
        doorbell: Doorbell,
        digests: Digests,
        *,
        retention_ms: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._doorbell = doorbell
        self._digests = digests
        self._retention_ms = retention_ms

    async def create(self, new: NewTask, *, once: bool = False) -> Task:
        """Queue a task, or find the one that was made under the promised id before.

        Args:
            once: refuse it where the key has such a task over the same audio that is live or has succeeded.

        Raises:
            TooManyRequests, PaymentRequired: a limit of the key.
            Conflict: there is such a task already, and ``once`` is set; or this id was promised to a task that another
                file came with.
            StorageError: its source was stored too long ago.
        """
        now = self._clock.now_ms()
        task = new_task(new.key_id, new.kind, now, new.task_id)
        task.dialect = new.dialect
        task.params = new.params
        task.callback_url = new.callback_url
        task.source_track_id = new.source_track_id
        task.parent_task_id = new.parent_task_id
        task.audio_s = new.audio_s
        task.priority = new.priority
        async with self._database.write() as session:
            key = await locked_key(session, new.key_id)
            if new.task_id is not None and (made := await session.get(Task, new.task_id)) is not None:
                if new.source is not None:
                    _refuse_other_file(await find_track(session, made.source_track_id or ""), new.source)
                return made
            if once:
                await _refuse_second(session, new, now)
            await admit(session, key, task, self._limits, now)
            task.queue = await self._first_queue(session, new)
            task.turn = await next_turn(session, task.queue, key.id, task.priority)
            session.add(task)
            if new.source is not None:
                await session.flush()
                await add_track(session, task.id, new.source, SOURCE_POSITION, now, track_id=new.source_track_id)
                await settle_upload(session, task.id, new.source.file)
        self._doorbell.ring(task.queue, task.id)
        return task

    async def _first_queue(self, session: AsyncSession, new: NewTask) -> Queue:
        """Where a task waits first: with the light work, where its audio must be fetched or its result is there."""
        if new.kind == TaskKind.MIDI:
            stems = stems_of(await _tracks(session, new.parent_task_id or ""))
            wanted = wanted_stems({name: item.track.id for name, item in stems.items()}, new.params)
            contents = {name: item.file.sha256 for name, item in stems.items()}
            digest = self._digests.transcription(contents, wanted, transcriber_of(new.params))
        else:
            found = await find_track(session, new.source_track_id or "")
            source = new.source.file if new.source is not None else found.file if found is not None else None
            if source is None:
                return Queue.IO
            digest = self._digests.first(new.kind, source.sha256, new.params)
        made = sa.select(sa.exists().where(Stage.digest.between(*same_work(digest))))
        if await session.scalar(made):
            return Queue.IO
        if new.kind == TaskKind.AUDIO_TO_MIDI and new.params["mode"] in STEMS:  # nothing is separated
            return Queue.MIDI
        return HOME_QUEUES[new.kind]

    async def create_upload(self, *, key_id: str, task_id: str, track: NewTrack, params: dict[str, Any]) -> TaskRecord:
        """Record an upload as a task that has succeeded already, with its one track.

        Raises:
            Conflict: this id was promised to an upload that another file came with.
            StorageError: its file was stored too long ago.
        """
        now = self._clock.now_ms()
        task = new_task(key_id, TaskKind.UPLOAD, now, task_id)
        task.params = params
        task.status = TaskStatus.SUCCEEDED
        task.progress = 1.0
        task.completed_ms = now
        task.expires_ms = now + self._retention_ms
        task.audio_s = track.duration_s
        async with self._database.write() as session:
            await locked_key(session, key_id)
            if (made := await session.get(Task, task_id)) is not None:
                task, [stored] = made, await _tracks(session, task_id)
                _refuse_other_file(stored, track)
            else:
                session.add(task)
                await session.flush()
                stored = await add_track(session, task.id, track, 0, now)
                await settle_upload(session, task.id, track.file)
        return TaskRecord(task, None, [stored], [stored.file], [], outbox=None)

    async def find(self, key_id: str, task_id: str, *kinds: TaskKind) -> Task | None:
        """The caller's task of one of ``kinds`` (any, when none is named)."""
        query = sa.select(Task).where(Task.id == task_id, Task.key_id == key_id)
        if kinds:
            query = query.where(Task.kind.in_(kinds))
        async with self._database.read() as session:
            return await session.scalar(query)

    async def has_ended(self, key_id: str, task_id: str) -> bool:
        """Whether the caller's task has ended and is still there, its time not over."""
        ended = sa.and_(Task.status.not_in(LIVE), Task.expires_ms > self._clock.now_ms())
        query = sa.select(sa.exists().where(Task.id == task_id, Task.key_id == key_id, ended))
        async with self._database.read() as session:
            return bool(await session.scalar(query))

    async def exists(self, task_id: str) -> bool:
        """Whether there is such a task, of whichever key."""
        async with self._database.read() as session:
            return bool(await session.scalar(sa.select(sa.exists().where(Task.id == task_id))))

    async def tracks(self, task_id: str) -> list[TrackFile]:
        """The task's tracks in their order, sources first."""
        async with self._database.read() as session:
            return await _tracks(session, task_id)

    async def track(self, track_id: str) -> TrackFile | None:
        """One track by its public id."""
        async with self._database.read() as session:
            return await find_track(session, track_id)

    async def file(self, file_id: str) -> tuple[File, Task] | None:
        """A file and the task it belongs to."""
        query = sa.select(File, Task).join(Task, Task.id == File.task_id).where(File.id == file_id)
        async with self._database.read() as session:
            row = (await session.execute(query)).one_or_none()
        return None if row is None else (row[0], row[1])

    async def track_of_file(self, key_id: str, file_id: str) -> TrackFile | None:
        """The caller's track that a file holds."""
        query = (
            sa.select(Track, File)
            .join(File, File.id == Track.file_id)
            .join(Task, Task.id == Track.task_id)
            .where(File.id == file_id, Task.key_id == key_id)
        )
        async with self._database.read() as session:
            row = (await session.execute(query)).one_or_none()
        return None if row is None else TrackFile(row[0], row[1])

    async def version(self, key_id: str, task_id: str) -> tuple[Any, ...] | None:
        """Of the caller's task, ended and its time not over: another one whenever its record shows something else.

        What an ended task has made stays as it is; its callback moves on, and its source can be deleted.
        """
        settled = sa.select(sa.func.count(Delivery.duration_ms)).where(Delivery.outbox_id == Outbox.id)
        query = (
            sa.select(Outbox.state, Outbox.attempts, Outbox.due_ms, settled.scalar_subquery(), Track.id)
            .select_from(Task)
            .outerjoin(Outbox, Outbox.task_id == Task.id)
            .outerjoin(Track, Track.id == Task.source_track_id)
            .where(Task.id == task_id, Task.key_id == key_id)
            .where(Task.status.not_in(LIVE), Task.expires_ms > self._clock.now_ms())
        )
        async with self._database.read() as session:
            row = (await session.execute(query)).one_or_none()
        return None if row is None else tuple(row)

    async def record(self, task_id: str, *, with_notes: bool | Callable[[Task], bool] = True) -> TaskRecord | None:
        """The task with all that belongs to it, as of one moment.

        Args:
            with_notes: whether to read the note lists, which are most of it; without them, the instruments have all
                but their ``notes``.
        """
        async with self._database.read() as session:
            task = await session.get(Task, task_id)
            if task is None:
                return None
            source = await find_track(session, task.source_track_id) if task.source_track_id else None
            files = await session.scalars(sa.select(File).where(File.task_id == task_id).order_by(File.name))
            instruments = sa.select(InstrumentNotes).where(InstrumentNotes.task_id == task_id)
            if not (with_notes(task) if callable(with_notes) else with_notes):
                instruments = instruments.options(defer(InstrumentNotes.notes, raiseload=True))
            notes = await session.scalars(instruments.order_by(InstrumentNotes.position))
            outbox = await session.scalar(sa.select(Outbox).where(Outbox.task_id == task_id))
            tracks = [item for item in await _tracks(session, task_id) if item.track.stem is not None]
            return TaskRecord(task, source, tracks, list(files), list(notes), outbox)

    async def list(
        self,
        key_id: str,
        *,
        status: TaskStatus | None,
        kind: TaskKind | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Task]:
        """The caller's tasks, newest first.

        Args:
            before: creation time (Unix ms) and id of the last task already seen; None begins with the newest.
        """
        query = sa.select(Task).where(Task.key_id == key_id)
        if status is not None:
            query = query.where(Task.status == status)
        if kind is not None:
            query = query.where(Task.kind == kind)
        if before is not None:
            query = query.where(sa.tuple_(Task.created_ms, Task.id) < before)
        query = query.order_by(Task.created_ms.desc(), Task.id.desc()).limit(limit)
        async with self._database.read() as session:
            return (await session.scalars(query)).all()

    async def expired(self, limit: int) -> Sequence[Task]:
        """Tasks whose time is over, oldest first."""
        query = sa.select(Task).where(Task.expires_ms <= self._clock.now_ms()).order_by(Task.expires_ms).limit(limit)
        async with self._database.read() as session:
            return (await session.scalars(query)).all()


def new_task(key_id: str, kind: TaskKind, now_ms: int, task_id: str | None = None) -> Task:
    """A task row that is due now."""
    return Task(
        id=task_id or uuid.uuid4().hex,
        key_id=key_id,
        kind=kind,
        status=TaskStatus.QUEUED,
        params={},
        dialect=Dialect.KIE,
        progress=0.0,
        credits=0,
        queue=HOME_QUEUES[kind],
        turn=0,
        priority=0,
        request_id=current_request_id(),
        due_ms=now_ms,
        attempt=0,
        fence=0,
        created_ms=now_ms,
    )


def stems_of(tracks: Sequence[TrackFile]) -> dict[str, TrackFile]:
    """The stems among a task's tracks, by name."""
    return {item.track.stem: item for item in tracks if item.track.stem is not None}


async def _refuse_second(session: AsyncSession, new: NewTask, now_ms: int) -> None:
    query = sa.select(Task.id).where(
        Task.key_id == new.key_id,
        Task.kind == new.kind,
        Task.source_track_id == new.source_track_id,
        Task.status.in_((*LIVE, TaskStatus.SUCCEEDED)),
        sa.or_(Task.expires_ms.is_(None), Task.expires_ms > now_ms),
    )
    if (made := await session.scalar(query.limit(1))) is not None:
        raise Conflict(f"This exists already: task {made}.")


def _refuse_other_file(stored: TrackFile | None, sent: NewTrack) -> None:
    if stored is None or stored.file.sha256 != sent.file.sha256:
        raise Conflict("This Idempotency-Key was used for another file.")


async def _tracks(session: AsyncSession, task_id: str) -> list[TrackFile]:
    query = (
        sa.select(Track, File)
        .join(File, File.id == Track.file_id)
        .where(Track.task_id == task_id)
        .order_by(Track.position)
    )
    return [TrackFile(row[0], row[1]) for row in await session.execute(query)]
