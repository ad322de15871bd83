"""What requests must be like, beyond what their structs say.

The structs let every field be left out, or be null, so that what is missing is told in the dialect's own words.  The
document says what will be refused, and shows whole requests, since which fields belong together is in no schema.
"""

from typing import Any

from pipeline.transcription.choices import TRANSCRIBERS
from service.kie.fields import MAX_NAME_LENGTH
from service.kie.jobs import MODELS
from service.kie.separation import TYPES
from service.kie.stem_names import STEM_NAMES
from service.native.requests import MAX_PRIORITY

Json = dict[str, Any]

_TASK_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_AUDIO_ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
_SONG = "https://songs.example/song.mp3"
_LINK = "https://stemscribe.example/files/9a8b7c6d5e4f30211203f4e5d6c7b8a9/vocals.flac?exp=1790000000&sig=c2ln"
_DONE = "https://client.example/done"

_HEX_ID: Json = {"pattern": "^[0-9a-f]{32}$"}
_TRACK_ID: Json = {"pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_URL: Json = {"format": "uri", "minLength": 1, "maxLength": 2048}
_ENUMS: Json = {
    "SeparationType": [*TYPES],
    "StemName": [*STEM_NAMES],
    "JobModel": [*MODELS.values()],
    "Transcriber": [*TRANSCRIBERS],
}
_NAMES: Json = {"minItems": 1}
_UPLOAD_NAMES: dict[str, Json] = {
    "uploadPath": {"maxLength": MAX_NAME_LENGTH},
    "fileName": {"maxLength": MAX_NAME_LENGTH},
}


def _named(enum: str) -> Json:
    return {"$ref": f"#/components/schemas/{enum}"}


REQUIRED = {
    "SeparationRequest": ("callBackUrl",),
    "MidiRequest": ("taskId", "callBackUrl"),
    "WavRequest": ("taskId", "audioId", "callBackUrl"),
    "JobRequest": ("model", "input"),
    "DownloadUrlRequest": ("url",),
    "Base64UploadRequest": ("base64Data",),
    "UrlUploadRequest": ("fileUrl",),
    "TranscriptionRequest": ("url",),
}
"""Fields of requests without which they are refused, by schema; they are not null either."""

_CLOSED = ("TranscriptionRequest", "TranscriptionForm")  # other fields than theirs are refused

_RULES: dict[str, dict[str, Json]] = {
    "SeparationRequest": {
        "taskId": _HEX_ID,
        "audioId": _TRACK_ID,
        "audioUrl": _URL,
        "callBackUrl": _URL,
        "type": _named("SeparationType"),
        "stemName": _named("StemName"),
    },
    "MidiRequest": {
        "taskId": _HEX_ID,
        "audioId": _TRACK_ID,
        "callBackUrl": _URL,
        "transcriber": _named("Transcriber"),
    },
    "WavRequest": {"taskId": _HEX_ID, "audioId": _TRACK_ID, "callBackUrl": _URL},
    "JobRequest": {"model": _named("JobModel"), "callBackUrl": _URL},
    "JobInput": {
        "task_id": _HEX_ID,
        "audio_id": _TRACK_ID,
        "audio_url": _URL,
        "type": _named("SeparationType"),
        "stem_name": _named("StemName"),
        "transcriber": _named("Transcriber"),
    },
    "DownloadUrlRequest": {"url": {"format": "uri", "minLength": 1, "examples": [_LINK]}},
    "Base64UploadRequest": {"base64Data": {"minLength": 1}, **_UPLOAD_NAMES},
    "UrlUploadRequest": {"fileUrl": _URL, **_UPLOAD_NAMES},
    "UploadForm": _UPLOAD_NAMES,
    "TranscriptionRequest": {
        "url": _URL,
        "callback_url": _URL,
        "stems": _NAMES,
        "instruments": _NAMES,
        "transcriber": _named("Transcriber"),
        "priority": {"minimum": -MAX_PRIORITY, "maximum": MAX_PRIORITY},
    },
    "TranscriptionForm": {
        "callback_url": _URL,
        "stems": _NAMES,
        "instruments": _NAMES,
        "transcriber": _named("Transcriber"),
        "priority": {"minimum": -MAX_PRIORITY, "maximum": MAX_PRIORITY},
    },
}

# Of operations that do several things: what is sent for each.
_EXAMPLES: dict[str, dict[str, Json]] = {
    "kieGenerateSeparation": {
        "Every stem of an upload": {
            "taskId": _TASK_ID, "audioId": _AUDIO_ID, "type": "split_stem", "callBackUrl": _DONE,
        },
        "Vocals and the rest, of audio at an address": {"audioUrl": _SONG, "callBackUrl": _DONE},
        "One stem and the rest": {
            "audioUrl": _SONG, "type": "split_stem_advanced", "stemName": "Kick", "callBackUrl": _DONE,
        },
    },
    "kieGenerateMidi": {
        "Every stem": {"taskId": _TASK_ID, "callBackUrl": _DONE},
        "One stem": {"taskId": _TASK_ID, "audioId": _AUDIO_ID, "callBackUrl": _DONE},
    },
    "kieCreateTask": {
        "Separation": {
            "model": "ai-music-api/separate-vocals", "callBackUrl": _DONE,
            "input": {"audio_url": _SONG, "type": "split_stem"},
        },
        "Transcription": {"model": "ai-music-api/generate-midi-from-audio", "input": {"task_id": _TASK_ID}},
        "Conversion to WAV": {
            "model": "ai-music-api/convert-to-wav-format", "input": {"task_id": _TASK_ID, "audio_id": _AUDIO_ID},
        },
    },
    "transcribe": {
        "Everything of a song": {"url": _SONG},
        "The notes of some stems": {
            "url": _SONG, "stems": ["vocals"], "instruments": ["bass", "drums"], "callback_url": _DONE,
        },
    },
}  # fmt: skip
_REQUIRED_QUERY = {"taskId"}  # the records of the Kie dialect
_IDS = {"taskId": _HEX_ID, "task_id": _HEX_ID, "file_id": _HEX_ID}  # as parameters


def tighten_schemas(schemas: Json) -> None:
    """Say in the requests' schemas what is required, and what values are taken."""
    schemas.update({name: {"title": name, "type": "string", "enum": values} for name, values in _ENUMS.items()})
    for name, rules in _RULES.items():
        fields = schemas[name]["properties"]
        for field, rule in rules.items():
            if "$ref" in rule:
                fields[field].pop("type", None)
                fields[field]["oneOf"] = [rule, {"type": "null"}]
            else:
                fields[field].update(rule)
    for name in _CLOSED:
        schemas[name]["additionalProperties"] = False
    for name, required in REQUIRED.items():
        schema = schemas[name]
        schema["required"] = sorted({*schema.get("required", ()), *required})
        for field in required:
            schema["properties"][field] = _without_null(schema["properties"][field])


def document_request(operation: Json) -> None:
    """Say what an operation's parameters must be like, and show its requests."""
    for parameter in operation.get("parameters", ()):
        parameter["schema"].update(_IDS.get(parameter["name"], {}))
        if parameter["name"] in _REQUIRED_QUERY:
            parameter["required"] = True
    if found := _EXAMPLES.get(operation["operationId"]):
        operation["requestBody"]["content"]["application/json"]["examples"] = named_examples(found)


def named_examples(examples: dict[str, Json]) -> Json:
    """Examples by their summaries, as the document has them."""
    return {
        summary.replace(" ", "-").replace(",", "").lower(): {"summary": summary, "value": value}
        for summary, value in examples.items()
    }


def _is_nullable(schema: Json) -> bool:
    return isinstance(schema.get("type"), list) and "null" in schema["type"]


def _without_null(schema: Json) -> Json:
    schema = dict(schema)
    if _is_nullable(schema):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
    for name in ("oneOf", "anyOf"):
        kept = [item for item in schema.get(name, ()) if item != {"type": "null"}]
        if len(kept) == 1:
            del schema[name]
            schema.update(kept[0])
            if "$ref" in schema:  # examples of the field are the enum's or the struct's own
                schema.pop("examples", None)
    return schema
