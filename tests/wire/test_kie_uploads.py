"""Uploads: their answer field by field, and every refusal with its real HTTP status."""

import base64
import dataclasses
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.settings import Settings
from service.storage import content_key
from support.api import Api
from support.audio import wav_bytes
from support.servers import answer, http_server
from support.stored import stored_keys

ANSWER_FIELDS = {
    "success", "fileName", "filePath", "downloadUrl", "fileSize", "mimeType", "uploadedAt", "taskId", "audioId",
}  # fmt: skip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    allow = (ipaddress.ip_network("127.0.0.0/8"),)
    return dataclasses.replace(settings, max_upload_mb=1, max_audio_minutes=1, allow_addresses=allow)


async def post_file(api: Api, content: bytes, name: str = "song.wav", **fields: str) -> Any:
    return await api.http.post(
        "/api/file-stream-upload", files={"file": (name, content)}, data=fields, headers=api.headers
    )


async def test_a_streamed_upload(api: Api) -> None:
    response = await post_file(api, wav_bytes(), uploadPath="songs/mine", fileName="better name.wav")
    assert response.status_code == 200
    body = response.json()
    assert (body["success"], body["code"], body["msg"]) == (True, 200, "File uploaded successfully")
    data = body["data"]
    assert set(data) == ANSWER_FIELDS
    assert data["fileName"] == "better name.wav"
    assert data["filePath"] == "songs/mine/better name.wav"
    assert data["fileSize"] == len(wav_bytes())
    assert data["mimeType"] == "audio/wav"
    assert data["uploadedAt"].endswith("Z")
    assert await api.get_bytes(data["downloadUrl"]) == wav_bytes()


async def test_an_upload_by_address(api: Api) -> None:
    with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as base:
        response = await api.http.post(
            "/api/file-url-upload",
            json={"fileUrl": f"{base}/music/a.wav", "uploadPath": "x"},
            headers=api.headers,
        )
    assert response.status_code == 200
    assert response.json()["data"]["fileName"] == "a.wav"
    assert set(response.json()["data"]) == ANSWER_FIELDS


async def test_a_name_that_arrives_in_pieces(api: Api) -> None:
    """A proxy may cut a body anywhere, in the middle of a character too."""
    parts = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    name = parts % (b"fileName", b"", "夜の歌.wav".encode())
    body = name + parts % (b"file", b'; filename="x.wav"', wav_bytes()) + b"--b--\r\n"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, 120):
            yield body[at : at + 1]
        yield body[120:]

    response = await api.http.post(
        "/api/file-stream-upload",
        content=pieces(),
        headers={**api.headers, "Content-Type": "multipart/form-data; boundary=b"},
    )
    assert response.json()["data"]["fileName"] == "夜の歌.wav"


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x.wav", "/abs/olute.wav", "a\x00b.wav", "...", "..", ""])
async def test_names_are_only_names(api: Api, name: str) -> None:
    response = await post_file(api, wav_bytes(), fileName=name, uploadPath="../../..")
    assert response.status_code == 200
    shown = response.json()["data"]["fileName"]
    assert shown
    assert "/" not in shown
    assert "\\" not in shown
    assert await stored_keys(api.context) == [content_key(hashlib.sha256(wav_bytes()).hexdigest())]


@pytest.mark.parametrize(
    ("content", "name", "status", "message"),
    [
        (b"", "song.wav", 400, "empty"),
        (b"just some text, not music at all\n" * 50, "song.mp3", 400, "text"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "song.mp3", 400, "playlist"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), "cover.wav", 400, "audio"),
        (bytes(1_000_001), "big.wav", 413, "limit of 1 MB"),
        (wav_bytes(duration_s=100, rate_hz=4000, channels=1), "long.wav", 413, "60"),
        (wav_bytes(duration_s=0.01, channels=100), "wide.wav", 413, "100"),
    ],
    ids=["empty", "text", "playlist", "picture", "too many bytes", "too long", "100 channels"],
)
async def test_what_is_no_usable_audio_is_refused_at_once(
    api: Api, content: bytes, name: str, status: int, message: str
) -> None:
    response = await post_file(api, content, name)
    assert response.status_code == status
    body = response.json()
    assert (body["success"], body["code"]) == (False, status)
    assert message in body["msg"]
    assert list(api.context.storage.scratch_dir.iterdir()) == []


async def test_broken_forms(api: Api) -> None:
    no_file = await api.http.post("/api/file-stream-upload", files={"other": b"x"}, headers=api.headers)
    assert (no_file.status_code, no_file.json()["msg"]) == (400, "The form has no part named file.")
    no_form = await api.http.post("/api/file-stream-upload", json={}, headers=api.headers)
    assert no_form.status_code == 400
    assert "multipart/form-data" in no_form.json()["msg"]
    cut = await api.http.post(
        "/api/file-stream-upload",
        content=b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF',
        headers={**api.headers, "Content-Type": "multipart/form-data; boundary=b"},
    )
    assert cut.status_code == 400
    twice = await api.http.post(
        "/api/file-stream-upload", files=[("file", wav_bytes()), ("file", wav_bytes())], headers=api.headers
    )
    assert (twice.status_code, twice.json()["msg"]) == (400, "The form has more than one part named file.")
    huge_field = await post_file(api, wav_bytes(), fileName="x" * 10_000)
    assert huge_field.status_code == 413
    assert list(api.context.storage.scratch_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "fileUrl is required."),
        ("file:///etc/passwd", "fileUrl must be an http or https URL."),
        ("http://169.254.169.254/latest", "not a public one"),
    ],
)
async def test_bad_addresses(api: Api, url: str | None, message: str) -> None:
    response = await api.http.post("/api/file-url-upload", json={"fileUrl": url}, headers=api.headers)
    assert response.status_code == 400
    assert message in response.json()["msg"]


async def test_an_address_that_fails(api: Api) -> None:
    with http_server(lambda handler, _: answer(handler, 404)) as base:
        response = await api.http.post("/api/file-url-upload", json={"fileUrl": f"{base}/x"}, headers=api.headers)
    assert response.status_code == 400
    assert "HTTP status 404" in response.json()["msg"]


async def test_unknown_upload_paths_keep_the_upload_envelope(api: Api) -> None:
    response = await api.http.post("/api/file-carrier-pigeon-upload", json={}, headers=api.headers)
    assert response.status_code == 404
    assert set(response.json()) == {"success", "code", "msg"}


@pytest.mark.parametrize("field", ["uploadPath", "fileName"])
async def test_names_have_a_limit_however_a_file_is_sent(api: Api, field: str) -> None:
    async def send(value: str) -> list[Any]:
        with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as base:
            by_url = {"fileUrl": f"{base}/a.wav", field: value}
            as_base64 = {"base64Data": base64.b64encode(wav_bytes()).decode(), field: value}
            return [
                await post_file(api, wav_bytes(), **{field: value}),
                await api.http.post("/api/file-url-upload", json=by_url, headers=api.headers),
                await api.http.post("/api/file-base64-upload", json=as_base64, headers=api.headers),
            ]

    assert [response.status_code for response in await send("x" * 1024)] == [200, 200, 200]
    for response in await send("x" * 1025):
        assert (response.status_code, response.json()["code"]) == (400, 400)
        assert response.json()["msg"] == f"{field} is longer than 1024 characters."
