"""Shapes of the Kie dialect, field by field; names and spellings are the real ones, inconsistencies included."""

from typing import Any, Generic, TypeVar

from msgspec import Struct, field

T = TypeVar("T")


class Envelope(Struct, Generic[T]):
    """Around every answer of ``/api/v1``: the verdict is ``code``, the HTTP status is 200 for business errors too."""

    code: int
    msg: str
    data: T


class SeparationRequest(Struct, rename="camel"):
    """Body of ``vocal-removal/generate``: ``taskId`` and ``audioId``, or ``audioUrl``."""

    task_id: str | None = None
    audio_id: str | None = None
    audio_url: str | None = None
    type: str | None = None
    call_back_url: str | None = None


class MidiRequest(Struct, rename="camel"):
    """Body of ``midi/generate``."""

    task_id: str | None = None
    audio_id: str | None = None
    call_back_url: str | None = None


class UrlUploadRequest(Struct, rename="camel"):
    """Body of ``file-url-upload``."""

    file_url: str | None = None
    upload_path: str | None = None
    file_name: str | None = None


class TaskCreated(Struct, rename="camel"):
    """What every ``generate`` answers."""

    task_id: str


class UploadedFile(Struct, rename="camel"):
    """An upload; ``taskId`` and ``audioId`` are ours, so that it can be separated at once."""

    success: bool
    file_name: str
    file_path: str
    download_url: str
    file_size: int
    mime_type: str
    uploaded_at: str
    task_id: str
    audio_id: str


class UploadAnswer(Struct):
    """Around every answer of the upload routes; these use real HTTP statuses."""

    success: bool
    code: int
    msg: str
    data: UploadedFile | None = None


class OriginData(Struct):
    """One stem, in upstream's snake_case."""

    duration: float | None
    audio_url: str
    stem_type_group_name: str
    id: str


class SeparationResponse(Struct, rename="camel"):
    """The stems of a finished separation; a link is null where the model gives no such stem."""

    id: str
    origin_url: str
    origin_data: list[OriginData]
    vocal_url: str | None = None
    instrumental_url: str | None = None
    backing_vocals_url: str | None = None
    drums_url: str | None = None
    bass_url: str | None = None
    guitar_url: str | None = None
    piano_url: str | None = None
    keyboard_url: str | None = None
    percussion_url: str | None = None
    strings_url: str | None = None
    synth_url: str | None = None
    fx_url: str | None = None
    brass_url: str | None = None
    woodwinds_url: str | None = None


class SeparationRecord(Struct, rename="camel"):
    """A separation's state; ``progress`` (0-1) and ``stage`` are ours."""

    task_id: str
    music_id: str | None
    audio_id: str | None
    music_index: int
    callback_url: str | None
    complete_time: int | None
    create_time: int
    success_flag: str
    error_code: int | None
    error_message: str | None
    response: SeparationResponse | None
    progress: float
    stage: str | None


class WireInstrument(Struct, rename="camel"):
    """One instrument's notes; ``program``, ``isDrum``, ``stem`` and ``audioId`` are ours.

    A note is ``{"pitch": 0-127, "start": s, "end": s, "velocity": 0-1}``.
    """

    name: str
    notes: list[Any]
    program: int
    is_drum: bool
    stem: str
    audio_id: str


class MidiFiles(Struct):
    """Links to what the notes were written to: the whole song, a file a stem, the note list."""

    midi: str | None
    stems: dict[str, str]
    csv: str | None


class MidiData(Struct):
    """The notes of a finished MIDI task; ``files`` is ours."""

    state: str
    instruments: list[WireInstrument]
    files: MidiFiles


class MidiRecord(Struct, rename="camel"):
    """A MIDI task's state; ``progress`` (0-1) and ``stage`` are ours."""

    task_id: str
    record_task_id: int
    audio_id: str | None
    callback_url: str | None
    create_time: int
    complete_time: int | None
    success_flag: int
    error_code: int | None
    error_message: str | None
    midi_data: MidiData | None
    progress: float
    stage: str | None


class MidiCallbackData(Struct):
    """A MIDI callback's data, with the id in both spellings."""

    task_id: str
    task_id_camel: str = field(name="taskId")
    state: str
    instruments: list[WireInstrument]
    files: MidiFiles
