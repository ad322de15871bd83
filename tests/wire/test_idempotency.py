"""``Idempotency-Key``: the same request, however often and however simultaneously, is carried out once."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from service.api import idempotency
from service.api.app import create_app
from service.context import Context
from service.db.models import TaskKind
from service.keys import create_key
from service.settings import Settings
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.clock import ManualClock

GENERATE = "/api/v1/vocal-removal/generate"


async def ask(api: Api, key: str, body: dict[str, Any], path: str = GENERATE) -> httpx.Response:
    return await api.http.post(path, json=body, headers={**api.headers, "Idempotency-Key": key})


async def separation(api: Api) -> dict[str, str]:
    return {**api.source(await api.upload()), "type": "split_stem", "callBackUrl": CALLBACK}


async def n_tasks(api: Api, kind: TaskKind = TaskKind.SEPARATION) -> int:
    key = await api.context.store.keys.find(api.context.secrets.key_digest(api.token))
    assert key is not None
    return len(await api.context.store.tasks.list(key.id, status=None, kind=kind, before=None, limit=1000))


async def test_two_hundred_at_once_make_one_task(api: Api) -> None:
    body = await separation(api)
    answers = await asyncio.gather(*(ask(api, "one", body) for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 199
    assert await n_tasks(api) == 1


async def test_across_a_restart(api: Api, settings: Settings, clock: ManualClock) -> None:
    body = await separation(api)
    first = await ask(api, "one", body)
    restarted = Context(settings, clock)
    transport = httpx.ASGITransport(create_app(restarted))
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test") as http:
        second = await http.post(GENERATE, json=body, headers={**api.headers, "Idempotency-Key": "one"})
    await restarted.close()
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert await n_tasks(api) == 1


async def test_two_processes_at_once(api: Api, settings: Settings, clock: ManualClock) -> None:
    body = await separation(api)
    other = Context(settings, clock)
    transport = httpx.ASGITransport(create_app(other))
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test") as http:
        headers = {**api.headers, "Idempotency-Key": "one"}
        answers = await asyncio.gather(
            *(client.post(GENERATE, json=body, headers=headers) for client in (api.http, http) for _ in range(5))
        )
    await other.close()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert await n_tasks(api) == 1


async def test_another_body_or_path_is_a_conflict(api: Api) -> None:
    body = await separation(api)
    await ask(api, "one", body)
    other = await ask(api, "one", {**body, "type": "separate_vocal"})
    assert (other.status_code, other.json()["code"]) == (200, 409)
    assert "another body" in other.json()["msg"]
    elsewhere = await ask(api, "one", body, "/api/v1/midi/generate")
    assert elsewhere.json()["code"] == 409
    assert await n_tasks(api) == 1


async def test_keys_of_two_clients_are_strangers(api: Api, context: Context) -> None:
    await ask(api, "one", await separation(api))
    stranger = {"Authorization": f"Bearer {await create_key(context, 'stranger')}", "Idempotency-Key": "one"}
    answer = await api.http.post(
        GENERATE, json={"audioUrl": "http://1.1.1.1/a", "callBackUrl": CALLBACK}, headers=stranger
    )
    assert answer.json()["code"] == 200
    assert "idempotent-replayed" not in answer.headers


async def test_an_answer_is_forgotten_after_a_day(api: Api, clock: ManualClock) -> None:
    body = await separation(api)
    first = (await ask(api, "one", body)).json()
    clock.advance(23 * 3600)
    assert (await ask(api, "one", body)).json() == first
    clock.advance(3601)
    assert (await ask(api, "one", body)).json() != first
    await api.context.store.idempotency.delete_expired()
    assert await n_tasks(api) == 2


async def test_an_error_is_not_kept(api: Api) -> None:
    body = await separation(api)
    refused = await ask(api, "one", {**body, "callBackUrl": ""})
    assert refused.json()["code"] == 422
    mended = await ask(api, "one", body)
    assert mended.json()["code"] == 200
    assert "idempotent-replayed" not in mended.headers


async def test_a_crash_between_making_and_answering_makes_nothing_twice(
    api: Api, context: Context, clock: ManualClock
) -> None:
    """What a process killed there leaves: the promise, the task, no answer."""
    body = await separation(api)
    first = await ask(api, "one", body)
    async with context.database.write() as session:
        await session.execute(text("UPDATE idempotency SET status_code = NULL, body = NULL, fingerprint = NULL"))
    clock.advance(31)  # its lock has run out
    second = await ask(api, "one", body)
    assert second.json() == first.json()
    assert await n_tasks(api) == 1


async def test_a_repeat_waits_for_another_process_and_then_says_so(
    api: Api, context: Context, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_WAIT_S", 0.3)
    key = await context.store.keys.find(context.secrets.key_digest(api.token))
    assert key is not None
    await context.store.idempotency.begin(key.id, "one", f"POST {GENERATE}?")
    body = await separation(api)
    waiting = await ask(api, "one", body)
    assert (waiting.json()["code"], waiting.headers["retry-after"]) == (409, "1")
    clock.advance(31)  # whoever began is dead by now
    assert (await ask(api, "one", body)).json()["code"] == 200


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\there", "\u00fcber"])
async def test_a_key_that_is_none(api: Api, value: str) -> None:
    headers = [("Authorization", f"Bearer {api.token}"), ("Idempotency-Key", value.encode("latin-1"))]
    answer = await api.http.post(
        GENERATE, json={}, headers=[(n, v if isinstance(v, bytes) else v.encode()) for n, v in headers]
    )
    assert answer.json()["code"] == 422
    assert "Idempotency-Key must be 1 to 255" in answer.json()["msg"]


async def test_uploads_are_compared_by_content_not_by_boundary(api: Api) -> None:
    headers = {**api.headers, "Idempotency-Key": "one"}

    async def upload(content: bytes, name: str = "song.wav") -> httpx.Response:
        return await api.http.post(
            "/api/file-stream-upload", files={"file": (name, content)}, data={"uploadPath": "x"}, headers=headers
        )

    first = await upload(wav_bytes())
    assert (await upload(wav_bytes())).json() == first.json()
    other = await upload(wav_bytes(2.0))
    assert (other.status_code, other.json()["code"]) == (409, 409)
    assert (await upload(wav_bytes(), "other.wav")).status_code == 409
    assert await n_tasks(api, TaskKind.UPLOAD) == 1


async def test_repeats_take_no_tokens(api: Api) -> None:
    key = await api.context.store.keys.find(api.context.secrets.key_digest(api.token))
    assert key is not None
    await api.context.store.keys.set_limits(key.id, {"rate_limit": 1})
    body = await separation(api)
    for _ in range(5):
        assert (await ask(api, "one", body)).json()["code"] == 200
    refused = await ask(api, "two", body)
    assert (refused.status_code, refused.json()["code"]) == (429, 429)
    assert int(refused.headers["retry-after"]) >= 1
