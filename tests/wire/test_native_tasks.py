"""``/v1/tasks``: every kind of task in one shape, lists with a cursor, cancel, delete, redelivery."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import pytest

from service.context import Context
from service.errors import StorageError
from service.keys import create_key
from service.storage import content_key
from service.store.leases import LeaseStore
from service.worker.worker import Worker
from support.api import CALLBACK, Api, call, started
from support.audio import wav_bytes
from support.stored import stored_keys


async def until(api: Api, task_id: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while not reached(task := await api.get(f"/v1/tasks/{task_id}")):
        assert time.monotonic() < deadline, task
        await asyncio.sleep(0.02)
    return task


async def test_every_kind_of_task_whichever_dialect_made_it(api: Api) -> None:
    uploaded = await api.upload()
    upload = await api.get(f"/v1/tasks/{uploaded['taskId']}")
    assert (upload["kind"], upload["status"], upload["eta_s"], upload["credits"]) == ("upload", "succeeded", 0.0, 0)
    assert upload["input"]["source"]["audio_id"] == uploaded["audioId"]
    assert upload["input"]["options"] == {"upload_path": "songs"}
    assert set(upload["result"]["files"]) == {"song.wav"}
    assert await api.get_bytes(upload["result"]["files"]["song.wav"]) == wav_bytes()

    made = await api.separated(source=api.source(uploaded))
    separation = await api.get(f"/v1/tasks/{made['taskId']}")
    assert (separation["kind"], separation["input"]["task_id"]) == ("separation", uploaded["taskId"])
    assert separation["input"]["source"]["audio_id"] == uploaded["audioId"]
    ids = [item["id"] for item in made["response"]["originData"]]
    assert [stem["audio_id"] for stem in separation["result"]["stems"]] == ids
    assert separation["input"]["options"] == {"model": "htdemucs", "type": "split_stem"}
    assert separation["result"]["instruments"] == []
    assert separation["callback"]["state"] == "pending"

    written = await api.transcribed(made["taskId"])
    midi = await api.get(f"/v1/tasks/{written['taskId']}")
    assert (midi["kind"], midi["input"]["task_id"]) == ("midi", made["taskId"])
    assert [item["notes"] for item in midi["result"]["instruments"]] == [
        item["notes"] for item in written["midiData"]["instruments"]
    ]
    assert midi["result"]["stems"] == []
    assert midi["input"]["options"] == {"audio_id": None, "transcriber": "auto"}
    assert "stems.zip" not in midi["result"]["files"]

    body = {"taskId": made["taskId"], "audioId": ids[0], "callBackUrl": CALLBACK}
    wav_id = (await api.post("/api/v1/wav/generate", body))["data"]["taskId"]
    await api.work()
    wav = await api.get(f"/v1/tasks/{wav_id}")
    assert (wav["kind"], wav["status"], list(wav["result"]["files"])) == ("wav", "succeeded", ["drums.wav"])
    assert wav["input"]["options"] == {}

    one = {**api.source(uploaded), "type": "split_stem_advanced", "stemName": "Kick", "callBackUrl": CALLBACK}
    one_id = (await api.post("/api/v1/vocal-removal/generate", one))["data"]["taskId"]
    assert (await api.get(f"/v1/tasks/{one_id}"))["input"]["options"] == {
        "model": "htdemucs", "type": "split_stem_advanced", "stem_name": "Kick", "stem": "drums",
    }  # fmt: skip


async def test_notes_can_be_left_out(api: Api) -> None:
    task_id = await started(api)
    await api.work()
    whole, thin = await api.get(f"/v1/tasks/{task_id}"), await api.get(f"/v1/tasks/{task_id}", notes="false")
    for instrument in whole["result"]["instruments"]:
        assert instrument.pop("notes")
    assert whole == thin


async def test_a_poll_that_finds_nothing_new_is_not_sent_again(api: Api) -> None:
    task_id = await started(api)
    first = await call(api, "GET", f"/v1/tasks/{task_id}")
    assert first.headers["cache-control"] == "private, no-cache"
    etag = first.headers["etag"]
    for known in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        same = await call(api, "GET", f"/v1/tasks/{task_id}", **{"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    await api.work()
    changed = await call(api, "GET", f"/v1/tasks/{task_id}", **{"If-None-Match": etag})
    assert (changed.status_code, changed.json()["status"]) == (200, "succeeded")


async def test_what_is_not_there_is_not_found(api: Api, context: Context) -> None:
    task_id = await started(api, callback_url=CALLBACK)
    await api.work()
    other = {"Authorization": f"Bearer {await create_key(context, 'other')}"}
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/redeliver"), ("GET", "/files/song.mid"),
        ("HEAD", "/files/song.mid"), ("GET", "/files/stems.zip"),
    ):  # fmt: skip
        strange = await api.http.request(method, f"/v1/tasks/{task_id}{path}", headers=other)
        assert strange.status_code == 404
        for nobody in ("0" * 32, "x", "%00" * 32, task_id.upper()):
            response = await call(api, method, f"/v1/tasks/{nobody}{path}")
            assert response.status_code == 404
            assert response.headers["content-type"] == "application/problem+json"
            assert method == "HEAD" or response.json()["code"] == "not_found"
    assert (await api.http.get("/v1/tasks", headers=other)).json() == {"tasks": [], "next_cursor": None}
    unknown = await call(api, "GET", "/v1/songs")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    wrong = await call(api, "PUT", f"/v1/tasks/{task_id}")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    options = await call(api, "OPTIONS", f"/v1/tasks/{task_id}")
    for allow in (wrong.headers["allow"], options.headers["allow"]):
        assert sorted(allow.split(", ")) == ["DELETE", "GET", "OPTIONS"]
    api.clock.advance(15 * 24 * 3600)
    assert (await call(api, "GET", f"/v1/tasks/{task_id}")).status_code == 404
    assert (await call(api, "DELETE", f"/v1/tasks/{task_id}")).status_code == 404


async def test_lists_page_by_page(api: Api) -> None:
    """Time stands still, so many tasks are equally old: none may be shown twice or left out."""
    ids = {await started(api) for _ in range(3)}
    api.clock.advance(1)
    ids |= {await started(api) for _ in range(4)}
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    pages = 0
    while True:
        page = await api.get("/v1/tasks", limit="2", **cursor)
        assert set(page) == {"tasks", "next_cursor"}
        seen += page["tasks"]
        pages += 1
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == 4
    assert {task["id"] for task in seen} == ids
    assert len(seen) == len(ids)
    assert [task["created_at"] for task in seen] == sorted((task["created_at"] for task in seen), reverse=True)
    assert set(seen[0]) == {
        "id", "kind", "status", "progress", "stage", "created_at", "started_at", "completed_at", "expires_at", "error",
        "credits", "links",
    }  # fmt: skip
    exact = await api.get("/v1/tasks", limit="7")
    assert (len(exact["tasks"]), exact["next_cursor"]) == (7, None)


async def test_lists_by_status_and_kind(api: Api) -> None:
    uploaded = await api.upload()
    done = await started(api)
    await api.work()
    waiting = await started(api)

    async def listed(**query: str) -> set[str]:
        return {task["id"] for task in (await api.get("/v1/tasks", **query))["tasks"]}

    assert await listed() == {uploaded["taskId"], done, waiting}
    assert await listed(status="queued") == {waiting}
    assert await listed(status="succeeded", kind="transcription") == {done}
    assert await listed(kind="upload") == {uploaded["taskId"]}
    assert await listed(kind="wav") == set()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("status", "done", "queued, running, succeeded, failed, cancelled"),
        ("kind", "song", "upload, separation, midi, wav, transcription"),
        ("limit", "0", "1 to 100"),
        ("limit", "101", "1 to 100"),
        ("limit", "many", "limit must be a whole number, not text"),
        ("cursor", "x", "next_cursor"),
        ("cursor", "é", "next_cursor"),
        ("cursor", "", "next_cursor"),
        ("cursor", "MTIzLmFi", "next_cursor"),
    ],
)
async def test_wrong_parameters_of_lists(api: Api, name: str, value: str, message: str) -> None:
    response = await api.http.get("/v1/tasks", params={name: value}, headers=api.headers)
    assert response.status_code == 422
    problem = response.json()
    assert message in problem["detail"]
    assert [item["field"] for item in problem["errors"]] == [name]


async def test_a_queued_task_is_cancelled_at_once(api: Api) -> None:
    task_id = await started(api, callback_url=CALLBACK)
    response = await call(api, "DELETE", f"/v1/tasks/{task_id}")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["error"]["code"]) == ("cancelled", "cancelled")
    assert response.json()["credits"] == 0
    await api.work()
    assert api.pipeline.calls == []
    assert (await api.get(f"/v1/tasks/{task_id}"))["status"] == "cancelled"
    assert (await api.callback_body(task_id))["type"] == "transcription.cancelled"


async def test_cancel_stops_the_work(api: Api) -> None:
    """The job reports for longer than the test waits; cancelled, it is stopped and leaves nothing behind."""

    def works_on(report: Callable[[str, float], None]) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            report("separating", 0.5)
            time.sleep(0.01)

    api.pipeline.during = works_on
    task_id = await started(api, callback_url=CALLBACK)
    working = asyncio.create_task(Worker(api.context, api.pipeline, "tester").run_once())  # type: ignore[arg-type]
    running = await until(api, task_id, lambda task: task["stage"] == "separating")
    assert (running["status"], running["progress"]) == ("running", 0.45)
    assert (await call(api, "DELETE", f"/v1/tasks/{task_id}")).json()["status"] == "cancelled"
    async with asyncio.timeout(60):
        await working
    assert list(api.context.storage.scratch_dir.iterdir()) == []
    assert await stored_keys(api.context) == [content_key(hashlib.sha256(wav_bytes()).hexdigest())]
    task = await api.get(f"/v1/tasks/{task_id}")
    assert (task["status"], task["result"], task["credits"]) == ("cancelled", None, 0)
    assert (await call(api, "DELETE", f"/v1/tasks/{task_id}")).status_code == 204
    assert await stored_keys(api.context) == []


async def test_a_task_that_ends_before_it_can_be_cancelled_keeps_its_result(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await started(api)
    cancel = LeaseStore.cancel

    async def too_late(self: LeaseStore, task_id: str) -> bool:
        await api.work()
        return await cancel(self, task_id)

    monkeypatch.setattr(LeaseStore, "cancel", too_late)
    response = await call(api, "DELETE", f"/v1/tasks/{task_id}")
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")
    assert (await call(api, "DELETE", f"/v1/tasks/{task_id}")).status_code == 204


async def test_what_breaks_after_it_was_cancelled_is_no_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The janitor sweeps the scratch folder of a cancelled task away while its last segment still runs."""
    cancelled = threading.Event()

    def breaks(_: Callable[[str, float], None]) -> None:
        assert cancelled.wait(20)
        raise FileNotFoundError("swept away")

    api.pipeline.during = breaks
    task_id = await started(api)
    working = asyncio.create_task(Worker(api.context, api.pipeline, "tester").run_once())  # type: ignore[arg-type]
    await until(api, task_id, lambda task: task["status"] == "running")
    await call(api, "DELETE", f"/v1/tasks/{task_id}")
    cancelled.set()
    await working
    assert (await api.get(f"/v1/tasks/{task_id}"))["status"] == "cancelled"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("kind", ["transcription", "upload", "separation"])
async def test_deleting_a_task_leaves_no_file(api: Api, kind: str) -> None:
    if kind == "transcription":
        task_id = await started(api, callback_url=CALLBACK)
        await api.work()
    elif kind == "upload":
        task_id = (await api.upload())["taskId"]
    else:
        uploaded = await api.upload()
        task_id = (await api.separated(source=api.source(uploaded)))["taskId"]
        assert (await call(api, "DELETE", f"/v1/tasks/{uploaded['taskId']}")).status_code == 204
        assert len((await api.get(f"/v1/tasks/{task_id}"))["result"]["stems"]) == 4  # a result outlives its source
        assert (await api.get(f"/v1/tasks/{task_id}"))["input"]["source"] is None
    links = list((await api.get(f"/v1/tasks/{task_id}"))["result"]["files"].values())
    response = await call(api, "DELETE", f"/v1/tasks/{task_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert await stored_keys(api.context) == []
    for method in ("GET", "DELETE"):
        assert (await call(api, method, f"/v1/tasks/{task_id}")).status_code == 404
    for link in links:
        assert (await api.http.get(api.path_of(link))).status_code == 404
    assert await api.context.store.outbox.claim(10, 0) == []


async def test_files_that_cannot_be_deleted_now_are_deleted_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = await started(api)
    await api.work()

    async def busy(_: Collection[str]) -> None:
        raise StorageError("device busy")

    with monkeypatch.context() as patch:
        patch.setattr(api.context.storage, "delete", busy)
        assert (await call(api, "DELETE", f"/v1/tasks/{task_id}")).status_code == 204
    assert (await call(api, "GET", f"/v1/tasks/{task_id}")).status_code == 404
    assert await stored_keys(api.context) != []
    assert await api.context.files.sweep() == 1
    assert await stored_keys(api.context) == []


async def test_deliveries_are_shown_and_a_callback_can_be_sent_again(api: Api) -> None:
    task_id = await started(api, callback_url=CALLBACK)
    early = await call(api, "POST", f"/v1/tasks/{task_id}/redeliver")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    await api.work()
    await api.exhaust_callback()
    dead = await api.get(f"/v1/tasks/{task_id}")
    assert dead["status"] == "succeeded"
    assert (dead["callback"]["state"], dead["callback"]["next_attempt_at"]) == ("dead", None)
    assert dead["callback"]["attempts"] == len(dead["deliveries"]) == 8
    assert [row["attempt"] for row in dead["deliveries"]] == list(range(1, 9))
    assert set(dead["deliveries"][0]) == {"attempt", "at", "duration_ms", "status_code", "error"}
    assert dead["deliveries"][0]["error"]
    again = await call(api, "POST", f"/v1/tasks/{task_id}/redeliver")
    assert again.status_code == 202
    assert set(again.json()) == {"url", "event_id", "state", "attempts", "next_attempt_at"}
    assert (again.json()["state"], again.json()["event_id"]) == ("pending", dead["callback"]["event_id"])
    [owed] = await api.context.store.outbox.claim(10, 0)
    assert (owed.id, owed.attempts) == (dead["callback"]["event_id"], 9)


async def test_redelivery_needs_a_callback(api: Api) -> None:
    task_id = await started(api)
    await api.work()
    response = await call(api, "POST", f"/v1/tasks/{task_id}/redeliver")
    assert (response.status_code, response.json()["detail"]) == (409, "The task asked for no callback.")


async def test_progress_and_time_left(api: Api) -> None:
    """From what the stages took before: 3 s of work per second of audio, and 0.5 s."""
    await api.context.store.speeds.learn({"separation": 30.0, "transcription": 5.0}, 10.0)
    first, second = await started(api), await started(api)
    assert (await api.get(f"/v1/tasks/{first}"))["eta_s"] in (3.5, 7.0)  # they are equally old
    assert {(await api.get(f"/v1/tasks/{task}"))["eta_s"] for task in (first, second)} == {3.5, 7.0}
    claim = await api.context.store.leases.claim("tester")
    assert claim is not None
    await api.context.store.leases.renew(claim, "separating", 0.4)
    running = await api.get(f"/v1/tasks/{claim.task.id}")
    assert (running["progress"], running["stage"], running["eta_s"]) == (0.4, "separating", 2.1)
    [waiting] = {first, second} - {claim.task.id}
    assert (await api.get(f"/v1/tasks/{waiting}"))["eta_s"] == 5.6


async def test_an_attempt_under_way_has_no_duration(api: Api) -> None:
    task_id = await started(api, callback_url=CALLBACK)
    await api.work()
    await api.context.store.outbox.claim(1, 60_000)
    [row] = (await api.get(f"/v1/tasks/{task_id}"))["deliveries"]
    assert (row["duration_ms"], row["status_code"], row["error"]) == (None, None, None)
