"""Shapes of the native dialect: plain JSON in snake_case, times in ISO 8601 (UTC), lengths in seconds."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.music import Confidence, KeyName, Tempo, TimeSignature

Status = Annotated[
    Literal["queued", "running", "succeeded", "failed", "cancelled"], Meta(description="Where it stands.")
]
Kind = Annotated[
    Literal[
        "upload", "separation", "midi", "wav", "transcription",
        "audio_to_midi", "extraction", "key_bpm", "conversion", "cut", "speed",
    ],
    Meta(description="What it does."),
]  # fmt: skip

TaskId = Annotated[str, Meta(description="32 hex digits.", examples=["0f1e2d3c4b5a69788796a5b4c3d2e1f0"])]
Time = Annotated[str, Meta(description="ISO 8601, UTC.", examples=["2026-03-01T12:00:00.000Z"])]
Url = Annotated[
    str,
    Meta(
        description="Link to the file, good until the task expires.",
        examples=["https://stemscribe.example/files/9a8b/vocals.flac?exp=1790000000&sig=c2ln"],
    ),
]
AudioId = Annotated[
    str, Meta(description="Names it in every dialect.", examples=["6ba7b810-9dad-11d1-80b4-00c04fd430c8"])
]
Seconds = Annotated[float | None, Meta(description="Its length in seconds; null where nobody knows.", examples=[183.4])]
CallbackUrl = Annotated[
    str,
    Meta(
        description="Where the result is POSTed when the task has ended.", examples=["https://client.example/callback"]
    ),
]
_TASK = "https://stemscribe.example/v1/tasks/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
Fraction = Annotated[float, Meta(ge=0, le=1, description="0 to 1, linear in time.", examples=[0.45])]
Stems = Annotated[
    list[str],
    Meta(description="Stems to return as files, by the model's names; all, if left out.", examples=[["vocals"]]),
]
Instruments = Annotated[
    list[str],
    Meta(
        description="Stems whose notes to write down, by the model's names; all, if left out.",
        examples=[["vocals", "drums"]],
    ),
]
Transcriber = Annotated[
    str,
    Meta(
        description="auto, the best transcriber for each stem and the default, or basic-pitch for all pitched stems.",
        examples=["auto"],
    ),
]
Priority = Annotated[
    int,
    Meta(
        description="Of the key's tasks that wait, those of higher priority are done first; -100 to 100, else 0.",
        examples=[10],
    ),
]
Stage = Annotated[str | None, Meta(description="What it does now.", examples=["separating"])]
Eta = Annotated[
    float | None,
    Meta(description="Seconds until the task has ended; null where nobody can know.", examples=[41.5]),
]


class TranscriptionRequest(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Body of ``POST /v1/transcriptions``, for a song at an address."""

    url: Annotated[str, Meta(description="The song.", examples=["https://songs.example/song.mp3"])] | None = None
    stems: Stems | None = None
    instruments: Instruments | None = None
    transcriber: Transcriber | None = None
    priority: Priority | None = None
    callback_url: CallbackUrl | None = None


class TranscriptionForm(Struct, kw_only=True):
    """The same as a form, for a song that is sent along; lists are repeated fields, or separated by commas, or JSON."""

    file: Annotated[bytes, Meta(description="The song.")]
    stems: Stems | UnsetType = UNSET
    instruments: Instruments | UnsetType = UNSET
    transcriber: Transcriber | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    callback_url: CallbackUrl | UnsetType = UNSET


class TaskLinks(Struct):
    """Where to go from a task.

    ``cancel`` is for DELETE: it cancels a task that has not ended, and deletes one that has.  ``redeliver`` is for
    POST; null, where no callback was asked for.
    """

    this: Annotated[str, Meta(description="The task.", examples=[_TASK])] = field(name="self")
    events: Annotated[str, Meta(description="Its progress, as server-sent events.", examples=[f"{_TASK}/events"])]
    cancel: Annotated[str, Meta(description="For DELETE.", examples=[_TASK])]
    redeliver: Annotated[
        str | None, Meta(description="For POST; null without a callback.", examples=[f"{_TASK}/redeliver"])
    ]


class TaskAccepted(Struct):
    """A task that was accepted."""

    id: TaskId
    status: Status
    links: TaskLinks


class TaskError(Struct):
    """Why a task gave nothing: ``code`` for programs, ``message`` for people."""

    code: Annotated[str, Meta(description="For programs: does not change.", examples=["corrupt_audio"])]
    message: Annotated[str, Meta(description="For a person.", examples=["The file breaks off at 12.3 s."])]


Error = Annotated[TaskError | None, Meta(description="Why it failed, or was cancelled; null otherwise.")]


class TaskSummary(Struct, kw_only=True):
    """A task in short, as lists show it."""

    id: TaskId
    kind: Kind
    status: Status
    progress: Fraction
    stage: Stage
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    expires_at: Annotated[
        str | None,
        Meta(description="When record and files are deleted: ISO 8601, UTC.", examples=["2026-03-15T12:00:00.000Z"]),
    ]
    error: Error
    credits: Annotated[float, Meta(description="What it cost.", examples=[15])]
    links: TaskLinks


class TaskList(Struct):
    """Tasks, newest first; ``next_cursor`` asks for those that follow, null after the last."""

    tasks: Annotated[list[TaskSummary], Meta(description="This page's.")]
    next_cursor: Annotated[
        str | None, Meta(description="For the next page; null after the last.", examples=["MTc5MDAwMDAwMDAwMC4wZjFl"])
    ]


class Audio(Struct):
    """An audio that a task works on; ``audio_id`` and ``task_id`` name it in every dialect."""

    audio_id: AudioId
    task_id: TaskId
    name: Annotated[str, Meta(description="The file's name.", examples=["song.mp3"])]
    duration_s: Seconds
    url: Annotated[
        str | None,
        Meta(
            description="Link to the file; null until the task has ended.",
            examples=["https://stemscribe.example/files/9a8b/song.mp3?exp=1790000000&sig=c2ln"],
        ),
    ]


class TaskInput(Struct):
    """What was asked for.

    ``source`` is null while it is still to be fetched from ``url``, and once it is gone.  ``task_id`` is the task
    whose audio or stems are worked on.
    """

    source: Annotated[Audio | None, Meta(description="The audio that is worked on.")]
    url: Annotated[
        str | None, Meta(description="Where it is fetched from.", examples=["https://songs.example/song.mp3"])
    ]
    task_id: Annotated[str | None, Meta(description="The task that the audio or stems are of.", examples=[None])]
    options: Annotated[
        dict[str, Any],
        Meta(description="The other fields of the request.", examples=[{"stems": ["vocals"], "instruments": None}]),
    ]


class Note(Struct):
    """A note: ``pitch`` 0-127 (60 is middle C), ``velocity`` 0-1."""

    pitch: Annotated[int, Meta(ge=0, le=127, description="60 is middle C.", examples=[60])]
    start: Annotated[float, Meta(description="Seconds.", examples=[7.6875])]
    end: Annotated[float, Meta(description="Seconds; after the start.", examples=[7.911458])]
    velocity: Annotated[float, Meta(ge=0, le=1, description="How hard it is played.", examples=[0.8])]
    confidence: Confidence = None


class Instrument(Struct):
    """An instrument that was heard; its notes, unless they were not asked for.

    ``audio_id`` is that of its stem; null, where that was not asked for.
    """

    name: Annotated[str, Meta(description="As General MIDI calls it.", examples=["Electric Bass (finger)"])]
    program: Annotated[int, Meta(ge=0, le=127, description="Of General MIDI.", examples=[33])]
    is_drum: Annotated[bool, Meta(description="Whether pitches are drums.", examples=[False])]
    stem: Annotated[str, Meta(description="The stem it was heard in.", examples=["bass"])]
    audio_id: Annotated[
        str | None, Meta(description="That stem's id.", examples=["6ba7b810-9dad-11d1-80b4-00c04fd430c8"])
    ]
    confidence: Confidence = None
    notes: Annotated[list[Note] | UnsetType, Meta(description="By their start.")] = UNSET


class TaskStem(Struct):
    """A stem; ``audio_id`` names it in every dialect."""

    name: Annotated[str, Meta(description="As the model calls it.", examples=["vocals"])]
    audio_id: AudioId
    duration_s: Seconds
    url: Url


class TaskResult(Struct):
    """What a task that succeeded has left; ``files`` are links by file name, good until the task expires."""

    duration_s: Seconds
    tempo: Tempo
    tempo_confidence: Confidence
    time_signature: TimeSignature
    key: KeyName
    key_confidence: Confidence
    instruments: Annotated[list[Instrument], Meta(description="Those that were heard.")]
    stems: Annotated[list[TaskStem], Meta(description="Those that were asked for.")]
    files: Annotated[
        dict[str, str],
        Meta(
            description="Links by file name.",
            examples=[{"song.mid": "https://stemscribe.example/files/9a8b/song.mid?exp=1790000000&sig=c2ln"}],
        ),
    ]


Result = Annotated[TaskResult | None, Meta(description="What it gave; null unless it succeeded.")]


class Callback(Struct):
    """Where a task's callback stands; it has an ``event_id`` once the task has ended."""

    url: Annotated[str, Meta(description="Where it goes.", examples=["https://client.example/callback"])]
    event_id: Annotated[
        str | None,
        Meta(
            description="The same with every attempt; as webhook-id.", examples=["evt_5a69788796a5b4c3d2e1f00f1e2d3c4b"]
        ),
    ]
    state: Annotated[
        Literal["pending", "delivered", "dead"],
        Meta(description="dead: every attempt has failed, or the receiver wants no more."),
    ]
    attempts: Annotated[int, Meta(description="How many were made.", examples=[1])]
    next_attempt_at: Annotated[
        str | None, Meta(description="ISO 8601, UTC; null where there is none.", examples=["2026-03-01T12:01:05.000Z"])
    ]


class DeliveryAttempt(Struct):
    """One attempt to deliver the callback; ``duration_ms`` is null while it is under way."""

    attempt: Annotated[int, Meta(ge=1, description="Its number.", examples=[1])]
    at: Time
    duration_ms: Annotated[int | None, Meta(description="Milliseconds that it took.", examples=[120])]
    status_code: Annotated[int | None, Meta(description="What the receiver answered.", examples=[200])]
    error: Annotated[str | None, Meta(description="Why it failed, for a person.", examples=[None])]


class Task(TaskSummary, kw_only=True):
    """A task with everything there is to say of it."""

    eta_s: Eta
    input: TaskInput
    result: Result
    callback: Annotated[Callback | None, Meta(description="Where its callback stands; null where none was asked for.")]
    deliveries: Annotated[list[DeliveryAttempt], Meta(description="Every attempt to deliver the callback.")]


class EventData(TaskSummary, kw_only=True):
    """The task of a callback: all but its note lists and deliveries."""

    input: TaskInput
    result: Result


class Event(Struct):
    """Body of a callback: ``transcription.succeeded``, ``.failed`` or ``.cancelled``, as Standard Webhooks advise."""

    type: Annotated[str, Meta(description="The kind of task and how it ended.", examples=["transcription.succeeded"])]
    timestamp: Time
    data: EventData


class Progress(Struct):
    """Data of a server-sent event: ``progress``, or at last ``succeeded``, ``failed`` or ``cancelled``."""

    id: TaskId
    status: Status
    stage: Stage
    progress: Fraction
    eta_s: Eta
    error: Error
