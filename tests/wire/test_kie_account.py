"""Credits, short links and base64 uploads: every field and every refusal."""

import asyncio
import base64
import dataclasses
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.errors import ModelMissing
from service.context import Context
from service.db.models import ApiKey
from service.keys import create_key
from service.kie.base64_body import MAX_BASE64_BYTES, body_limit, decode_base64
from service.settings import Settings
from support.api import CALLBACK, Api
from support.audio import wav_bytes

GENERATE = "/api/v1/vocal-removal/generate"
BASE64 = "/api/file-base64-upload"
CREDIT_PATHS = ("/api/v1/chat/credit", "/api/v1/generate/credit")
ANSWER_FIELDS = {
    "success", "fileName", "filePath", "downloadUrl", "fileSize", "mimeType", "uploadedAt", "taskId", "audioId",
}  # fmt: skip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, prices="separation=10+6/min, midi=0.5, wav=1", max_upload_mb=1)


async def credit(api: Api) -> Any:
    answers = [await api.get(path) for path in CREDIT_PATHS]
    assert answers[0] == answers[1]
    assert {"code": 200, "msg": "success", "data": answers[0]["data"]} == answers[0]
    return answers[0]["data"]


async def limit(api: Api, key: ApiKey, credits: int) -> None:
    await api.context.store.keys.set_limits(key.id, {"credit_limit": credits * 1000})


async def separate(api: Api, source: dict[str, str]) -> dict[str, Any]:
    return await api.post(GENERATE, {**source, "type": "split_stem", "callBackUrl": CALLBACK})


async def balance_is_the_ledger(api: Api, key: ApiKey) -> None:
    spent = (await api.context.store.keys.get(key.id)).credits_spent
    assert sum(entry.amount for entry in await api.context.store.keys.ledger(key.id)) == spent


async def test_a_key_without_a_limit_has_a_million(api: Api) -> None:
    assert await credit(api) == 1_000_000
    await api.separated()
    assert await credit(api) == 1_000_000


async def test_tasks_are_charged_until_the_credits_are_spent(api: Api, key: ApiKey) -> None:
    source = api.source(await api.upload())
    assert await credit(api) == 1_000_000
    await limit(api, key, 11)
    assert await credit(api) == 11
    done = await api.separated(source=source)
    assert await credit(api) == 0.9  # 10 for the task, 6 a minute for one second
    refused = await separate(api, source)
    assert refused == {
        "code": 402,
        "msg": "Not enough credits: this takes 10.1, and 0.9 are left.",
        "data": None,
    }
    await api.transcribed(done["taskId"])
    assert await credit(api) == 0.4
    refused = await api.post("/api/v1/wav/generate", {**source, "callBackUrl": CALLBACK})
    assert refused["code"] == 402
    await balance_is_the_ledger(api, key)
    await limit(api, key, 5)  # less than was spent already
    assert await credit(api) == 0
    await limit(api, key, 100)
    assert (await separate(api, source))["code"] == 200


async def test_what_failed_or_was_cancelled_is_given_back(api: Api, key: ApiKey) -> None:
    await limit(api, key, 11)
    source = api.source(await api.upload())
    api.pipeline.during = _broken
    failed = (await separate(api, source))["data"]["taskId"]
    assert await credit(api) == 0.9
    await api.work()
    assert (await api.record("vocal-removal", failed))["successFlag"] == "GENERATE_AUDIO_FAILED"
    assert await credit(api) == 11
    for run_first in (False, True):
        cancelled = (await separate(api, source))["data"]["taskId"]
        assert await credit(api) == 0.9
        if run_first:
            assert await api.context.store.leases.claim("worker") is not None
        assert await api.context.store.leases.cancel(cancelled)
        assert await credit(api) == 11
        assert not await api.context.store.leases.cancel(cancelled)  # once is enough
        record = await api.record("vocal-removal", cancelled)
        assert (record["successFlag"], record["errorCode"]) == ("GENERATE_AUDIO_FAILED", 501)
        assert record["errorMessage"] == "The task was cancelled."
    await balance_is_the_ledger(api, key)
    amounts = [entry.amount for entry in await api.context.store.keys.ledger(key.id)]
    assert sorted(amounts) == 3 * [-10_100] + 3 * [10_100]


def _broken(_: Any) -> None:
    raise ModelMissing("The weights are missing.")


async def test_many_at_once_spend_no_more_than_there_is(api: Api, key: ApiKey) -> None:
    await limit(api, key, 31)
    source = api.source(await api.upload())
    answers = await asyncio.gather(*(separate(api, source) for _ in range(10)))
    assert sorted(answer["code"] for answer in answers) == 3 * [200] + 7 * [402]
    assert await credit(api) == 0.7
    await balance_is_the_ledger(api, key)


async def test_a_length_that_is_known_late_is_charged_late(api: Api, key: ApiKey, settings: Settings) -> None:
    """Audio at an address: its minutes are charged once it is here, and the task fails where they cannot be paid."""
    from ipaddress import ip_network

    from support.servers import answer, http_server

    allow = (ip_network("127.0.0.0/8"),)
    api.context.settings = dataclasses.replace(settings, allow_addresses=allow)
    long = wav_bytes(duration_s=20, rate_hz=8000, channels=1)  # 2 credits
    with http_server(lambda handler, _: answer(handler, 200, long)) as base:
        await limit(api, key, 11)
        done = await api.separated(source={"audioUrl": f"{base}/a.wav"})
        assert (done["successFlag"], done["errorCode"]) == ("CREATE_TASK_FAILED", 402)
        assert done["errorMessage"] == "Not enough credits: this takes 2, and 1 are left."
        assert await credit(api) == 11
        await limit(api, key, 12)
        done = await api.separated(source={"audioUrl": f"{base}/a.wav"})
        assert done["successFlag"] == "SUCCESS"
        assert await credit(api) == 0
    await balance_is_the_ledger(api, key)


async def test_a_short_link(api: Api) -> None:
    uploaded = await api.upload()
    answer = await api.post("/api/v1/common/download-url", {"url": uploaded["downloadUrl"]})
    assert (answer["code"], answer["msg"]) == (200, "success")
    link = answer["data"]
    assert parse_qs(urlsplit(link).query)["exp"] == [str(api.clock.now_ms() // 1000 + 20 * 60)]
    assert await api.get_bytes(link) == wav_bytes()
    again = await api.post("/api/v1/common/download-url", {"url": link})
    assert again["data"] == link
    api.clock.advance(20 * 60)
    assert (await api.http.get(api.path_of(link))).status_code == 404
    over = await api.post("/api/v1/common/download-url", {"url": link})
    assert over == {"code": 422, "msg": "url is wrong", "data": None}
    api.clock.advance(14 * 24 * 3600 - 30 * 60)  # ten minutes before the file goes
    last = (await api.post("/api/v1/common/download-url", {"url": uploaded["downloadUrl"]}))["data"]
    assert parse_qs(urlsplit(last).query)["exp"] == parse_qs(urlsplit(uploaded["downloadUrl"]).query)["exp"]


async def test_a_link_that_is_none_of_the_callers(api: Api, context: Context) -> None:
    link = (await api.upload())["downloadUrl"]
    stranger = {"Authorization": f"Bearer {await create_key(context, 'stranger')}"}
    foreign = await api.http.post("/api/v1/common/download-url", json={"url": link}, headers=stranger)
    assert foreign.json() == {"code": 422, "msg": "url is wrong", "data": None}
    wrong = (
        None, "", "http://", "https://elsewhere.test/files/x", "http://stemscribe.test/files/", link + "x",
        link.replace("sig=", "sig=%00"), link.partition("?")[0], link.replace("exp=1", "exp=²"),
        link.replace("exp=", "exp=9999"), "http://stemscribe.test/files/\x00/a?exp=1&sig=é",
    )  # fmt: skip
    for url in wrong:
        answer = await api.post("/api/v1/common/download-url", {"url": url})
        assert answer == {"code": 422, "msg": "url is wrong", "data": None}, url
    assert (await api.post("/api/v1/common/download-url", {"url": 7}))["code"] == 422
    api.clock.advance(14 * 24 * 3600 + 1)
    assert (await api.post("/api/v1/common/download-url", {"url": link}))["msg"] == "url is wrong"


async def post_base64(api: Api, data: Any, **fields: Any) -> Any:
    return await api.http.post(BASE64, json={"base64Data": data, **fields}, headers=api.headers)


async def test_a_base64_upload(api: Api) -> None:
    data = base64.b64encode(wav_bytes()).decode()
    response = await post_base64(api, data, uploadPath="songs", fileName="tune.wav")
    assert response.status_code == 200
    body = response.json()
    assert (body["success"], body["code"], body["msg"]) == (True, 200, "File uploaded successfully")
    uploaded = body["data"]
    assert set(uploaded) == ANSWER_FIELDS
    assert (uploaded["fileName"], uploaded["filePath"]) == ("tune.wav", "songs/tune.wav")
    assert (uploaded["fileSize"], uploaded["mimeType"]) == (len(wav_bytes()), "audio/wav")
    assert await api.get_bytes(uploaded["downloadUrl"]) == wav_bytes()
    assert (await separate(api, api.source(uploaded)))["code"] == 200
    assert list(api.context.storage.scratch_dir.iterdir()) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda audio: "data:audio/wav;base64," + base64.b64encode(audio).decode(),
        lambda audio: "DATA:audio/x-wav;codecs=1;BASE64," + base64.b64encode(audio).decode(),
        lambda audio: "data:;base64," + base64.b64encode(audio).decode(),
        lambda audio: base64.encodebytes(audio).decode(),
        lambda audio: base64.encodebytes(audio).decode().replace("\n", "\r\n"),
        lambda audio: base64.urlsafe_b64encode(audio).decode(),
        lambda audio: base64.b64encode(audio).decode().rstrip("="),
        lambda audio: f" {base64.b64encode(audio).decode()}\n",
    ],
    ids=["data URL", "its capitals", "bare data URL", "MIME", "MIME, CRLF", "URL-safe", "no padding", "white space"],
)
def test_base64_as_clients_write_it(write: Callable[[bytes], str]) -> None:
    for n_bytes in (1, 2, 3, 1000):
        audio = bytes(range(256)) * 4
        assert decode_base64(write(audio[-n_bytes:])) == audio[-n_bytes:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "base64Data is required"),
        ("", "base64Data is required"),
        ("   ", "base64Data is required"),
        ("data:audio/wav;base64,", "base64Data is required"),
        ("data:audio/wav,abc", "base64Data is a data URL without ';base64,'"),
        ("data:audio/wav;base64", "base64Data is a data URL without ';base64,'"),
        ("not base64!", "base64Data is not valid base64"),
        ("abcde", "base64Data is not valid base64"),
        ("ab=cd===", "base64Data is not valid base64"),
        ("käse", "base64Data is not valid base64"),
        (7, "base64Data"),
        (["x"], "base64Data"),
        (base64.b64encode(b"only words\n" * 200).decode(), "text"),
    ],
)
async def test_what_is_no_base64_is_refused(api: Api, data: Any, message: str) -> None:
    response = await post_base64(api, data)
    assert response.status_code == 400
    assert (response.json()["success"], response.json()["code"]) == (False, 400)
    assert message in response.json()["msg"]
    assert list(api.context.storage.scratch_dir.iterdir()) == []


async def test_bodies_that_are_none(api: Api) -> None:
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null", b"base64Data=YWJj"):
        response = await api.http.post(BASE64, content=content, headers=api.headers)
        assert response.status_code == 400, content[:20]
        assert set(response.json()) == {"success", "code", "msg"}


async def test_what_is_too_large_for_base64_is_told_the_better_route(api: Api) -> None:
    """Before it is read where its length is announced, and as soon as it is seen where it is not."""
    too_large = "The file is larger than base64Data may hold, 1 MB; send it to /api/file-stream-upload."
    by_length = await post_base64(api, "A" * 2_500_000)
    decoded = await post_base64(api, base64.b64encode(bytes(1_000_001)).decode())

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"A" * 100_000

    unannounced = await api.http.post(BASE64, content=endless(), headers=api.headers)
    for response in (by_length, decoded, unannounced):
        assert (response.status_code, response.json()["msg"]) == (413, too_large)
    assert list(api.context.storage.scratch_dir.iterdir()) == []


def test_the_largest_file_fits_into_the_body_however_it_is_written() -> None:
    audio = random.Random(1).randbytes(1_000_000)
    plain = json.dumps(base64.b64encode(audio).decode())
    mime = json.dumps(base64.encodebytes(audio).decode().replace("\n", "\r\n"))
    for written in (plain, mime, mime.replace("/", "\\/"), plain.replace("+", "\\u002b")):
        assert len(written) * 20 < body_limit(MAX_BASE64_BYTES)
        assert decode_base64(json.loads(written)) == audio


async def test_a_repeated_base64_upload_gives_the_same_track(api: Api) -> None:
    body = {"base64Data": base64.b64encode(wav_bytes()).decode(), "fileName": "a.wav"}
    headers = {**api.headers, "Idempotency-Key": "once"}
    answers = [await api.http.post(BASE64, json=body, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    other = await api.http.post(BASE64, json={**body, "fileName": "b.wav"}, headers=headers)
    assert other.status_code == 409
