"""Tables.  The schema exists only through the migrations; a test compares the two.

All times are integer milliseconds since the Unix epoch (UTC): the wire's unit, exact in every database.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, MetaData, UniqueConstraint
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
    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 (SQLAlchemy's name)


class TaskKind(StrEnum):
    """What a task does."""

    UPLOAD = "upload"
    SEPARATION = "separation"
    MIDI = "midi"


class TaskStatus(StrEnum):
    """Where a task stands.

    ::

        queued --claim--> running --finish--> succeeded
          ^                 |  \\--give up---> failed
          \\---hand back, ---/
               lease expired, retryable error
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class OutboxState(StrEnum):
    """Where a callback stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class ApiKey(Base):
    """A client's key; only its keyed digest is stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    created_ms: Mapped[int]
    last_used_ms: Mapped[int | None]
    revoked_ms: Mapped[int | None]


class Task(Base):
    """One piece of work, from request to result; the truth that the queue only rings a bell for."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_claim", "status", "due_ms", "created_ms"),
        Index("ix_tasks_expiry", "expires_ms"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    kind: Mapped[str]
    status: Mapped[str]
    params: Mapped[dict[str, Any]]
    callback_url: Mapped[str | None]
    source_track_id: Mapped[str | None]
    parent_task_id: Mapped[str | None]

    stage: Mapped[str | None]
    progress: Mapped[float]
    error_code: Mapped[int | None]
    error_message: Mapped[str | None]

    due_ms: Mapped[int]
    lease_owner: Mapped[str | None]
    lease_until_ms: Mapped[int | None]
    attempt: Mapped[int]
    fence: Mapped[int]

    created_ms: Mapped[int]
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
    storage_key: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    created_ms: Mapped[int]


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
    """The notes of one instrument of a MIDI task, as the wire sends them."""

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
    notes: Mapped[list[Any]]


class Outbox(Base):
    """A callback that is owed; written in the transaction that ends its task."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "state", "due_ms"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    url: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
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
