"""What the stores take and give besides table rows."""

from dataclasses import dataclass, field
from typing import Any

from service.db.models import File, InstrumentNotes, Task, Track


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that already lies in the storage and is to be recorded.

    Attributes:
        role: what it is to its task: ``source``, ``stem``, ``midi``, ``stem_midi``, ``csv``.
        name: file name shown to clients.
        storage_key: where its bytes are.
    """

    role: str
    name: str
    mime_type: str
    storage_key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NewTrack:
    """An audio to be known by a public id; ``stem`` is None for a source."""

    file: NewFile
    stem: str | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class NewNotes:
    """One instrument's notes, ready for the wire (pitch, start, end, velocity)."""

    track_id: str
    name: str
    program: int
    is_drum: bool
    stem: str
    notes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a finished task leaves behind."""

    tracks: list[NewTrack] = field(default_factory=list)
    files: list[NewFile] = field(default_factory=list)
    instruments: list[NewNotes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a task; ``fence`` grows with every claim, so that an old holder can write nothing."""

    task: Task
    owner: str
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class TrackFile:
    """A track and the file that holds it."""

    track: Track
    file: File


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task with all that belongs to it, as record-info and callbacks show it."""

    task: Task
    source: TrackFile | None
    tracks: list[TrackFile]
    files: list[File]
    instruments: list[InstrumentNotes]
    callback_dead: bool
