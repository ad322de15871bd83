"""What the framework cannot see of the MusicGPT routes: what their fields take, and whole requests and answers."""

from typing import Any

from pipeline.conversion.formats import BITS, FORMATS, RATES_HZ
from pipeline.recognition_modes import MODES
from pipeline.transcription.choices import TRANSCRIBERS
from service.api.documented_requests import named_examples
from service.musicgpt.endpoints import BY_TYPE, MAX_SPEED, MIN_SPEED

Json = dict[str, Any]

_SONG = "https://songs.example/song.mp3"
_OBJECT = "s3://songs/song.wav"
_DONE = "https://client.example/done"
_TASK_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_CONVERSION_ID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
_URL: Json = {"format": "uri", "minLength": 1, "maxLength": 2048}
_FORMAT: Json = {"enum": [*FORMATS]}
_SOURCE: dict[str, Json] = {"audio_url": _URL, "audio_path": _URL, "webhook_url": _URL}
_RULES: dict[str, dict[str, Json]] = {
    "AudioToMidi": {"mode": {"enum": [*MODES]}, "transcriber": {"enum": [*TRANSCRIBERS]}},
    "FileConvert": {
        "target_format": _FORMAT,
        "target_sr": {"enum": [*RATES_HZ]},
        "target_bit_depth": {"enum": [*BITS]},
    },
    "Extraction": {},
    "KeyBpm": {},
    "AudioCutter": {"start_time": {"minimum": 0}, "end_time": {"minimum": 0}, "output_extension": _FORMAT},
    "AudioSpeedChanger": {
        "speed_change_factor": {"minimum": MIN_SPEED, "maximum": MAX_SPEED},
        "output_extension": _FORMAT,
        "audio_extension": _FORMAT,
    },
}
"""Of each endpoint's fields, by the name of its schemas without ``Form`` and ``Request``."""


def _file(name: str) -> str:
    return f"https://stemscribe.example/files/9a8b7c6d5e4f30211203f4e5d6c7b8a9/{name}?exp=1790000000&sig=c2ln"


# What each operation is asked.
_REQUESTS: dict[str, dict[str, Json]] = {
    "musicGptAudioToMidi": {
        "A song or a single instrument": {"audio_url": _SONG, "webhook_url": _DONE},
        "Somebody humming, in S3, the notes alone": {
            "audio_path": _OBJECT, "mode": "voice", "sonify_midi": False, "save_note_events": False,
        },
    },
    "musicGptFileConvert": {
        "To WAV": {"audio_url": _SONG, "target_format": "wav", "target_sr": 44_100, "target_bit_depth": 24},
    },
    "musicGptExtraction": {"Two stems": {"audio_url": _SONG, "stems": '["vocals", "drums"]'}},
    "musicGptExtractKeyBpm": {"Of audio at an address": {"audio_url": _SONG}},
    "musicGptKeyBpmExtract": {"Of audio at an address": {"audio_url": _SONG}},
    "musicGptAudioCutter": {
        "Four seconds": {"audio_path": _SONG, "start_time": 1000, "end_time": 5000, "output_extension": "wav"},
    },
    "musicGptAudioSpeedChanger": {"A quarter faster": {"audio_path": _SONG, "speed_change_factor": 1.25}},
}  # fmt: skip
_KEY_BPM: Json = {
    "dominant_key": "A minor", "bpm": 100.0, "key_changes": {"0.00-183.40": "A minor"}, "key_confidence": 0.93,
    "bpm_confidence": 0.97,
}  # fmt: skip
# The name in ``byId`` of what each operation makes, the credits it costs, and what comes of it.
_RESULTS: dict[str, tuple[str, int, Json]] = {
    "musicGptAudioToMidi": (
        "AUDIO_TO_MIDI", 15,
        {
            "midi_file_path": _file("song.mid"), "sonify_file_path": _file("song.wav"),
            "notes_file_path": _file("note_events.csv"), "mode": "song", "soundfont": None, "bpm": 100.0,
            "dominant_key": "A minor",
        },
    ),
    "musicGptFileConvert": (
        "FILE_CONVERT", 1, {"output_path": _file("song.wav"), "conversion_path": _file("song.wav")},
    ),
    "musicGptExtraction": (
        "EXTRACTION", 10,
        {f"{stem}_{kind}": _file(f"{stem}.flac") for stem in ("vocals", "drums") for kind in ("url", "path")},
    ),
    "musicGptExtractKeyBpm": ("KEY_BPM_EXTRACTION", 2, _KEY_BPM),
    "musicGptKeyBpmExtract": ("KEY_BPM_EXTRACTION", 2, _KEY_BPM),
    "musicGptAudioCutter": ("AUDIO_CUTTER", 1, {"conversion_path": _file("song.wav")}),
    "musicGptAudioSpeedChanger": ("AUDIO_SPEED_CHANGER", 1, {"conversion_path": _file("song.mp3")}),
}  # fmt: skip
_PROMISED = ("output_path",)  # result keys that the first answer has, too


def tighten_musicgpt_schemas(schemas: Json, conversion: Json, results: Json) -> None:
    """Say what values fields take, and what a conversion is like.

    Args:
        conversion, results: schemas of what every conversion has, and of what comes of the several kinds.
    """
    for name, rules in _RULES.items():
        for body in ("Form", "Request"):
            fields = schemas[name + body]["properties"]
            for field, rule in (_SOURCE | rules).items():
                fields[field].update(rule)
    schemas["Conversion"] = {
        **conversion,
        "properties": conversion["properties"] | results["properties"],
        "additionalProperties": {"description": "Of an extraction, STEM_url and STEM_path: a link to each stem."},
    }
    answer = schemas["ConversionAnswer"]["properties"]
    answer["conversion"] = {"$ref": "#/components/schemas/Conversion"}


def document_musicgpt(operation: Json) -> None:
    """Show an operation's requests and answers, and say what its parameters take."""
    name = operation["operationId"]
    if name == "musicGptById":
        _document_by_id(operation)
    if name not in _REQUESTS:
        return
    operation["requestBody"]["content"]["application/json"]["examples"] = named_examples(_REQUESTS[name])
    kind, cost, result = _RESULTS[name]
    operation["responses"]["200"]["content"]["application/json"]["example"] = {
        "success": True, "message": f"{BY_TYPE[kind].label} task queued successfully", "task_id": _TASK_ID,
        "conversion_id": _CONVERSION_ID, "eta": 42, "credit_estimate": cost, "status": "IN_QUEUE",
        **{key: value for key, value in result.items() if key in _PROMISED},
        **({"mode": "auto"} if "mode" in result else {}),
    }  # fmt: skip


def _document_by_id(operation: Json) -> None:
    rules = {
        "conversionType": {"enum": [*BY_TYPE]},
        "conversion_id": {"pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
    }
    for parameter in operation["parameters"]:
        parameter["schema"].update(rules.get(parameter["name"], {}))
        parameter["required"] = parameter["name"] == "conversionType"
    content = operation["responses"]["200"]["content"]["application/json"]
    content["examples"] = named_examples({BY_TYPE[shown[0]].label: _shown(*shown) for shown in _RESULTS.values()})


def _shown(kind: str, cost: int, result: Json) -> Json:
    """What ``byId`` answers when all went well."""
    conversion: Json = {
        "task_id": _TASK_ID, "conversion_id": _CONVERSION_ID, "conversion_type": kind, "status": "COMPLETED",
        "status_msg": BY_TYPE[kind].completed, "conversion_cost": cost, "createdAt": "2026-03-01T12:00:00.000Z",
        "updatedAt": "2026-03-01T12:01:23.000Z", "progress": 1.0, "eta": 0, "webhook_url": _DONE,
    }  # fmt: skip
    return {"success": True, "conversion": conversion | result}
