"""``GET /v1/tasks/{id}/events``: server-sent events as they happen, over a real socket."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys import rotate_key
from service.native import events
from support.api import Api
from support.audio import wav_bytes
from support.live import Live, live_service
from support.pipeline import FakePipeline

LONG_S = 30.0  # longer than anything here takes


@dataclass
class Gate:
    """Holds every job in its middle until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, report: Callable[[str, float], None]) -> None:
        deadline = time.monotonic() + LONG_S
        while not self.opened.wait(0.01) and time.monotonic() < deadline:
            report("separating", 0.5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LOOK_EVERY_S", 0.02)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def engines(database_url: str, storage_url: str) -> dict[str, str]:
    """What the service runs on: both sizes."""
    return {"database_url": database_url, "storage_url": storage_url}


@pytest.fixture
def live(tmp_path: Path, gate: Gate, engines: dict[str, str]) -> Iterator[Live]:
    with live_service(tmp_path / "data", pipeline=FakePipeline(during=gate), **engines) as service:
        yield service
        gate.opened.set()


def started(live: Live) -> str:
    response = httpx.post(
        f"{live.base_url}/v1/transcriptions", files={"file": ("song.wav", wav_bytes())}, headers=live.headers
    )
    assert response.status_code == 202, response.text
    return response.json()["id"]


def follow(live: Live, task_id: str, **headers: str) -> Any:
    url = f"{live.base_url}/v1/tasks/{task_id}/events"
    return httpx.stream("GET", url, headers={**live.headers, **headers}, timeout=LONG_S)


def parsed(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The events of a stream, as the standard says to read them; comments as ``{"comment"}``."""
    event: dict[str, Any] = {}
    for line in lines:
        if line.startswith(":"):
            yield {"comment": line}
        elif line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            yield {**event, "data": json.loads(event["data"])}
            event = {}
        else:
            event = {}


def test_progress_until_the_end(live: Live, gate: Gate) -> None:
    task_id = started(live)
    with follow(live, task_id) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        stream = parsed(response.iter_lines())
        seen = []
        for event in stream:
            seen.append(event)
            if event["event"] == "progress" and event["data"]["stage"] == "separating":
                gate.opened.set()  # so this came while the work was under way
    assert {event["event"] for event in seen[:-1]} == {"progress"}
    assert seen[-1]["event"] == "succeeded"
    for event in seen:
        assert set(event) >= {"id", "event", "data"}
        assert set(event["data"]) == {"id", "status", "stage", "progress", "eta_s", "error"}
        assert event["data"]["id"] == task_id
    progress = [event["data"]["progress"] for event in seen]
    assert progress == sorted(progress)
    assert len({event["id"] for event in seen}) == len(seen)
    assert seen[-1]["data"] == {
        "id": task_id, "status": "succeeded", "stage": None, "progress": 1.0, "eta_s": 0.0, "error": None,
    }  # fmt: skip

    with follow(live, task_id, **{"Last-Event-ID": seen[0]["id"]}) as response:  # cut off early: told the rest
        assert [event["event"] for event in parsed(response.iter_lines())] == ["succeeded"]
    with follow(live, task_id, **{"Last-Event-ID": seen[-1]["id"]}) as response:
        assert response.status_code == 204  # which keeps browsers from coming again


def test_who_comes_again_is_not_told_the_same_twice(live: Live, gate: Gate) -> None:
    task_id = started(live)
    with follow(live, task_id) as response:
        separating = next(e for e in parsed(response.iter_lines()) if e["data"]["stage"] == "separating")
    with follow(live, task_id, **{"Last-Event-ID": separating["id"]}) as response:
        gate.opened.set()
        again = list(parsed(response.iter_lines()))
    assert separating["id"] not in {event["id"] for event in again}
    assert again[-1]["event"] == "succeeded"


def test_cancelling_ends_the_stream(live: Live) -> None:
    task_id = started(live)
    with follow(live, task_id) as response:
        stream = parsed(response.iter_lines())
        next(event for event in stream if event["data"]["stage"] == "separating")
        httpx.delete(f"{live.base_url}/v1/tasks/{task_id}", headers=live.headers)
        rest = list(stream)
    assert rest[-1]["event"] == "cancelled"
    assert rest[-1]["data"]["error"]["code"] == "cancelled"


def test_silence_is_broken_by_comments(live: Live, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_HEARTBEAT_S", 0.1)
    first, second = started(live), started(live)
    with follow(live, first) as response:
        assert "comment" in next(event for event in parsed(response.iter_lines()) if "comment" in event)
    with follow(live, second) as response:  # it waits its turn, and is told anew when that should come
        stream = parsed(response.iter_lines())
        waiting = [next(stream) for _ in range(3)]
        assert {event["data"]["status"] for event in waiting} == {"queued"}
        gate.opened.set()
        assert list(stream)[-1]["event"] == "succeeded"


def test_a_key_follows_so_many_tasks_and_no_more(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_PER_KEY", 2)
    task_id = started(live)
    with follow(live, task_id) as one, follow(live, task_id) as two:
        streams = [one.iter_lines(), two.iter_lines()]  # held, since an iterator that goes closes its response
        assert [next(lines) for lines in streams] == ["retry: 2000"] * 2
        with follow(live, task_id) as three:
            three.read()
            assert (three.status_code, three.json()["code"]) == (429, "too_many_requests")
            assert int(three.headers["retry-after"]) > 0
    deadline = time.monotonic() + LONG_S
    while True:  # both went away, and are not counted any more
        with follow(live, task_id) as four:
            if four.status_code == 200:
                break
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_open_streams_do_not_hold_up_the_end_of_the_service(
    tmp_path: Path, gate: Gate, engines: dict[str, str]
) -> None:
    ended = threading.Event()

    def read_on(response: httpx.Response) -> None:
        for _ in response.iter_lines():
            pass
        ended.set()

    with live_service(tmp_path / "data", pipeline=FakePipeline(during=gate), **engines) as live:
        with follow(live, started(live)) as response:
            reader = threading.Thread(target=read_on, args=(response,), daemon=True)
            reader.start()
            asked = time.monotonic()
            live.stop()
            assert ended.wait(LONG_S)  # properly: a stream that is cut off raises
            reader.join()
        gate.opened.set()
    assert time.monotonic() - asked < LONG_S


async def opened(api: Api) -> tuple[str, AsyncIterator[bytes]]:
    """The path of a task that is queued, and the rest of its stream, of which the first event has come."""
    response = await api.http.post("/v1/transcriptions", files={"file": wav_bytes()}, headers=api.headers)
    digest = api.context.secrets.key_digest(api.token)
    key = await api.context.store.keys.find(digest)
    assert key is not None
    task = await api.context.store.tasks.find(key.id, response.json()["id"])
    assert task is not None
    stream = events.follow(task, None, digest, api.context, events.Streams().open(key.id))
    assert (await anext(stream)).startswith(b"retry: ")
    assert b'"status":"queued"' in await anext(stream)
    return f"/v1/tasks/{task.id}", stream


async def test_a_stream_ends_with_its_record(api: Api) -> None:
    path, stream = await opened(api)
    for _ in range(2):
        await api.http.delete(path, headers=api.headers)
    async with asyncio.timeout(LONG_S):
        assert [event async for event in stream] == []
    assert (await api.http.get(f"{path}/events", headers=api.headers)).status_code == 404


async def test_a_stream_ends_with_its_key(api: Api) -> None:
    _, stream = await opened(api)
    assert await api.context.store.keys.revoke("tests") == 1
    async with asyncio.timeout(LONG_S):
        assert [event async for event in stream] == []


async def test_a_stream_goes_on_as_long_as_its_token_works(api: Api) -> None:
    (path, stream), (_, other) = await opened(api), await opened(api)
    rotated = await rotate_key(api.context, "tests", grace_ms=60_000)
    headers = {"Authorization": f"Bearer {rotated}"}
    assert (await api.http.delete(path, headers=headers)).json()["status"] == "cancelled"
    async with asyncio.timeout(LONG_S):
        assert b"event: cancelled" in await anext(stream)
    api.clock.advance(61)
    async with asyncio.timeout(LONG_S):
        assert [event async for event in other] == []


def test_a_revoked_key_is_told_nothing_more(live: Live) -> None:
    """Over the wire: the stream ends, and the task goes on without it."""
    with follow(live, started(live)) as response:
        stream = parsed(response.iter_lines())
        next(event for event in stream if event["data"]["stage"] == "separating")
        live.revoke("one")
        assert {event.get("event", "comment") for event in stream} <= {"comment", "progress"}


async def test_what_has_ended_is_told_at_once(api: Api) -> None:
    response = await api.http.post("/v1/transcriptions", files={"file": wav_bytes()}, headers=api.headers)
    await api.work()
    stream = await api.http.get(f"/v1/tasks/{response.json()['id']}/events", headers=api.headers)
    assert stream.text.startswith("retry: 2000\n\nid: ")
    assert [event["event"] for event in parsed(iter(stream.text.split("\n")))] == ["succeeded"]
