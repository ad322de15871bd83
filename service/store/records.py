"""What the stores take and give besides table rows."""

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from service.db.models import Dialect, File, Idempotency, InstrumentNotes, Outbox, OutboxState, Task, TaskKind, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task that a client asks for.

    Attributes:
        task_id: the id it is to have, where one was promised; asked for again under it, nothing is made twice.
        source_track_id: the audio it works on; the id its track will have, where it is still to be fetched.
        parent_task_id: the task whose tracks it works on.
        source: the audio it works on, where the client sent it along: stored already, to be a track of the task's own.
        audio_s: length of the audio in seconds, where it is known already.
        priority: higher ones are done first, among the tasks of one key.
    """

    key_id: str
    kind: TaskKind
    dialect: Dialect = Dialect.KIE
    params: dict[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    task_id: str | None = None
    source_track_id: str | None = None
    parent_task_id: str | None = None
    source: "NewTrack | None" = None
    audio_s: float | None = None
    priority: int = 0

    def over(self, track: "TrackFile | None") -> "NewTask":
        """The same, working on a track; None is one that is still to be fetched, and is promised its id."""
        if track is None:
            return replace(self, source_track_id=str(uuid.uuid4()))
        return replace(
            self,
            source_track_id=track.track.id,
            parent_task_id=track.track.task_id,
            audio_s=track.track.duration_s,
        )


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that already lies in the storage and is to be recorded.

    Attributes:
        role: what it is to its task: ``source``, ``stem``, ``wav``, ``midi``, ``stem_midi``, ``csv``, ``musicxml``,
            ``piano_roll``, ``preview``, ``beats``, ``sonified``, ``note_events``, ``converted``.
        name: file name shown to clients.
        storage_key: where its bytes are.
        fence: what they were announced under.
        id: the one it was promised to have; made up where there is none.
    """

    role: str
    name: str
    mime_type: str
    storage_key: str
    size_bytes: int
    sha256: str
    fence: int = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class NewTrack:
    """An audio to be known by a public id; ``stem`` is None for a source."""

    file: NewFile
    stem: str | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class NewStageFile:
    """A stored file that a stage made; ``stem`` is the stem it holds, if any."""

    file: NewFile
    stem: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class NewNotes:
    """One instrument's notes; ``notes`` is the JSON list for the wire (pitch, start, end, velocity, confidence).

    ``track_id`` is None where they were heard in a stem of the same outcome, whose track has no id yet.
    """

    track_id: str | None
    name: str
    program: int
    is_drum: bool
    stem: str
    confidence: float
    notes: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a finished task leaves behind.

    Attributes:
        audio_s: length of its audio, where that was found out on the way.
        music: tempo, time signature and key of a song that was written down, as :mod:`service.music` has them.
        stage: name and digest of the stage whose result it is, for others that want the same.
    """

    tracks: list[NewTrack] = field(default_factory=list)
    files: list[NewFile] = field(default_factory=list)
    instruments: list[NewNotes] = field(default_factory=list)
    audio_s: float | None = None
    music: dict[str, Any] | None = None
    stage: tuple[str, str] | None = None


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
    outbox: Outbox | None

    @property
    def callback_dead(self) -> bool:
        """Whether every attempt to deliver the callback has failed."""
        return self.outbox is not None and self.outbox.state == OutboxState.DEAD


@dataclass(frozen=True, slots=True)
class Promise:
    """A request with an Idempotency-Key that is to be carried out now; what it makes has the id ``task_id``.

    Attributes:
        attempt: names this attempt at it.
        fingerprint: of the body that an earlier attempt had, where one came so far.
    """

    key_id: str
    key: str
    attempt: str
    task_id: str
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with an Idempotency-Key that was carried out before, and its answer."""

    row: Idempotency
