"""Every kind of bad input and the answer it gets: ``python tests/quality/bad_inputs.py``.

Starts the service as a user does, with the real weights, sends each input over HTTP, and prints a table.
"""

import io
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile as sf

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.audio import wav_bytes
from support.process import RunningService, running_service

CALLBACK = "http://127.0.0.1:9/nobody-listens"
Answer = tuple[str, str]


def truncated_flac() -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.random.default_rng(1).standard_normal(10 * 44_100) / 8, 44_100, format="FLAC")
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


def three_hour_header() -> bytes:
    """One second of sound under a header that promises three hours."""
    content = bytearray(wav_bytes(1.0))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 3 * 3600 * 44_100 * 4)
    return bytes(content)


def upload(service: RunningService, content: bytes | None, name: str = "song.mp3") -> Answer:
    files = {"other": b""} if content is None else {"file": (name, content)}
    response = httpx.post(
        f"{service.base_url}/api/file-stream-upload", files=files, headers=service.headers, timeout=60
    )
    return told(response)


def generate(service: RunningService, what: str, body: dict[str, Any], token: str | None = None) -> Answer:
    headers = {"Authorization": f"Bearer {token or service.token}"}
    return told(httpx.post(f"{service.base_url}/api/v1/{what}/generate", json=body, headers=headers, timeout=60))


def told(response: httpx.Response) -> Answer:
    return f"HTTP {response.status_code}, code {response.json()['code']}", response.json()["msg"]


def separated(service: RunningService, content: bytes, name: str) -> dict[str, Any]:
    """The record of a separation that has ended, well or not."""
    uploaded = service.upload(content, name)
    source = {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"]}
    task_id = service.generate("vocal-removal", **source, type="split_stem", callBackUrl=CALLBACK)
    return service.wait("vocal-removal", task_id)


def answers(service: RunningService) -> Iterator[tuple[str, Answer]]:
    yield "no file in the form", upload(service, None)
    yield "text renamed .mp3", upload(service, b"Just words, no music.\n" * 100)
    yield "0 bytes", upload(service, b"")
    yield "a playlist (HLS with file://)", upload(service, b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    yield "a picture renamed .wav", upload(service, b"\x89PNG\r\n\x1a\n" + bytes(1000), "song.wav")
    yield "100 channels", upload(service, wav_bytes(0.1, channels=100), "song.wav")
    yield "header of 3 hours over 1 s of sound", upload(service, three_hour_header(), "song.wav")
    record = separated(service, truncated_flac(), "song.flac")
    yield "truncated FLAC", (f"{record['successFlag']}, errorCode {record['errorCode']}", record["errorMessage"])

    one, other = (separated(service, wav_bytes(1.0), "song.wav") for _ in range(2))
    body = {"taskId": one["taskId"], "callBackUrl": CALLBACK}
    yield "unknown taskId", generate(service, "midi", {**body, "taskId": "f" * 32})
    foreign = other["response"]["originData"][0]["id"]
    yield "audioId of another task", generate(service, "midi", {**body, "audioId": foreign})
    yield "missing callBackUrl", generate(service, "midi", {"taskId": one["taskId"]})
    yield "callBackUrl not a URL", generate(service, "midi", {**body, "callBackUrl": "call me"})
    yield "private address as callBackUrl", generate(service, "midi", {**body, "callBackUrl": "http://10.0.0.1/cb"})
    yield (
        "metadata address as audioUrl",
        generate(service, "vocal-removal", {"audioUrl": "http://169.254.169.254/x", "callBackUrl": CALLBACK}),
    )
    yield "wrong key", generate(service, "midi", body, token="wrong")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service:
        print("| input | answer | message |\n|---|---|---|")
        for name, (verdict, message) in answers(service):
            print(f"| {name} | {verdict} | {message} |", flush=True)


if __name__ == "__main__":
    main()
