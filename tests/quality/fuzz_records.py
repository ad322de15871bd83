"""Records of every kind, made before the fuzzing, so that its requests find something: ids and links in JSON."""

import json
import time
from typing import Any

import httpx

from support.audio import wav_bytes
from support.live import Live

N_UPLOADS = 8  # tracks to convert, which is done once with each
N_DISPOSABLE = 12  # uploads to delete
_TIMEOUT_S = 60.0
_CONVERSIONS = {
    "AUDIO_TO_MIDI": "audio_to_midi",
    "EXTRACTION": "Extraction",
    "KEY_BPM_EXTRACTION": "extract_key_bpm",
    "FILE_CONVERT": "file_convert",
}


def make_records(service: Live, receiver: str) -> str:
    """Upload, separate, transcribe and convert.

    Args:
        receiver: address of a server that answers callbacks with 200.

    Returns:
        JSON: ``receiver``; ``tracks`` as pairs of task and audio id; ``disposable``, ids of uploads; the ids of one
        ``separation``, ``midi``, ``wav`` and ``transcription`` that are done; the last one's ``files``, links by name;
        ``conversions``, ids of tasks of the MusicGPT dialect by their type.
    """
    with httpx.Client(base_url=service.base_url, headers=service.headers, timeout=_TIMEOUT_S) as http:
        callback = {"callBackUrl": f"{receiver}/callback"}
        uploads = [_upload(http, n) for n in range(N_UPLOADS + N_DISPOSABLE)]
        tracks = [(upload["taskId"], upload["audioId"]) for upload in uploads[:N_UPLOADS]]
        task_id, audio_id = tracks.pop()
        source = {"taskId": task_id, "audioId": audio_id}
        separation = _ask(http, "vocal-removal/generate", source | callback | {"type": "split_stem"})
        wav = _ask(http, "wav/generate", source | callback)
        stems = [(separation, stem["audio_id"]) for stem in _ended(http, separation)["result"]["stems"]]
        midi = _ask(http, "midi/generate", callback | {"taskId": separation})
        accepted = http.post("/v1/transcriptions", json={"url": uploads[0]["downloadUrl"]}).raise_for_status().json()
        files = _ended(http, accepted["id"])["result"]["files"]
        conversions = {kind: _convert(http, path, uploads[0]["downloadUrl"]) for kind, path in _CONVERSIONS.items()}
        for other in (wav, midi, *conversions.values()):
            _ended(http, other)
    return json.dumps(
        {
            "receiver": receiver,
            "tracks": tracks,
            "stems": stems,
            "links": [upload["downloadUrl"] for upload in uploads[:N_UPLOADS]],
            "disposable": [upload["taskId"] for upload in uploads[N_UPLOADS:]],
            "separation": separation,
            "midi": midi,
            "wav": wav,
            "transcription": accepted["id"],
            "files": files,
            "conversions": conversions,
        }
    )


def _upload(http: httpx.Client, n: int) -> dict[str, Any]:
    files = {"file": (f"song-{n}.wav", wav_bytes(0.2), "audio/wav")}
    uploaded: dict[str, Any] = http.post("/api/file-stream-upload", files=files).raise_for_status().json()["data"]
    return uploaded


def _ask(http: httpx.Client, route: str, body: dict[str, Any]) -> str:
    answer = http.post(f"/api/v1/{route}", json=body).raise_for_status().json()
    task_id: str = answer["data"]["taskId"]
    return task_id


def _convert(http: httpx.Client, path: str, link: str) -> str:
    body = {"audio_url": link, "target_format": "flac"}
    answer = http.post(f"/api/public/v1/{path}", json=body).raise_for_status().json()
    task_id: str = answer["task_id"]
    return task_id


def _ended(http: httpx.Client, task_id: str) -> dict[str, Any]:
    """The task, once it has succeeded."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        task: dict[str, Any] = http.get(f"/v1/tasks/{task_id}").raise_for_status().json()
        if task["status"] == "succeeded":
            return task
        assert task["status"] in ("queued", "running"), task["error"]
        time.sleep(0.05)
    raise TimeoutError(f"the task {task_id} did not end in {_TIMEOUT_S:g} s")
