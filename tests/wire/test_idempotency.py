"""``Idempotency-Key``: the same request, however often and however simultaneously, is carried out once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from service.api import idempotency
from service.api.app import create_app
from service.api.incoming import stored_source
from service.context import Context
from service.db.models import Task, TaskKind
from service.errors import Conflict
from service.keys import create_key
from service.settings import Settings
from service.store.records import NewTask
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.clock import ManualClock
from support.stored import stored_bytes, stored_keys

GENERATE = "/api/v1/vocal-removal/generate"


async def ask(api: Api, key: str, body: dict[str, Any], path: str = GENERATE) -> httpx.Response:
    return await api.http.post(path, json=body, headers={**api.headers, "Idempotency-Key": key})


async def separation(api: Api) -> dict[str, str]:
    return {**api.source(await api.upload()), "type": "split_stem", "callBackUrl": CALLBACK}


async def n_tasks(api: Api, kind: TaskKind = TaskKind.SEPARATION) -> int:
    key = await api.context.store.keys.find(api.context.secrets.key_digest(api.token))
    assert key is not None
    return len(await api.context.store.tasks.list(key.id, status=None, kind=kind, before=None, limit=1000))


@asynccontextmanager
async def other_process(settings: Settings, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another process over the same database and storage."""
    other = Context(settings, clock)
    transport = httpx.ASGITransport(create_app(other))
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test") as http:
        yield http
    await other.close()


class SlowBody:
    """A body whose second half is sent when it is allowed to end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.may_end = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content[: len(self._content) // 2]
        await self.may_end.wait()
        yield self._content[len(self._content) // 2 :]


def form_of(content: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%s\r\n--b--\r\n' % content


async def upload_form(http: httpx.AsyncClient, api: Api, content: Any) -> httpx.Response:
    headers = {**api.headers, "Idempotency-Key": "one", "Content-Type": "multipart/form-data; boundary=b"}
    return await http.post("/api/file-stream-upload", content=content, headers=headers)


async def locked_until(context: Context) -> int:
    """When the lock of the only promise runs out; 0 while there is none."""
    async with context.database.read() as session:
        return await session.scalar(text("SELECT locked_until_ms FROM idempotency")) or 0


async def until(reached: Callable[[int], bool], context: Context) -> None:
    async with asyncio.timeout(10):
        while True:
            if reached(await locked_until(context)):
                return
            await asyncio.sleep(0.01)


async def lose_the_answer(context: Context, clock: ManualClock) -> None:
    """What a process leaves that is killed between making something and keeping the answer; its lock runs out."""
    async with context.database.write() as session:
        await session.execute(text("UPDATE idempotency SET status_code = NULL, body = NULL"))
    clock.advance(31)


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
    async with other_process(settings, clock) as http:
        second = await http.post(GENERATE, json=body, headers={**api.headers, "Idempotency-Key": "one"})
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert await n_tasks(api) == 1


async def test_two_processes_at_once(api: Api, settings: Settings, clock: ManualClock) -> None:
    body = await separation(api)
    headers = {**api.headers, "Idempotency-Key": "one"}
    async with other_process(settings, clock) as http:
        answers = await asyncio.gather(
            *(client.post(GENERATE, json=body, headers=headers) for client in (api.http, http) for _ in range(5))
        )
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
    body = await separation(api)
    first = await ask(api, "one", body)
    await lose_the_answer(context, clock)
    second = await ask(api, "one", body)
    assert second.json() == first.json()
    assert await n_tasks(api) == 1


async def test_a_repeat_waits_for_another_process_and_then_says_so(
    api: Api, context: Context, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_WAIT_S", 0.3)
    key = await context.store.keys.find(context.secrets.key_digest(api.token))
    assert key is not None
    await context.store.idempotency.begin(key.id, "one", hashlib.sha256(f"POST {GENERATE}?".encode()).hexdigest())
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


async def test_a_repeat_waits_in_the_same_process_and_then_says_so(
    api: Api, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_WAIT_S", 0.2)
    slow = SlowBody(form_of(wav_bytes()))
    first = asyncio.create_task(upload_form(api.http, api, slow))
    await until(lambda locked_ms: locked_ms > 0, context)
    async with asyncio.timeout(5):
        waiting = await upload_form(api.http, api, form_of(wav_bytes()))
    assert (waiting.status_code, waiting.headers["retry-after"]) == (409, "1")
    slow.may_end.set()
    assert (await first).status_code == 200
    assert "idempotent-replayed" in (await upload_form(api.http, api, form_of(wav_bytes()))).headers


async def test_a_request_that_takes_long_is_not_taken_for_dead(
    api: Api, context: Context, settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_WAIT_S", 0.2)
    monkeypatch.setattr(idempotency, "_RENEW_EVERY_S", 0.01)
    slow = SlowBody(form_of(wav_bytes()))
    first = asyncio.create_task(upload_form(api.http, api, slow))
    await until(lambda locked_ms: locked_ms > 0, context)
    for _ in range(3):
        clock.advance(25)
        await until(lambda locked_ms: locked_ms >= clock.now_ms() + 30_000, context)
    async with other_process(settings, clock) as http:
        assert (await upload_form(http, api, form_of(wav_bytes()))).status_code == 409
    slow.may_end.set()
    assert (await first).status_code == 200


@pytest.mark.parametrize("length_s", [1.0, 2.0], ids=["the same file", "another file"])
async def test_a_request_that_was_taken_for_dead_changes_nothing_any_more(
    api: Api, context: Context, settings: Settings, clock: ManualClock, length_s: float
) -> None:
    """A process that stood still for longer than its lock, while another carried the request out."""
    slow = SlowBody(form_of(wav_bytes(1.0)))
    stalled = asyncio.create_task(upload_form(api.http, api, slow))
    await until(lambda locked_ms: locked_ms > 0, context)
    clock.advance(31)
    async with other_process(settings, clock) as http:
        taken_over = await upload_form(http, api, form_of(wav_bytes(length_s)))
    assert taken_over.status_code == 200
    slow.may_end.set()
    late = await stalled
    assert (late.status_code, late.headers["retry-after"]) == (409, "1")
    repeat = await upload_form(api.http, api, form_of(wav_bytes(length_s)))
    assert repeat.content == taken_over.content
    assert "idempotent-replayed" in repeat.headers
    assert await api.get_bytes(repeat.json()["data"]["downloadUrl"]) == wav_bytes(length_s)
    assert len(await stored_keys(api.context)) == 1
    assert await n_tasks(api, TaskKind.UPLOAD) == 1


async def test_an_attempt_that_fails_leaves_the_file_of_another(api: Api, context: Context, tmp_path: Path) -> None:
    """Both under one promise, with the same file."""
    key = await context.store.keys.find(context.secrets.key_digest(api.token))
    assert key is not None
    content, task_id = wav_bytes(), "a" * 32

    def attempt() -> Any:
        path = context.storage.scratch_dir / "sent"
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return stored_source(path, task_id=task_id, name="a.wav", sha256=sha256, context=context)

    async with attempt() as track:
        await context.store.tasks.create_upload(key_id=key.id, task_id=task_id, track=track, params={})
    with pytest.raises(Conflict):
        async with attempt():
            raise Conflict("refused")
    [key_of_file] = await stored_keys(context)
    assert await stored_bytes(context, key_of_file) == content


async def test_an_upload_repeated_after_a_crash_finds_the_first_ones_file(
    api: Api, context: Context, clock: ManualClock
) -> None:
    first = await upload_form(api.http, api, form_of(wav_bytes()))
    await lose_the_answer(context, clock)
    assert (await upload_form(api.http, api, form_of(wav_bytes()))).json()["data"] == first.json()["data"]
    assert len(await stored_keys(api.context)) == 1


async def test_after_a_crash_another_body_is_a_conflict_and_the_first_goes_on(
    api: Api, context: Context, clock: ManualClock
) -> None:
    body = await separation(api)
    first = await ask(api, "one", body)
    await lose_the_answer(context, clock)
    for _ in range(2):
        other = await ask(api, "one", {**body, "type": "separate_vocal"})
        assert (other.json()["code"], "another body" in other.json()["msg"]) == (409, True)
    assert (await ask(api, "one", body)).json() == first.json()
    assert await n_tasks(api) == 1


async def test_the_body_is_written_down_before_anything_is_made(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = await separation(api)

    async def fails(new: NewTask, once: bool = False) -> Task:
        raise RuntimeError("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(api.context.store.tasks), "create", staticmethod(fails))
        assert (await ask(api, "one", body)).status_code == 500
    assert (await ask(api, "one", {**body, "type": "separate_vocal"})).json()["code"] == 409
    assert (await ask(api, "one", body)).json()["code"] == 200


async def test_a_refusal_after_a_crash_does_not_forget_what_was_made(
    api: Api, context: Context, clock: ManualClock
) -> None:
    body = await separation(api)
    await ask(api, "one", body)
    await lose_the_answer(context, clock)
    await api.http.delete(f"/v1/tasks/{body['taskId']}", headers=api.headers)
    assert (await ask(api, "one", body)).json()["code"] == 422  # its source is gone
    assert (await ask(api, "one", await separation(api))).json()["code"] == 409
    assert await n_tasks(api) == 1


async def test_a_path_that_no_database_can_hold(api: Api) -> None:
    answer = await api.http.post("/v1/tasks/%00/redeliver", headers={**api.headers, "Idempotency-Key": "one"})
    assert answer.status_code == 404


async def test_a_repeat_has_the_headers_too(api: Api) -> None:
    headers = {**api.headers, "Idempotency-Key": "one"}
    song = {"url": (await api.upload())["downloadUrl"]}
    first = await api.http.post("/v1/transcriptions", json=song, headers=headers)
    second = await api.http.post("/v1/transcriptions", json=song, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert "idempotent-replayed" in second.headers
    for name in ("location", "content-type", "content-length"):
        assert second.headers[name] == first.headers[name]


async def test_a_body_that_nobody_reads_is_compared_too(api: Api) -> None:
    task_id = (await api.separated())["taskId"]

    async def redeliver(body: dict[str, Any]) -> httpx.Response:
        return await ask(api, "one", body, f"/v1/tasks/{task_id}/redeliver")

    first = await redeliver({"why": "lost"})
    assert first.status_code == 202
    repeat = await redeliver({"why": "lost"})
    assert (repeat.status_code, repeat.content) == (202, first.content)
    assert (await redeliver({"why": "again"})).status_code == 409
