"""``vocal-removal`` of audio at an address: fetched by the worker, vetted, kept for a retry; or refused, and why."""

import dataclasses
import ipaddress
from urllib.parse import urlsplit

import pytest

from pipeline.errors import ModelUnavailable
from pipeline.song import Report
from service.settings import Settings
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.servers import answer, http_server
from support.stored import stored_keys


@pytest.fixture
def settings(settings: Settings) -> Settings:
    allow = (ipaddress.ip_network("127.0.0.0/8"),)
    return dataclasses.replace(settings, max_upload_mb=1, allow_addresses=allow)


async def test_audio_at_an_address_becomes_a_track_of_its_own(api: Api) -> None:
    with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as base:
        done = await api.separated(source={"audioUrl": f"{base}/tune.wav"})
    assert done["successFlag"] == "SUCCESS"
    assert done["musicId"] == done["audioId"]
    assert await api.get_bytes(done["response"]["originUrl"]) == wav_bytes()
    assert len(done["response"]["originData"]) == 4  # the source is no stem
    again = await api.separated(source={"taskId": done["taskId"], "audioId": done["musicId"]})
    assert again["successFlag"] == "SUCCESS"


async def test_a_retry_does_not_fetch_again(api: Api) -> None:
    asked: list[str] = []
    fails = [True]

    def fail_once(_: Report) -> None:
        if fails.pop() if fails else False:
            raise ModelUnavailable("away for a moment")

    def serve(handler: object, _: bytes) -> None:
        asked.append("x")
        answer(handler, 200, wav_bytes())  # type: ignore[arg-type]

    api.pipeline.during = fail_once
    with http_server(serve) as base:
        pending = await api.separated(source={"audioUrl": f"{base}/tune.wav"})
    assert pending["successFlag"] == "PENDING"
    api.clock.advance(60)
    await api.work()
    assert (await api.record("vocal-removal", pending["taskId"]))["successFlag"] == "SUCCESS"
    assert asked == ["x"]


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (404, b"", 451, "HTTP status 404"),
        (302, b"", 451, "169.254.169.254"),
        (200, b"only words, nothing to hear\n" * 50, 422, "text"),
        (200, b"#EXTM3U\nfile:///etc/passwd\n", 422, "playlist"),
        (200, bytes(1_000_001), 413, "limit of 1 MB"),
    ],
)
async def test_what_cannot_be_had_or_heard_fails_with_its_reason(
    api: Api, status: int, body: bytes, code: int, message: str
) -> None:
    headers = {"Location": "http://169.254.169.254/latest"} if status == 302 else {}
    with http_server(lambda handler, _: answer(handler, status, body, **headers)) as base:
        done = await api.separated(source={"audioUrl": f"{base}/tune.mp3"})
    assert (done["successFlag"], done["errorCode"]) == ("CREATE_TASK_FAILED", code)
    assert message in done["errorMessage"]
    assert await stored_keys(api.context) == list(api.context.storage.scratch_dir.iterdir()) == []


async def test_a_link_to_nothing_names_its_field(api: Api) -> None:
    url = (await api.upload())["downloadUrl"]
    file_id = urlsplit(url).path.split("/")[2]
    nothing = url.replace(file_id, "0" * 32)
    native = await api.http.post("/v1/transcriptions", json={"url": nothing}, headers=api.headers)
    assert native.status_code == 422
    assert native.json()["errors"] == [{"field": "url", "detail": "Record does not exist"}]
    kie = await api.post("/api/v1/vocal-removal/generate", {"audioUrl": nothing, "callBackUrl": CALLBACK})
    assert (kie["code"], kie["msg"]) == (422, "Record does not exist")
