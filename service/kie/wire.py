"""Shapes of the Kie dialect, field by field; names and spellings are the real ones, inconsistencies included."""

from typing import Annotated, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.kie import fields as of
from service.music import Confidence, KeyName, Tempo, TimeSignature

T = TypeVar("T")


class Envelope(Struct, Generic[T]):
    """Around every answer of ``/api/v1``: the verdict is ``code``, the HTTP status is 200 for business errors too."""

    code: int
    msg: Annotated[str, Meta(description="success, or what is wrong.", examples=["success"])]
    data: Annotated[T, Meta(description="The answer; null where it is an error.")]


class SeparationRequest(Struct, rename="camel", omit_defaults=True):
    """Body of ``vocal-removal/generate``: ``taskId`` and ``audioId``, or ``audioUrl``."""

    task_id: of.AskedTaskId = None
    audio_id: of.AskedAudioId = None
    audio_url: of.AskedAudioUrl = None
    type: of.SeparationType = None
    stem_name: of.StemName = None
    call_back_url: of.CallBackUrl = None


class MidiRequest(Struct, rename="camel", omit_defaults=True):
    """Body of ``midi/generate``; without ``audioId``, all stems are transcribed.  ``transcriber`` is ours."""

    task_id: of.AskedSeparationId = None
    audio_id: of.AskedAudioId = None
    call_back_url: of.CallBackUrl = None
    transcriber: of.Transcriber = None


class WavRequest(Struct, rename="camel", omit_defaults=True):
    """Body of ``wav/generate``."""

    task_id: of.AskedTaskId = None
    audio_id: of.AskedAudioId = None
    call_back_url: of.CallBackUrl = None


class JobInput(Struct, omit_defaults=True):
    """The ``input`` of ``jobs/createTask``: the fields of the route that its model stands for, in snake_case."""

    task_id: of.AskedTaskId = None
    audio_id: of.AskedAudioId = None
    audio_url: of.AskedAudioUrl = None
    type: of.SeparationType = None
    stem_name: of.StemName = None
    transcriber: of.Transcriber = None


class JobRequest(Struct, rename="camel", omit_defaults=True):
    """Body of ``jobs/createTask``."""

    model: of.JobModel | None = None
    call_back_url: of.CallBackUrl = None
    input: Annotated[JobInput | None, Meta(description="What the model is to work on.")] = None


class DownloadUrlRequest(Struct):
    """Body of ``common/download-url``."""

    url: Annotated[of.Link | None, Meta(description="A link of this service, still good, to a file of yours.")] = None


class Base64UploadRequest(Struct, rename="camel"):
    """Body of ``file-base64-upload``."""

    base64_data: Annotated[
        str | None, Meta(description="The file, as base64 or as a data URL.", examples=["data:audio/mpeg;base64,SUQz"])
    ] = None
    upload_path: of.UploadPath = None
    file_name: of.FileName = None


class UrlUploadRequest(Struct, rename="camel"):
    """Body of ``file-url-upload``."""

    file_url: Annotated[
        str | None, Meta(description="Where the file is.", examples=["https://songs.example/song.mp3"])
    ] = None
    upload_path: of.UploadPath = None
    file_name: of.FileName = None


class UploadForm(Struct, rename="camel"):
    """Form of ``file-stream-upload``; read from the stream as it arrives, this is its description."""

    file: Annotated[bytes, Meta(description="The file.")]
    upload_path: of.FormUploadPath = UNSET
    file_name: of.FormFileName = UNSET


class TaskCreated(Struct, rename="camel"):
    """What every ``generate`` answers."""

    task_id: of.TaskId


class JobCreated(Struct, rename="camel"):
    """What ``jobs/createTask`` answers; both ids are the task's."""

    task_id: of.TaskId
    record_id: of.TaskId


class UploadedFile(Struct, rename="camel"):
    """An upload; ``taskId`` and ``audioId`` are ours, so that it can be separated at once."""

    success: Annotated[bool, Meta(description="Always true.", examples=[True])]
    file_name: Annotated[str, Meta(description="The file's name.", examples=["song.mp3"])]
    file_path: Annotated[str, Meta(description="uploadPath and name.", examples=["songs/song.mp3"])]
    download_url: of.Link
    file_size: Annotated[int, Meta(description="Bytes.", examples=[4_404_019])]
    mime_type: Annotated[str, Meta(description="By what is in the file.", examples=["audio/mpeg"])]
    uploaded_at: Annotated[str, Meta(description="ISO 8601, UTC.", examples=["2026-03-01T12:00:00.000Z"])]
    task_id: of.TaskId
    audio_id: of.AudioId


class UploadAnswer(Struct):
    """Around every answer of the upload routes; these use real HTTP statuses."""

    success: Annotated[bool, Meta(description="Whether the file was taken.", examples=[True])]
    code: Annotated[int, Meta(description="The HTTP status.", examples=[200])]
    msg: Annotated[str, Meta(description="For a person.", examples=["File uploaded successfully"])]
    data: Annotated[UploadedFile | None, Meta(description="The file as it is kept.")] = None


class Stem(Struct):
    """One stem, in upstream's snake_case."""

    duration: of.Duration
    audio_url: of.Link
    stem_type_group_name: of.GroupName
    id: of.AudioId


class OriginData(Struct):
    """One stem; or, of ``split_stem_advanced``, the stem that was asked for and everything else."""

    duration: of.Duration | UnsetType = UNSET
    audio_url: of.Link | UnsetType = UNSET
    stem_type_group_name: of.GroupName | UnsetType = UNSET
    id: of.AudioId | UnsetType = UNSET
    extract: Annotated[Stem | UnsetType, Meta(description="The stem that holds what was asked for.")] = UNSET
    remove: Annotated[Stem | UnsetType, Meta(description="Everything else.")] = UNSET


class SeparationResponse(Struct, rename="camel"):
    """The stems of a finished separation; a link is null where the model gives no such stem."""

    id: of.TaskId
    origin_url: Annotated[of.Link, Meta(description="Link to the source; empty when it is gone.")]
    origin_data: Annotated[list[OriginData], Meta(description="Every stem.")]
    vocal_url: of.StemLink = None
    instrumental_url: of.StemLink = None
    backing_vocals_url: of.StemLink = None
    drums_url: of.StemLink = None
    bass_url: of.StemLink = None
    guitar_url: of.StemLink = None
    piano_url: of.StemLink = None
    keyboard_url: of.StemLink = None
    percussion_url: of.StemLink = None
    strings_url: of.StemLink = None
    synth_url: of.StemLink = None
    fx_url: of.StemLink = None
    brass_url: of.StemLink = None
    woodwinds_url: of.StemLink = None


class SeparationRecord(Struct, rename="camel"):
    """A separation's state; ``stemName``, ``progress`` and ``stage`` are ours."""

    task_id: of.TaskId
    music_id: of.SourceId
    audio_id: of.SourceId
    music_index: of.MusicIndex
    callback_url: of.CallbackUrl
    complete_time: of.CompleteMs
    create_time: of.CreateMs
    success_flag: of.SeparationFlag
    error_code: of.ErrorCode
    error_message: of.ErrorMessage
    response: Annotated[SeparationResponse | None, Meta(description="The stems; null until they are there.")]
    stem_name: Annotated[str | None, Meta(description="Of split_stem_advanced.", examples=[None])]
    progress: of.Progress
    stage: of.Stage


class WireNote(Struct):
    """A note."""

    pitch: Annotated[int, Meta(ge=0, le=127, description="60 is middle C.", examples=[44])]
    start: Annotated[float, Meta(description="Seconds.", examples=[7.6875])]
    end: Annotated[float, Meta(description="Seconds; after the start.", examples=[7.911458])]
    velocity: Annotated[float, Meta(ge=0, le=1, description="How hard it is played.", examples=[0.8])]
    confidence: Confidence = None


class WireInstrument(Struct, rename="camel"):
    """One instrument's notes; ``program``, ``isDrum``, ``stem``, ``audioId`` and ``confidence`` are ours."""

    name: Annotated[str, Meta(description="As General MIDI calls it.", examples=["Electric Bass (finger)"])]
    notes: Annotated[list[WireNote], Meta(description="By their start.")]
    program: Annotated[int, Meta(ge=0, le=127, description="Of General MIDI.", examples=[33])]
    is_drum: Annotated[bool, Meta(description="Whether pitches are drums.", examples=[False])]
    stem: Annotated[str, Meta(description="The stem it was heard in.", examples=["bass"])]
    audio_id: Annotated[of.AudioId, Meta(description="That stem's id.")]
    confidence: Confidence = None


class MidiFiles(Struct, rename="camel"):
    """Links to what the notes were written to: the whole song, a file a stem, the note list, and what shows them."""

    midi: of.Midi
    stems: of.StemMidi
    csv: of.NotesCsv
    musicxml: of.MusicXml
    preview: of.Preview
    piano_roll: of.PianoRoll
    beats: of.BeatsJson = None


class MidiData(Struct, rename="camel", kw_only=True):
    """The notes of a finished MIDI task; all but ``state`` and ``instruments`` is ours.

    ``tempo``, ``timeSignature`` and ``key`` are null where they were not heard surely enough.
    """

    state: Annotated[str, Meta(description="Always complete.", examples=["complete"])]
    instruments: Annotated[list[WireInstrument], Meta(description="Those that have notes.")]
    files: MidiFiles
    tempo: Tempo = None
    tempo_confidence: Confidence = None
    time_signature: TimeSignature = None
    key: KeyName = None
    key_confidence: Confidence = None


class MidiRecord(Struct, rename="camel"):
    """A MIDI task's state; ``progress`` and ``stage`` are ours."""

    task_id: of.TaskId
    record_task_id: Annotated[int, Meta(description="Always -1.", examples=[-1])]
    audio_id: Annotated[str | None, Meta(description="The one stem that was asked for.", examples=[None])]
    callback_url: of.CallbackUrl
    create_time: of.CreateMs
    complete_time: of.CompleteMs
    success_flag: of.MidiFlag
    error_code: of.ErrorCode
    error_message: of.ErrorMessage
    midi_data: Annotated[MidiData | None, Meta(description="The notes; null until they are there.")]
    progress: of.Progress
    stage: of.Stage


class MidiCallbackData(MidiData, rename="camel", kw_only=True):
    """A MIDI callback's data: the record's, with the id in both spellings."""

    task_id: of.TaskId
    snake_task_id: of.TaskId = field(name="task_id")


class WavResponse(Struct, rename="camel"):
    """The link to a finished WAV file."""

    audio_wav_url: of.WavLink


class WavRecord(Struct, rename="camel"):
    """A WAV conversion's state; ``progress`` and ``stage`` are ours."""

    task_id: of.TaskId
    music_id: of.SourceId
    callback_url: of.CallbackUrl
    music_index: of.MusicIndex
    complete_time: Annotated[
        str | None, Meta(description="When it ended: YYYY-MM-DD HH:MM:SS, UTC.", examples=["2026-03-01 12:00:03"])
    ]
    create_time: Annotated[
        str, Meta(description="When it was asked for: YYYY-MM-DD HH:MM:SS, UTC.", examples=["2026-03-01 12:00:00"])
    ]
    success_flag: of.WavFlag
    response: Annotated[WavResponse | None, Meta(description="The file; null until it is there.")]
    error_code: of.ErrorCode
    error_message: of.ErrorMessage
    progress: of.Progress
    stage: of.Stage


class WavCallbackData(Struct, rename="camel"):
    """A WAV callback's data; no link when the conversion failed."""

    audio_wav_url: of.WavLink | None
    snake_task_id: of.TaskId = field(name="task_id")


class JobRecord(Struct, rename="camel"):
    """A task's state, whichever route made it; ``param`` and ``resultJson`` are JSON inside strings."""

    task_id: of.TaskId
    model: of.JobModel
    state: of.JobState
    param: of.JobParam
    result_json: of.JobResult
    fail_code: Annotated[str | None, Meta(description="Why it failed, as a code of the envelope.", examples=[None])]
    fail_msg: of.ErrorMessage
    cost_time: Annotated[
        int | None, Meta(description="How long it ran, in milliseconds; null until it has ended.", examples=[61_000])
    ]
    complete_time: of.CompleteMs
    create_time: of.CreateMs
