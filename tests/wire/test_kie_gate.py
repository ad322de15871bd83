"""Requests that are refused by their head: compressed ones, and new work while the process ends."""

import gzip
import json

import pytest

from support.api import CALLBACK, Api
from support.audio import wav_bytes

GENERATE = "/api/v1/vocal-removal/generate"
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%s\r\n--b--\r\n'
FORM_TYPE = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        (GENERATE, "application/json", json.dumps({"audioUrl": "http://1.1.1.1/a", "callBackUrl": CALLBACK}).encode()),
        ("/api/file-stream-upload", FORM_TYPE, FORM % wav_bytes()),
        ("/v1/transcriptions", "application/json", json.dumps({"url": "http://1.1.1.1/a"}).encode()),
        ("/v1/transcriptions", FORM_TYPE, FORM % wav_bytes()),
    ],
    ids=["Kie JSON", "Kie form", "native JSON", "native form"],
)
async def test_a_compressed_body_is_refused(api: Api, path: str, content_type: str, body: bytes) -> None:
    headers = {**api.headers, "Content-Type": content_type}
    refused = await api.http.post(path, content=gzip.compress(body), headers={**headers, "Content-Encoding": "gzip"})
    assert refused.status_code == (200 if path == GENERATE else 400)
    answer = refused.json()
    assert answer.get("code") == ("bad_request" if path.startswith("/v1/") else 400)
    assert "Content-Encoding gzip" in (answer.get("msg") or answer["detail"])
    plain = await api.http.post(path, content=body, headers={**headers, "Content-Encoding": "Identity"})
    assert plain.status_code in (200, 202)
    assert plain.json().get("code", 200) == 200


async def test_a_header_without_a_body_is_nothing(api: Api) -> None:
    answer = await api.http.get("/api/v1/chat/credit", headers={**api.headers, "Content-Encoding": "gzip"})
    assert answer.json()["code"] == 200


async def test_a_process_that_ends_takes_nothing_new(api: Api) -> None:
    uploaded = await api.upload()
    body = {**api.source(uploaded), "callBackUrl": CALLBACK}
    api.context.stopping.set()
    kie = await api.http.post(GENERATE, json=body, headers=api.headers)
    assert (kie.status_code, kie.json()["code"], kie.json()["data"]) == (200, 455, None)
    upload = await api.http.post("/api/file-stream-upload", files={"file": wav_bytes()}, headers=api.headers)
    assert (upload.status_code, upload.json()["code"]) == (503, 503)
    native = await api.http.post("/v1/transcriptions", json={"url": uploaded["downloadUrl"]}, headers=api.headers)
    problem = native.json()
    assert (native.status_code, problem["status"], problem["code"]) == (503, 503, "maintenance")
    assert problem["title"] == "Service Unavailable"
    for answer in (kie, upload, native):
        assert int(answer.headers["retry-after"]) > 0
    assert (await api.http.get(f"/v1/tasks/{uploaded['taskId']}", headers=api.headers)).status_code == 200
