"""What Schemathesis is told about this service; loaded by its process, which ``tests/quality/fuzz.py`` starts.

Addresses, ids and audio are ones that the service can use, beside those that Schemathesis makes up, so that requests
get past the first checks.  In the Kie dialect the verdict is in the body: the checks on it are made here.
"""

import base64
import copy
import io
import itertools
import json
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs
import numpy as np
import schemathesis
import soundfile as sf
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, CheckContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response

_RECORDS = json.loads(os.environ["FUZZ_RECORDS"])  # of fuzz_records.py
_RECEIVER = _RECORDS["receiver"]
_REAL_CODES = (401, 405, 429, 500)  # of the Kie dialect: with the HTTP status of the same number
_KEY = "Idempotency-Key"
_ACCEPTED = 299  # stands for the verdict "success": HTTP 200 is expected of every request, this of good ones only
# Of a form's file: what a file is gets read from its bytes.
_MEDIA_TYPES = (
    "audio/wav", "audio/flac", "audio/mpeg", "audio/ogg", "audio/mp4", "audio/aac", "audio/aiff", "video/mp4",
)  # fmt: skip
_PLAIN_BODIES = ("application/json", "application/x-www-form-urlencoded")
_IGNORED = ("stemName", "stem_name")  # unless the type asks for it, and taken in any capitals

_HEX_ID = re.compile(rb"\b[0-9a-f]{32}\b")

_count = itertools.count(1)
_answered: set[bytes] = set()


def _audio() -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.sin(np.arange(8000) / 10).astype(np.float32) / 2, 8000, format="WAV")
    return buffer.getvalue()


# Nothing outside this machine is ever asked: whatever is a URL here leads to the receiver, or nowhere.
schemathesis.openapi.format(
    "uri",
    st.sampled_from([f"{_RECEIVER}/song.wav", f"{_RECEIVER}/callback", f"{_RECEIVER}/s%C3%B6ng.wav?x=1#part"]),
)
for _media_type in _MEDIA_TYPES:
    schemathesis.openapi.media_type(_media_type, st.just(_audio()) | st.just(_audio()) | st.binary(max_size=200))


def _pick(items: list[Any], n: int) -> Any:
    return items[n % len(items)]


def _source(n: int) -> dict[str, Any]:
    """One of the two ways to name a song: its ids, or its address."""
    if n % 2:
        task_id, audio_id = _pick(_RECORDS["tracks"] + _RECORDS["stems"], n)
        return {"taskId": task_id, "audioId": audio_id, "audioUrl": None}
    return {"taskId": None, "audioId": None, "audioUrl": _pick([f"{_RECEIVER}/song.wav", *_RECORDS["links"]], n)}


def _track(n: int) -> dict[str, Any]:
    task_id, audio_id = _pick(_RECORDS["tracks"] + _RECORDS["stems"], n)
    return {"taskId": task_id, "audioId": audio_id}


def _stem(n: int) -> dict[str, Any]:
    task_id, audio_id = _pick(_RECORDS["stems"], n)
    return {"taskId": task_id, "audioId": audio_id if n % 2 else None}


def _job(n: int) -> dict[str, Any]:
    jobs = [("separate-vocals", _source), ("generate-midi-from-audio", _stem), ("convert-to-wav-format", _track)]
    model, fields = _pick(jobs, n)
    names = {"taskId": "task_id", "audioId": "audio_id", "audioUrl": "audio_url"}
    return {
        "model": f"ai-music-api/{model}",
        "input": {names[name]: value for name, value in fields(n // len(jobs)).items()},
    }


def _audio_address(n: int) -> dict[str, Any]:
    """The address of a song under either of its names in the MusicGPT dialect."""
    address = _pick([f"{_RECEIVER}/song.wav", *_RECORDS["links"]], n // 2)
    return {"audio_url": None, "audio_path": None} | {("audio_url", "audio_path")[n % 2]: address}


_BODIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "kieGenerateSeparation": _source,
    "kieGenerateMidi": _stem,
    "kieGenerateWav": _track,
    "kieCreateTask": _job,
    "kieMakeDownloadUrl": lambda n: {"url": _pick([*_RECORDS["links"], *_RECORDS["files"].values()], n)},
    "kieUploadUrl": lambda n: {"fileUrl": f"{_RECEIVER}/song.wav"},
    "kieUploadBase64": lambda n: {"base64Data": base64.b64encode(_audio()).decode()},
    "transcribe": lambda n: {"url": _source(2 * n)["audioUrl"], "stems": None, "instruments": ["vocals"]},
    "musicGptAudioToMidi": _audio_address,
    "musicGptFileConvert": _audio_address,
    "musicGptExtraction": lambda n: _audio_address(n) | {
        "stems": _pick(['["vocals"]', '["drums", "instrumental"]', ""], n // 2), "preprocessing_options": "[]",
    },
    "musicGptExtractKeyBpm": _audio_address,
    "musicGptKeyBpmExtract": _audio_address,
    "musicGptAudioCutter": lambda n: _audio_address(n) | {"start_time": n % 50, "end_time": 50 + n % 200},
    "musicGptAudioSpeedChanger": _audio_address,
}  # fmt: skip
_SHOWN = {
    "kieShowSeparation": ["separation"],
    "kieShowMidi": ["midi"],
    "kieShowWav": ["wav"],
    "kieShowTask": ["separation", "midi", "wav"],
}


def _path(operation: str, n: int) -> dict[str, Any]:
    if operation == "deleteTask":
        return {"task_id": _RECORDS["disposable"].pop()} if _RECORDS["disposable"] else {}
    if operation.startswith("downloadFile"):
        return {"task_id": _RECORDS["transcription"], "name": _pick([*_RECORDS["files"]], n)}
    kinds = (
        ["separation", "midi", "wav"] if operation == "redeliver" else ["separation", "midi", "wav", "transcription"]
    )
    return {"task_id": _RECORDS[_pick(kinds, n)]}


@schemathesis.hook
def after_call(ctx: schemathesis.HookContext, case: schemathesis.Case, response: Response) -> None:
    """Ids that were answered may come back by a link; a refusal only repeats what was asked for."""
    if response.status_code < 300 and _verdict(response, case) in (None, 200):
        _answered.update(_HEX_ID.findall(response.content))


def _is_answered(values: Any) -> bool:
    return isinstance(values, dict) and any(str(value).encode() in _answered for value in values.values())


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Every second request of what is good anyway is about records that are there; those of links have their own."""
    if case.meta is None:
        return
    n = next(_count)
    bad = {location for location, info in case.meta.components.items() if info.mode.is_negative}
    operation = case.operation.definition.raw["operationId"]
    if ParameterLocation.HEADER not in bad and case.headers and _KEY in case.headers and n % 8:
        case.headers[_KEY] = f"request-{n}"  # the few values that are made up clash at once
    if ParameterLocation.BODY not in bad and isinstance(case.body, dict) and case.media_type in _PLAIN_BODIES:
        if _is_answered(case.body) and (case.body.get("audioId") or operation == "kieGenerateMidi"):
            case.body = {name: value for name, value in case.body.items() if name != "audioUrl"}
        elif operation in _BODIES and n % 2:
            case.body = case.body | _BODIES[operation](n // 2)  # a copy: many cases may share the one body
    if n % 2 or _is_answered(case.path_parameters) or _is_answered(case.query):
        return
    if ParameterLocation.QUERY not in bad and operation == "musicGptById":
        kind, task_id = _pick([*_RECORDS["conversions"].items()], n // 2)
        case.query = {"conversionType": kind, "task_id": task_id}
    if ParameterLocation.QUERY not in bad and operation in _SHOWN:
        case.query = case.query | {"taskId": _RECORDS[_pick(_SHOWN[operation], n // 2)]}
    if ParameterLocation.PATH not in bad and "task_id" in case.path_parameters:
        case.path_parameters = case.path_parameters | _path(operation, n // 2)
    if not bad & {ParameterLocation.PATH, ParameterLocation.QUERY} and "file_id" in case.path_parameters:
        link = urlsplit(_pick([*_RECORDS["files"].values()], n // 2))
        *_, file_id, name = link.path.split("/")
        case.path_parameters = case.path_parameters | {"file_id": file_id, "name": unquote(name)}
        case.query = case.query | dict(parse_qsl(link.query))


def _verdict(response: Response, case: schemathesis.Case) -> int | None:
    """The ``code`` of a Kie envelope; None for whatever is none, which other checks judge."""
    if not case.operation.path.startswith("/api/v1/"):
        return None
    try:
        code = json.loads(response.content)["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, int) else None


def _meant(value: Any) -> Any:
    """A body as the service reads it: nothing stands in a field that is empty or ignored."""
    if not isinstance(value, dict):
        return value
    return {name: _meant(item) for name, item in value.items() if item != "" and name not in _IGNORED}


def _is_good_as_meant(case: schemathesis.Case) -> bool:
    """Whether only the body is wrong, and only in ways that the service takes no offence at."""
    bad = {location for location, info in case.meta.components.items() if info.mode.is_negative} if case.meta else set()
    if bad != {ParameterLocation.BODY} or case.media_type != "application/json":
        return False
    raw = case.operation.schema.raw_schema
    body = case.operation.definition.raw["requestBody"]["content"]["application/json"]["schema"]
    schema = {**body, "components": raw["components"]}
    return jsonschema_rs.Draft202012Validator(schema).is_valid(_meant(case.body))


@schemathesis.check
def kie_bad_data_is_refused(ctx: CheckContext, response: Response, case: schemathesis.Case) -> None:
    """negative_data_rejection, with the envelope's verdict as the status."""
    code = _verdict(response, case)
    if code is None or (code == 200 and _is_good_as_meant(case)):
        return
    judged = copy.copy(response)
    judged.status_code = _ACCEPTED if code == 200 else code
    CHECKS.get_one("negative_data_rejection")(ctx, judged, case)


_TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _as_read(value: Any, kind: str) -> Any:
    """A field's value as the MusicGPT dialect reads it: truths and numbers may be text, names are in any case."""
    text = str(value).strip()
    if kind == "boolean":
        return _TRUTHS.get(text.lower(), value)
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            return float(text)
        except ValueError:
            return value
    if kind == "string" and isinstance(value, list):
        return json.dumps(value)
    return text.lower().removeprefix(".") if kind == "name" and isinstance(value, str) else value


def _is_good_as_read(case: schemathesis.Case) -> bool:
    """Whether a body that is wrong by its schema is one that the MusicGPT dialect takes."""
    content = case.operation.definition.raw.get("requestBody", {}).get("content", {}).get(case.media_type)
    if content is None or not isinstance(case.body, dict):
        return False
    raw = case.operation.schema.raw_schema
    schema = raw["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    fields = schema["properties"]
    body = {
        name: _as_read(value, "name" if "enum" in fields[name] and fields[name]["type"] == "string" else
                       fields[name]["type"])
        for name, value in case.body.items()
        if name in fields and fields[name].get("format") != "binary" and value not in (None, "")
    }  # fmt: skip
    return jsonschema_rs.Draft202012Validator({**schema, "components": raw["components"]}).is_valid(body)


@schemathesis.check
def musicgpt_bad_data_is_refused(ctx: CheckContext, response: Response, case: schemathesis.Case) -> None:
    """negative_data_rejection, of what is wrong however it is read."""
    bad = {location for location, info in case.meta.components.items() if info.mode.is_negative} if case.meta else set()
    if not case.operation.path.startswith("/api/public/") or response.status_code != 200:
        return
    if bad == {ParameterLocation.BODY}:
        assert _is_good_as_read(case), f"{case.media_type} {case.body!r} was taken"


@schemathesis.check
def kie_status_fits_the_verdict(ctx: CheckContext, response: Response, case: schemathesis.Case) -> None:
    """HTTP 200 for successes and business errors; the real status for the others."""
    code = _verdict(response, case)
    if code is not None:
        expected = code if code in _REAL_CODES else 200
        assert response.status_code == expected, f"code {code} came with HTTP status {response.status_code}"
