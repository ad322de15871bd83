"""The MusicGPT dialect as tests speak it: requests of every kind, what ``byId`` shows, and what webhooks send."""

import csv
import io
from typing import Any

import httpx
import mido
import soundfile as sf

from support.api import Api
from support.audio import wav_bytes

PREFIX = "/api/public/v1"
TYPES = {
    "audio_to_midi": "AUDIO_TO_MIDI",
    "file_convert": "FILE_CONVERT",
    "Extraction": "EXTRACTION",
    "extract_key_bpm": "KEY_BPM_EXTRACTION",
    "audio_cutter": "AUDIO_CUTTER",
    "audio_speed_changer": "AUDIO_SPEED_CHANGER",
}
"""What ``byId`` calls what each endpoint makes."""
REQUIRED: dict[str, dict[str, str]] = {
    "audio_to_midi": {},
    "file_convert": {"target_format": "wav"},
    "Extraction": {},
    "extract_key_bpm": {},
    "audio_cutter": {"start_time": "100", "end_time": "600"},
    "audio_speed_changer": {"speed_change_factor": "2"},
}
"""The fields that each endpoint cannot do without, besides a source."""
NOTE_EVENTS = ["start_time_s", "end_time_s", "pitch_midi", "velocity", "pitch_bend"]

Json = dict[str, Any]


def key(api: Api) -> dict[str, str]:
    """The key as the vendor's clients send it: alone."""
    return {"Authorization": api.token}


async def ask(
    api: Api, endpoint: str, content: bytes | None = None, name: str = "song.wav", **fields: str
) -> httpx.Response:
    """The answer to a form with a file: a second of a tone where there is no ``content``."""
    files = {"audio_file": (name, wav_bytes() if content is None else content)}
    return await api.http.post(
        f"{PREFIX}/{endpoint}", files=files, data={**REQUIRED.get(endpoint, {}), **fields}, headers=key(api)
    )


async def ask_json(api: Api, endpoint: str, body: Json) -> httpx.Response:
    """The answer to a JSON body, with what is required where it does not say otherwise."""
    return await api.http.post(f"{PREFIX}/{endpoint}", json={**REQUIRED.get(endpoint, {}), **body}, headers=key(api))


async def begun(api: Api, endpoint: str, content: bytes | None = None, name: str = "song.wav", **fields: str) -> Json:
    """The answer to a form with a file that was taken."""
    response = await ask(api, endpoint, content, name, **fields)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


async def by_id(api: Api, conversion_type: str, **ids: str) -> httpx.Response:
    params = {"conversionType": conversion_type, **ids}
    return await api.http.get(f"{PREFIX}/byId", params=params, headers=key(api))


async def conversion(api: Api, endpoint: str, task_id: str) -> Json:
    """What ``byId`` shows of a task that an endpoint made."""
    response = await by_id(api, TYPES[endpoint], task_id=task_id)
    assert (response.status_code, response.json()["success"]) == (200, True), response.text
    shown: Json = response.json()["conversion"]
    return shown


async def done(api: Api, endpoint: str, content: bytes | None = None, name: str = "song.wav", **fields: str) -> Json:
    """What ``byId`` shows of a task that has just been asked for with a file, and done."""
    answer = await begun(api, endpoint, content, name, **fields)
    await api.work()
    shown = await conversion(api, endpoint, answer["task_id"])
    assert shown["status"] == "COMPLETED", shown
    return shown


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and message of a refusal, which must have the dialect's form."""
    body = response.json()
    assert set(body) == {"success", "message", "detail", "code"}, body
    assert body["success"] is False
    assert body["message"] == body["detail"]
    return response.status_code, body["message"]


def n_notes(midi: bytes) -> int:
    """How many notes a MIDI file has."""
    tracks = mido.MidiFile(file=io.BytesIO(midi)).tracks
    return sum(message.type == "note_on" and message.velocity > 0 for track in tracks for message in track)


def audio(content: bytes) -> tuple[int, int, float]:
    """Sample rate, channels and seconds of a file that libsndfile reads."""
    info = sf.info(io.BytesIO(content))
    return info.samplerate, info.channels, info.duration


def note_events(content: bytes) -> list[dict[str, str]]:
    """Rows of a CSV of note events, which must have the columns that are usual."""
    rows = csv.DictReader(io.StringIO(content.decode()))
    assert rows.fieldnames == NOTE_EVENTS
    return list(rows)
