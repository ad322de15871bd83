"""What the fields of the Kie dialect mean, with an example of each, for the OpenAPI document."""

from typing import Annotated

from msgspec import Meta, UnsetType

_TASK_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_AUDIO_ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
_FILES = "https://stemscribe.example/files/9a8b7c6d5e4f30211203f4e5d6c7b8a9"
_SIGNED = "?exp=1790000000&sig=c2ln"
_STEM_LINK = f"{_FILES}/vocals.flac{_SIGNED}"

# Of requests, where every field can be left out: what is required depends on the others, and its absence is told.
AskedTaskId = Annotated[
    str | None, Meta(description="A task of yours: an upload, or a finished separation.", examples=[_TASK_ID])
]
AskedSeparationId = Annotated[str | None, Meta(description="A finished separation of yours.", examples=[_TASK_ID])]
AskedAudioId = Annotated[
    str | None, Meta(description="A track of that task: an upload's own, or one of its stems.", examples=[_AUDIO_ID])
]
Transcriber = Annotated[
    str | None,
    Meta(
        description="auto, the best transcriber for each stem and the default, or basic-pitch for all pitched stems.",
        examples=[None],
    ),
]
AskedAudioUrl = Annotated[
    str | None,
    Meta(description="Audio at an address, https://songs.example/song.mp3, instead of the two ids.", examples=[None]),
]
SeparationType = Annotated[
    str | None,
    Meta(
        description="separate_vocal (the default): vocals and the rest; split_stem: every stem of the model; "
        "split_stem_advanced: the stem that stemName names, and the rest.",
        examples=["split_stem"],
    ),
]
StemName = Annotated[
    str | None,
    Meta(
        description="For split_stem_advanced: an instrument, such as Kick. Refused, the answer lists those that work.",
        examples=[None],
    ),
]
CallBackUrl = Annotated[
    str | None,
    Meta(description="Where the result is POSTed when the task has ended.", examples=["https://client.example/done"]),
]
MAX_NAME_LENGTH = 1024  # of uploadPath and fileName, in characters; what file systems take for a path is 4 kB
_UPLOAD_PATH = Meta(description="A folder, shown again in filePath; a label, no path.", examples=["songs"])
_FILE_NAME = Meta(description="The file's name, instead of its own.", examples=["song.mp3"])
UploadPath = Annotated[str | None, _UPLOAD_PATH]
FileName = Annotated[str | None, _FILE_NAME]
FormUploadPath = Annotated[str | UnsetType, _UPLOAD_PATH]  # no field of a form is null
FormFileName = Annotated[str | UnsetType, _FILE_NAME]

# Of answers and callbacks.
TaskId = Annotated[str, Meta(description="The task's id: 32 hex digits.", examples=[_TASK_ID])]
AudioId = Annotated[str, Meta(description="The track's id, for other tasks.", examples=[_AUDIO_ID])]
SourceId = Annotated[str | None, Meta(description="Id of the track that is worked on.", examples=[_AUDIO_ID])]
MusicIndex = Annotated[int, Meta(description="Always 0.", examples=[0])]
CallbackUrl = Annotated[
    str | None, Meta(description="Where the callback goes.", examples=["https://client.example/done"])
]
CompleteMs = Annotated[
    int | None, Meta(description="When it ended, in Unix milliseconds; null until then.", examples=[1790000083000])
]
CreateMs = Annotated[int, Meta(description="When it was asked for, in Unix milliseconds.", examples=[1790000000000])]
ErrorCode = Annotated[int | None, Meta(description="Why it failed, as a code of the envelope.", examples=[None])]
ErrorMessage = Annotated[str | None, Meta(description="Why it failed, for a person.", examples=[None])]
Progress = Annotated[float, Meta(ge=0, le=1, description="How much is done, 0 to 1.", examples=[1.0])]
Stage = Annotated[str | None, Meta(description="What is being done now.", examples=[None])]
Duration = Annotated[float | None, Meta(description="Seconds.", examples=[183.4])]
Link = Annotated[str, Meta(description="Link to the file, good as long as it is kept.", examples=[_STEM_LINK])]
StemLink = Annotated[
    str | None, Meta(description="Link to this stem; null where there is none.", examples=[_STEM_LINK])
]
GroupName = Annotated[str, Meta(description="What the stem holds.", examples=["Vocals"])]
SeparationFlag = Annotated[
    str,
    Meta(
        description="PENDING, SUCCESS, CREATE_TASK_FAILED, GENERATE_AUDIO_FAILED, or CALLBACK_EXCEPTION: there are "
        "results, but the callback could not be delivered.",
        examples=["SUCCESS"],
    ),
]
WavFlag = Annotated[
    str,
    Meta(
        description="PENDING, SUCCESS, CREATE_TASK_FAILED, GENERATE_WAV_FAILED, or CALLBACK_EXCEPTION: there is a "
        "file, but the callback could not be delivered.",
        examples=["SUCCESS"],
    ),
]
MidiFlag = Annotated[
    int,
    Meta(description="0: pending, 1: success, 2: could not be created, 3: generation failed.", examples=[1]),
]
Midi = Annotated[str | None, Meta(description="The song as MIDI.", examples=[f"{_FILES}/song.mid{_SIGNED}"])]
StemMidi = Annotated[
    dict[str, str], Meta(description="MIDI of each stem.", examples=[{"bass": f"{_FILES}/bass.mid{_SIGNED}"}])
]
NotesCsv = Annotated[str | None, Meta(description="Every note, as CSV.", examples=[f"{_FILES}/notes.csv{_SIGNED}"])]
MusicXml = Annotated[
    str | None, Meta(description="Sheet music, as MusicXML.", examples=[f"{_FILES}/score.musicxml{_SIGNED}"])
]
Preview = Annotated[
    str | None, Meta(description="The notes played, as MP3.", examples=[f"{_FILES}/preview.mp3{_SIGNED}"])
]
PianoRoll = Annotated[
    str | None, Meta(description="A picture of the notes, as SVG.", examples=[f"{_FILES}/piano-roll.svg{_SIGNED}"])
]
BeatsJson = Annotated[
    str | None,
    Meta(
        description="Beats, downbeats and keys with their times, as JSON; null of tasks before there was such a file.",
        examples=[f"{_FILES}/beats.json{_SIGNED}"],
    ),
]
WavLink = Annotated[str, Meta(description="Link to the WAV file.", examples=[f"{_FILES}/vocals.wav{_SIGNED}"])]
JobModel = Annotated[
    str,
    Meta(
        description="ai-music-api/separate-vocals, ai-music-api/generate-midi-from-audio, or "
        "ai-music-api/convert-to-wav-format.",
        examples=["ai-music-api/separate-vocals"],
    ),
]
JobState = Annotated[str, Meta(description="waiting, generating, success or fail.", examples=["success"])]
JobParam = Annotated[
    str,
    Meta(
        description="The request, as JSON.",
        examples=[f'{{"model":"ai-music-api/generate-midi-from-audio","input":{{"task_id":"{_TASK_ID}"}}}}'],
    ),
]
JobResult = Annotated[
    str | None,
    Meta(
        description="The result, as JSON: a separation's response, a transcription's midiData, or a conversion's "
        "audioWavUrl.",
        examples=[f'{{"audioWavUrl":"{_FILES}/vocals.wav{_SIGNED}"}}'],
    ),
]
