"""Shapes of the MusicGPT dialect: flat, in snake_case, but for two times."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

_TASK_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_CONVERSION_ID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
_FILE = "https://stemscribe.example/files/9a8b7c6d5e4f30211203f4e5d6c7b8a9/song.wav?exp=1790000000&sig=c2ln"

Success = Annotated[bool, Meta(description="Whether the request was taken.", examples=[True])]
TaskId = Annotated[str, Meta(description="32 hex digits.", examples=[_TASK_ID])]
ConversionId = Annotated[
    str, Meta(description="The same task as a UUID; byId takes either.", examples=[_CONVERSION_ID])
]
Eta = Annotated[int, Meta(description="Seconds until it should be done; -1 where nobody can know.", examples=[42])]
Status = Annotated[
    str, Meta(description="IN_QUEUE, IN_PROGRESS, COMPLETED, FAILED, or ERROR: cancelled.", examples=["COMPLETED"])
]
Cost = Annotated[float, Meta(description="Credits spent on it.", examples=[15])]

AudioUrl = Annotated[
    str,
    Meta(
        description="The audio's address: http(s), a link of ours, or s3://BUCKET/KEY where the service has S3.",
        examples=["https://songs.example/song.mp3"],
    ),
]
AudioPath = Annotated[str, Meta(description="The older name of audio_url.", examples=["s3://songs/song.wav"])]
AudioFile = Annotated[bytes, Meta(description="The audio itself.")]
WebhookUrl = Annotated[
    str,
    Meta(description="Where the result is POSTed when the task has ended.", examples=["https://client.example/done"]),
]
OutputExtension = Annotated[
    str,
    Meta(description="mp3, wav, flac, ogg, aac or webm; the source's own, if left out.", examples=["wav"]),
]


class Source(Struct, kw_only=True):
    """Exactly one of the first three fields."""

    audio_url: AudioUrl | UnsetType = UNSET
    audio_path: AudioPath | UnsetType = UNSET
    audio_file: AudioFile | UnsetType = UNSET
    webhook_url: WebhookUrl | UnsetType = UNSET


class AudioToMidiForm(Source, kw_only=True):
    """Body of ``POST /audio_to_midi``."""

    sonify_midi: (
        Annotated[bool, Meta(description="Whether to play the notes into a .wav; default true.", examples=[True])]
        | UnsetType
    ) = UNSET
    save_note_events: (
        Annotated[bool, Meta(description="Whether to list the notes in a .csv; default true.", examples=[True])]
        | UnsetType
    ) = UNSET
    mode: (
        Annotated[
            str,
            Meta(
                description="What the audio is: auto, the default, listens; song is separated first; instrument, "
                "voice, bass and drums are written down as they are.",
                examples=["auto"],
            ),
        ]
        | UnsetType
    ) = UNSET
    transcriber: (
        Annotated[str, Meta(description="auto, the default, or basic-pitch.", examples=["auto"])] | UnsetType
    ) = UNSET


class FileConvertForm(Source, kw_only=True):
    """Body of ``POST /file_convert``."""

    target_format: Annotated[str, Meta(description="mp3, wav, flac, ogg, aac or webm.", examples=["wav"])]
    target_sr: (
        Annotated[
            int,
            Meta(
                description="8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000 or 192000 Hz, as far as the format "
                "holds that; the source's, if left out.",
                examples=[44100],
            ),
        ]
        | UnsetType
    ) = UNSET
    target_bit_depth: (
        Annotated[int, Meta(description="16 (default), 24 or 32, of wav and flac; others have none.", examples=[16])]
        | UnsetType
    ) = UNSET


class ExtractionForm(Source, kw_only=True):
    """Body of ``POST /Extraction``."""

    stems: (
        Annotated[
            str,
            Meta(
                description="A JSON list of names, as text; vocals and instrumental, if left out.",
                examples=['["vocals", "drums"]'],
            ),
        ]
        | UnsetType
    ) = UNSET
    preprocessing_options: (
        Annotated[str, Meta(description="A JSON list, as text: none are offered here, so empty.", examples=["[]"])]
        | UnsetType
    ) = UNSET


class KeyBpmForm(Source, kw_only=True):
    """Body of ``POST /extract_key_bpm``."""


class AudioCutterForm(Source, kw_only=True):
    """Body of ``POST /audio_cutter``."""

    start_time: Annotated[float, Meta(description="Milliseconds.", examples=[1000])]
    end_time: Annotated[float, Meta(description="Milliseconds; at most the audio's length.", examples=[5000])]
    output_extension: OutputExtension | UnsetType = UNSET


class AudioSpeedChangerForm(Source, kw_only=True):
    """Body of ``POST /audio_speed_changer``."""

    speed_change_factor: Annotated[float, Meta(description="0.25 to 4; the pitch stays.", examples=[1.25])]
    output_extension: OutputExtension | UnsetType = UNSET
    audio_extension: (
        Annotated[str, Meta(description="What the vendor's own client calls output_extension.", examples=["mp3"])]
        | UnsetType
    ) = UNSET


class Accepted(Struct, kw_only=True):
    """A task that was accepted."""

    success: Success
    message: Annotated[str, Meta(description="For a person.", examples=["Audio to MIDI task queued successfully"])]
    task_id: TaskId
    conversion_id: ConversionId
    eta: Eta
    credit_estimate: Cost
    status: Status
    output_path: (
        Annotated[str, Meta(description="Of file_convert: the link that the file will have.", examples=[_FILE])]
        | UnsetType
    ) = UNSET
    mode: (
        Annotated[
            str,
            Meta(description="Of audio_to_midi: as it was asked for; byId tells what was heard.", examples=["auto"]),
        ]
        | UnsetType
    ) = UNSET


class Conversion(Struct, kw_only=True):
    """Where a task stands; its result keys stand beside these."""

    task_id: TaskId
    conversion_id: ConversionId
    conversion_type: Annotated[str, Meta(description="As byId takes it.", examples=["AUDIO_TO_MIDI"])]
    status: Status
    status_msg: Annotated[
        str, Meta(description="For a person; of a failed task why.", examples=["Audio to Midi Completed"])
    ]
    conversion_cost: Cost
    created_at: Annotated[str, Meta(description="ISO 8601, UTC.", examples=["2026-03-01T12:00:00.000Z"])] = field(
        name="createdAt"
    )
    updated_at: Annotated[str, Meta(description="ISO 8601, UTC.", examples=["2026-03-01T12:01:23.000Z"])] = field(
        name="updatedAt"
    )
    progress: Annotated[float, Meta(ge=0, le=1, description="How much is done, 0 to 1.", examples=[1.0])]
    eta: Eta
    webhook_url: Annotated[str, Meta(description="Where the webhook goes; empty without one.", examples=[""])]


class Results(Struct, kw_only=True):
    """Result keys, as the document shows them: of each kind of task its own, which stand in webhooks, too.

    Until there is a result, links are empty text and findings are null.
    """

    midi_file_path: Annotated[str, Meta(description="Of audio_to_midi: link to the .mid.")] | UnsetType = UNSET
    sonify_file_path: (
        Annotated[str, Meta(description="Of audio_to_midi: link to the .wav of the notes; empty if not asked for.")]
        | UnsetType
    ) = UNSET
    notes_file_path: (
        Annotated[str, Meta(description="Of audio_to_midi: link to the .csv of the notes; empty if not asked for.")]
        | UnsetType
    ) = UNSET
    mode: Annotated[str, Meta(description="Of audio_to_midi: what the audio was taken for.")] | UnsetType = UNSET
    soundfont: (
        Annotated[
            str | None,
            Meta(description="Of audio_to_midi: what plays in the .wav; null for the plain synthesiser, or no .wav."),
        ]
        | UnsetType
    ) = UNSET
    output_path: (
        Annotated[str, Meta(description="Of file_convert: the link that was promised; empty if it failed.")] | UnsetType
    ) = UNSET
    conversion_path: (
        Annotated[str, Meta(description="Of file_convert, the cutter and the speed changer: link to the file.")]
        | UnsetType
    ) = UNSET
    bpm: (
        Annotated[float | None, Meta(description="Of audio_to_midi and key and BPM; null where no tempo is clear.")]
        | UnsetType
    ) = UNSET
    bpm_confidence: (
        Annotated[float | None, Meta(description="Of key and BPM: how sure the tempo is, 0 to 1.")] | UnsetType
    ) = UNSET
    dominant_key: (
        Annotated[str | None, Meta(description="Of audio_to_midi and key and BPM; null where no key is clear.")]
        | UnsetType
    ) = UNSET
    key_confidence: (
        Annotated[float | None, Meta(description="Of key and BPM: how sure the key is, 0 to 1.")] | UnsetType
    ) = UNSET
    key_changes: (
        Annotated[dict[str, str], Meta(description="Of key and BPM: the key of each stretch, FROM-TO in seconds.")]
        | UnsetType
    ) = UNSET


class ConversionAnswer(Struct):
    """A conversion with its result keys; of an extraction these are ``<stem>_url`` and ``<stem>_path``."""

    success: Success
    conversion: Annotated[dict[str, Any], Meta(description="The conversion.")]
