"""Tables.  The schema exists only through the migrations; a test compares the two.

All times are integer milliseconds since the Unix epoch (UTC): the wire's unit, exact in every database.
"""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Deterministic constraint names, so that migrations can address them on every database.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base; ``int`` columns are 64 bits wide."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON, bytes: LargeBinary}  # noqa: RUF012 (their name)


class TaskKind(StrEnum):
    """What a task does."""

    UPLOAD = "upload"
    SEPARATION = "separation"
    MIDI = "midi"
    WAV = "wav"
    TRANSCRIPTION = "transcription"  # separation and notes in one
    AUDIO_TO_MIDI = "audio_to_midi"  # the same of a song, the notes alone of a single instrument
    EXTRACTION = "extraction"  # stems by name
    KEY_BPM = "key_bpm"
    CONVERSION = "conversion"
    CUT = "cut"
    SPEED = "speed"


class Dialect(StrEnum):
    """Whose shapes a task's callback has: those of the route that asked for it."""

    KIE = "kie"
    KIE_JOBS = "kie-jobs"
    NATIVE = "native"
    MUSICGPT = "musicgpt"


class Queue(StrEnum):
    """Which workers a task waits for.

    ``io`` is light work: fetching, decoding, encoding, results that are there already, callbacks.
    """

    SEPARATION = "separation"
    MIDI = "midi"
    IO = "io"


class TaskStatus(StrEnum):
    """Where a task stands.

    ::

        queued --claim--> running --finish--> succeeded
          ^  |              | | \\--give up---> failed
          |  \\----cancel----/--|------------> cancelled
          \\---hand back, ------/
               lease expired, retryable error,
               next stage on another queue
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (TaskStatus.QUEUED, TaskStatus.RUNNING)


class OutboxState(StrEnum):
    """Where a callback stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


_TAKEN = sa.text("status <> 'queued'")
_WAITS = sa.text("status = 'queued'")


class ApiKey(Base):
    """A client's key; only its keyed digest is stored.

    Limits are None where the settings' own hold; a ``credit_limit`` of None is none.  Credits are in thousandths.
    ``bucket_full_us`` is when the key's token bucket will be full again: how far that lies ahead tells the tokens that
    are missing from it.  Rotated, a key is known by its old digest, too, until ``previous_until_ms``.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    previous_digest: Mapped[str | None] = mapped_column(index=True, unique=True)
    previous_until_ms: Mapped[int | None]
    created_ms: Mapped[int]
    last_used_ms: Mapped[int | None]
    revoked_ms: Mapped[int | None]

    rate_limit: Mapped[int | None]
    in_flight_limit: Mapped[int | None]
    credit_limit: Mapped[int | None]
    credits_spent: Mapped[int]
    bucket_full_us: Mapped[int]  # microseconds: a token of many in a short window takes no whole millisecond


class CreditEntry(Base):
    """One line of a key's ledger, in thousandths of a credit: positive when it was spent, negative when given back.

    Entries outlive their tasks; ``ApiKey.credits_spent`` is their sum.
    """

    __tablename__ = "credit_entries"

    id: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    task_id: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    amount: Mapped[int]
    created_ms: Mapped[int]


class Task(Base):
    """One piece of work, from request to result; the truth that the queue only rings a bell for.

    ``turn`` makes queues fair: a key's tasks get rising turns, from the one on that its queue has come to, and workers
    take them by turn; what one key has waiting is never in the way of another's first task.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_claim", "queue", "turn", "created_ms", "id", postgresql_where=_WAITS, sqlite_where=_WAITS),
        Index("ix_tasks_waiting", "queue", "key_id", "priority", "turn", postgresql_where=_WAITS, sqlite_where=_WAITS),
        Index("ix_tasks_turn", "queue", "key_id", "turn"),
        Index("ix_tasks_taken", "queue", "turn", postgresql_where=_TAKEN, sqlite_where=_TAKEN),
        Index("ix_tasks_lease", "status", "lease_until_ms"),
        Index("ix_tasks_expiry", "expires_ms"),
        Index("ix_tasks_list", "key_id", "created_ms", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    kind: Mapped[str]
    dialect: Mapped[str]
    status: Mapped[str]
    params: Mapped[dict[str, Any]]
    callback_url: Mapped[str | None]
    source_track_id: Mapped[str | None]
    parent_task_id: Mapped[str | None]
    audio_s: Mapped[float | None]  # length of what is worked on, once it is known
    credits: Mapped[int]  # spent on it, in thousandths
    music: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # as service.music has it

    queue: Mapped[str]
    turn: Mapped[int]
    priority: Mapped[int]  # higher ones first, among tasks of one key: it decides their turns
    request_id: Mapped[str | None]  # of the request that asked for it, for the logs

    stage: Mapped[str | None]
    progress: Mapped[float]
    error_code: Mapped[int | None]
    error_name: Mapped[str | None]
    error_message: Mapped[str | None]

    due_ms: Mapped[int]
    lease_owner: Mapped[str | None]
    lease_until_ms: Mapped[int | None]
    attempt: Mapped[int]
    fence: Mapped[int]

    created_ms: Mapped[int]
    started_ms: Mapped[int | None]
    completed_ms: Mapped[int | None]
    expires_ms: Mapped[int | None]


class File(Base):
    """A stored file; its bytes lie in the storage under ``storage_key``."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    role: Mapped[str]
    name: Mapped[str]
    mime_type: Mapped[str]
    storage_key: Mapped[str] = mapped_column(index=True)  # of its content: tasks share what is the same
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    created_ms: Mapped[int]


class PendingFile(Base):
    """A promise to store: written before the bytes, gone when a row tells of them.

    Every stored object has a row here, or in ``files`` or ``stage_files``; one that has none is deleted, by whoever
    holds the lock of its key.  A claim's fence is positive, an upload makes up a negative one, and what was deleted
    has 0 until its object is gone, too.
    """

    __tablename__ = "pending_files"
    __table_args__ = (Index("ix_pending_files_task", "task_id", "fence"),)

    storage_key: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(primary_key=True)
    fence: Mapped[int] = mapped_column(primary_key=True)
    created_ms: Mapped[int] = mapped_column(index=True)


class Stage(Base):
    """A stage of a task that is done for good.

    Another attempt at the task goes on from it, and so does another task with the same ``digest``: of all that decides
    the result, the audio's content, the settings, the code and weights.  ``queue`` and ``turn`` are where it was done,
    and so how far that queue has come.
    """

    __tablename__ = "stages"
    __table_args__ = (
        UniqueConstraint("task_id", "name"),
        Index("ix_stages_digest", "digest", "completed_ms"),
        Index("ix_stages_turn", "queue", "turn"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    name: Mapped[str]
    digest: Mapped[str]
    queue: Mapped[str]
    turn: Mapped[int]
    completed_ms: Mapped[int]


class StageFile(Base):
    """A file that a stage made; nobody is shown it before the task ends."""

    __tablename__ = "stage_files"

    id: Mapped[str] = mapped_column(primary_key=True)
    stage_id: Mapped[str] = mapped_column(ForeignKey("stages.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    role: Mapped[str]
    stem: Mapped[str | None]
    name: Mapped[str]
    mime_type: Mapped[str]
    storage_key: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    duration_s: Mapped[float | None]


class Track(Base):
    """Every audio the service knows: an upload, a fetched source, a stem.  Its id is the public ``audioId``."""

    __tablename__ = "tracks"

    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"))
    stem: Mapped[str | None]
    position: Mapped[int]
    duration_s: Mapped[float | None]


class InstrumentNotes(Base):
    """The notes of one instrument; ``notes`` is the JSON list itself, so that a poll need not build it anew.

    ``track_id`` is empty where the stem that it was heard in was not kept.
    """

    __tablename__ = "instrument_notes"
    __table_args__ = (UniqueConstraint("task_id", "position"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    track_id: Mapped[str]
    position: Mapped[int]
    name: Mapped[str]
    program: Mapped[int]
    is_drum: Mapped[bool]
    stem: Mapped[str]
    confidence: Mapped[float | None]  # None of those that were written down before it was measured
    notes: Mapped[bytes]


class Outbox(Base):
    """A callback that is owed; written in the transaction that ends its task."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "state", "due_ms"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    url: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    retries_from: Mapped[int]  # attempts that were made before the last redelivery: the schedule starts anew there
    due_ms: Mapped[int]
    created_ms: Mapped[int]


class Delivery(Base):
    """One attempt to deliver a callback; without ``duration_ms`` it is under way, or its deliverer was killed."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    outbox_id: Mapped[str] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    started_ms: Mapped[int]
    duration_ms: Mapped[int | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None]


class Idempotency(Base):
    """What a request with an ``Idempotency-Key`` was, and, once it is answered, the answer.

    ``task_id`` is promised to whatever the request makes, so that a repeat after a crash makes nothing a second time.
    ``request`` and ``fingerprint`` are digests: of method, path and query, and of the body, once that has ended.
    ``attempt`` names who is working on it.
    """

    __tablename__ = "idempotency"

    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    fingerprint: Mapped[str | None]
    task_id: Mapped[str]
    attempt: Mapped[str]
    locked_until_ms: Mapped[int]
    status_code: Mapped[int | None]
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes | None]
    expires_ms: Mapped[int] = mapped_column(index=True)


class Speed(Base):
    """How fast a stage was of late, for estimates: seconds of work per second of audio."""

    __tablename__ = "speeds"

    stage: Mapped[str] = mapped_column(primary_key=True)
    seconds_per_audio_s: Mapped[float]
    measured_ms: Mapped[int]
