"""``POST /v1/transcriptions``: one call from a song to everything, and every refusal."""

import dataclasses
import ipaddress
import uuid
from typing import Any

import httpx
import pytest

from service.context import Context
from service.db.models import ApiKey, TaskKind
from service.errors import Conflict
from service.keys import create_key
from service.settings import Settings
from service.store.records import NewTask, NewTrack
from service.store.tasks import TaskStore
from support.api import CALLBACK, Api, without_reuse
from support.audio import wav_bytes
from support.servers import answer, http_server
from support.stored import keep_source, stored_keys

SONG_FILES = {
    "song.mid", "drums.mid", "bass.mid", "other.mid", "notes.csv", "score.musicxml", "piano-roll.svg", "preview.mp3",
    "beats.json",
    "drums.flac", "bass.flac", "other.flac", "vocals.flac", "stems.zip",
}  # fmt: skip
TASK_FIELDS = {
    "id", "kind", "status", "progress", "stage", "created_at", "started_at", "completed_at", "expires_at", "error",
    "credits", "links", "eta_s", "input", "result", "callback", "deliveries",
}  # fmt: skip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    allow = (ipaddress.ip_network("127.0.0.0/8"),)
    return dataclasses.replace(settings, max_upload_mb=1, max_audio_minutes=1, allow_addresses=allow)


async def send_song(
    api: Api, content: bytes | None = None, headers: dict[str, str] | None = None, **fields: Any
) -> Any:
    return await api.http.post(
        "/v1/transcriptions",
        files={"file": ("my song.wav", wav_bytes() if content is None else content)},
        data=fields,
        headers={**api.headers, **(headers or {})},
    )


async def send_json(api: Api, **body: Any) -> httpx.Response:
    return await api.http.post("/v1/transcriptions", json=body, headers=api.headers)


async def test_one_call_from_a_song_to_everything(api: Api) -> None:
    response = await send_song(api, callback_url=CALLBACK)
    assert response.status_code == 202
    accepted = response.json()
    assert set(accepted) == {"id", "status", "links"}
    assert accepted["status"] == "queued"
    address = f"http://stemscribe.test/v1/tasks/{accepted['id']}"
    assert response.headers["location"] == address
    assert accepted["links"] == {
        "self": address,
        "events": f"{address}/events",
        "cancel": address,
        "redeliver": f"{address}/redeliver",
    }

    queued = await api.get(f"/v1/tasks/{accepted['id']}")
    assert set(queued) == TASK_FIELDS
    assert (queued["kind"], queued["status"], queued["progress"]) == ("transcription", "queued", 0.0)
    assert queued["result"] is None
    assert queued["callback"] == {
        "url": CALLBACK, "event_id": None, "state": "pending", "attempts": 0, "next_attempt_at": None,
    }  # fmt: skip
    assert queued["input"]["source"]["name"] == "my song.wav"
    assert queued["input"]["source"]["url"] is None
    assert queued["created_at"].endswith("Z")

    await api.work()
    done = await api.get(f"/v1/tasks/{accepted['id']}")
    assert set(done) == TASK_FIELDS
    assert (done["status"], done["progress"], done["stage"], done["eta_s"]) == ("succeeded", 1.0, None, 0.0)
    assert done["credits"] == 15
    assert done["error"] is None
    assert done["input"]["options"] == {
        "stems": None, "instruments": None, "transcriber": "auto", "model": "htdemucs",
    }  # fmt: skip
    assert await api.get_bytes(done["input"]["source"]["url"]) == wav_bytes()
    result = done["result"]
    assert result["duration_s"] == 1.0
    assert (result["tempo"], result["time_signature"], result["key"]) == (120.0, "4/4", "A minor")
    assert (result["tempo_confidence"], result["key_confidence"]) == (0.9, 0.75)
    assert [stem["name"] for stem in result["stems"]] == ["drums", "bass", "other", "vocals"]
    assert set(result["files"]) == SONG_FILES
    for stem in result["stems"]:
        assert set(stem) == {"name", "audio_id", "duration_s", "url"}
        assert (await api.get_bytes(stem["url"])).startswith(b"fLaC")
    assert (await api.get_bytes(result["files"]["song.mid"])).startswith(b"MThd")
    drums = result["instruments"][0]
    assert set(drums) == {"name", "program", "is_drum", "stem", "audio_id", "confidence", "notes"}
    assert (drums["name"], drums["is_drum"], drums["stem"]) == ("Drums", True, "drums")
    assert drums["audio_id"] == result["stems"][0]["audio_id"]
    assert drums["confidence"] == 0.8
    assert drums["notes"][0] == {"pitch": 60, "start": 0.25, "end": 0.5, "velocity": 0.8, "confidence": 0.9}


async def test_the_callback_is_thin_and_says_what_happened(api: Api) -> None:
    task_id = (await send_song(api, callback_url=CALLBACK)).json()["id"]
    await api.work()
    body = await api.callback_body(task_id)
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "transcription.succeeded"
    task = await api.get(f"/v1/tasks/{task_id}")
    assert body["timestamp"] == task["completed_at"]
    for instrument in task["result"]["instruments"]:
        del instrument["notes"]
    same = TASK_FIELDS - {"eta_s", "callback", "deliveries"}
    assert body["data"] == {name: task[name] for name in same}


async def test_a_failure_says_why_and_costs_nothing(api: Api) -> None:
    def breaks(_: Any) -> None:
        raise ValueError("not a thing the pipeline raises on purpose")

    api.pipeline.during = breaks
    task_id = (await send_song(api, callback_url=CALLBACK)).json()["id"]
    for _ in range(3):
        await api.work()
        api.clock.advance(60)
    failed = await api.get(f"/v1/tasks/{task_id}")
    assert (failed["status"], failed["result"], failed["credits"]) == ("failed", None, 0)
    assert failed["error"]["code"] == "internal_error"
    assert failed["error"]["message"]
    body = await api.callback_body(task_id)
    assert body["type"] == "transcription.failed"
    assert body["data"]["error"] == failed["error"]


@pytest.mark.parametrize(
    "lists",
    [
        {"stems": ["vocals", "drums"], "instruments": ["bass"]},
        {"stems": "vocals, drums", "instruments": "bass,"},
        {"stems": '["drums", "vocals"]', "instruments": '["bass"]'},
        {"stems": ["vocals,drums", "drums"], "instruments": ['["bass"]', ""]},
    ],
    ids=["repeated", "commas", "json", "mixed"],
)
async def test_some_stems_and_some_instruments(api: Api, lists: dict[str, Any]) -> None:
    task_id = (await send_song(api, **lists)).json()["id"]
    await api.work()
    task = await api.get(f"/v1/tasks/{task_id}")
    assert task["input"]["options"]["stems"] == ["drums", "vocals"]
    assert [stem["name"] for stem in task["result"]["stems"]] == ["drums", "vocals"]
    assert [instrument["stem"] for instrument in task["result"]["instruments"]] == ["bass"]


async def test_another_transcriber(api: Api) -> None:
    without_reuse(api)
    with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as base:
        assert (await send_song(api, transcriber="basic-pitch")).status_code == 202
        await api.work()
        assert (await send_json(api, url=f"{base}/a.wav", transcriber="basic-pitch")).status_code == 202
        await api.work()
    assert api.pipeline.calls.count("transcribe with basic-pitch") == 2
    response = await send_song(api, transcriber="magic")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "transcriber")
    assert "one of auto, basic-pitch" in response.json()["detail"]


async def test_priority_among_a_key_s_own_tasks(api: Api) -> None:
    ids = [(await send_song(api, priority=priority)).json()["id"] for priority in ("", "-1", "5", "100")]
    claims = [await api.context.store.leases.claim("worker") for _ in ids]
    assert [claim.task.id for claim in claims if claim] == [ids[3], ids[2], ids[0], ids[1]]
    assert (await api.get(f"/v1/tasks/{ids[3]}"))["input"]["options"]["priority"] == 100
    response = await send_song(api, priority="-101")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "priority")
    assert "must be -100 to 100, not -101" in response.json()["detail"]
    for wrong in ("high", "5" + " " * 12 + "x", "5 ", "1_0", "1.5", "0" * 12 + "50", "\N{FULLWIDTH DIGIT NINE}"):
        response = await send_song(api, priority=wrong)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "priority"), wrong
        assert "must be a whole number" in response.json()["detail"]


async def test_empty_form_fields_are_as_good_as_none(api: Api) -> None:
    response = await send_song(api, stems="", instruments="", transcriber="", callback_url="")
    assert response.status_code == 202
    task = await api.get(f"/v1/tasks/{response.json()['id']}")
    assert (task["input"]["options"]["stems"], task["callback"]) == (None, None)
    assert task["links"]["redeliver"] is None


async def test_a_song_at_an_address_is_fetched_when_its_turn_comes(api: Api) -> None:
    with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as base:
        task_id = (await send_json(api, url=f"{base}/a.wav")).json()["id"]
        queued = await api.get(f"/v1/tasks/{task_id}")
        assert (queued["input"]["source"], queued["input"]["url"]) == (None, f"{base}/a.wav")
        await api.work()
    done = await api.get(f"/v1/tasks/{task_id}")
    assert done["status"] == "succeeded"
    assert (done["input"]["source"]["name"], done["input"]["source"]["task_id"]) == ("a.wav", task_id)
    assert "audio_url" not in done["input"]["options"]


async def test_an_address_that_gives_nothing_fails_the_task(api: Api) -> None:
    with http_server(lambda handler, _: answer(handler, 404)) as base:
        task_id = (await send_json(api, url=f"{base}/a.wav")).json()["id"]
        await api.work()
    failed = await api.get(f"/v1/tasks/{task_id}")
    assert (failed["status"], failed["error"]["code"]) == ("failed", "source_not_fetched")


async def test_a_link_of_ours_is_the_track_it_points_to(api: Api) -> None:
    uploaded = await api.upload()
    task_id = (await send_json(api, url=uploaded["downloadUrl"])).json()["id"]
    await api.work()
    task = await api.get(f"/v1/tasks/{task_id}")
    assert task["status"] == "succeeded"
    assert task["input"]["task_id"] == uploaded["taskId"]
    assert task["input"]["source"]["audio_id"] == uploaded["audioId"]


async def test_a_link_of_another_key_is_nobodys(api: Api) -> None:
    uploaded = await api.upload()
    other = {"Authorization": f"Bearer {await create_key(api.context, 'other')}"}
    response = await api.http.post("/v1/transcriptions", json={"url": uploaded["downloadUrl"]}, headers=other)
    assert (response.status_code, response.json()["detail"]) == (422, "Record does not exist")


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "url", "url is required"),
        ({"url": ""}, "url", "url is required"),
        ({"url": 7}, "url", "url must be text, not a whole number"),
        ({"url": "file:///etc/passwd"}, "url", "http or https"),
        ({"url": "http://169.254.169.254/x"}, "url", "not a public"),
        ({"url": "http://127.0.0.1/a", "stems": ["vocals", "tuba"]}, "stems", "drums, bass, other, vocals"),
        ({"url": "http://127.0.0.1/a", "stems": []}, "stems", "leave it out"),
        ({"url": "http://127.0.0.1/a", "stems": "vocals"}, "stems", "stems must be a list, not text"),
        ({"url": "http://127.0.0.1/a", "instruments": ["Piano"]}, "instruments", "drums, bass, other, vocals"),
        ({"url": "http://127.0.0.1/a", "instruments": [1]}, "instruments", "every item of instruments must be text"),
        ({"url": "http://127.0.0.1/a", "transcriber": "magic"}, "transcriber", "one of auto, basic-pitch"),
        ({"url": "http://127.0.0.1/a", "priority": 101}, "priority", "priority must be -100 to 100, not 101."),
        ({"url": "http://127.0.0.1/a", "priority": "high"}, "priority", "priority must be a whole number, not text"),
        ({"url": "http://127.0.0.1/a", "callback_url": ""}, "callback_url", "http or https"),
        ({"url": "http://127.0.0.1/a", "callback_url": "ftp://x"}, "callback_url", "http or https"),
        ({"url": "http://127.0.0.1/a", "callback_url": "http://10.0.0.1/"}, "callback_url", "not a public"),
    ],
)
async def test_wrong_fields_are_named(api: Api, body: dict[str, Any], field: str, message: str) -> None:
    response = await send_json(api, **body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "errors"}
    assert (problem["status"], problem["code"], problem["instance"]) == (422, "invalid", "/v1/transcriptions")
    assert message in problem["detail"]
    assert problem["errors"] == [{"field": field, "detail": problem["detail"]}]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "message"),
    [
        ("application/json", b"{", 400, "not valid JSON"),
        ("application/json", b'{"url": "\xff"}', 400, "not valid JSON"),
        ("application/json", b'{"url":' + b"[" * 100_000, 422, "url must be text, not a list"),
        ("application/json", b"[]", 422, "must be a JSON object"),
        ("application/json", b'"' + b"x" * 1_100_000 + b'"', 413, "1 MB"),
        ("text/plain", b"hello", 400, "multipart/form-data"),
        ("", b"", 400, "multipart/form-data"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400, "no part named file"),
    ],
)
async def test_bodies_that_are_none(api: Api, content_type: str, body: bytes, status: int, message: str) -> None:
    headers = {**api.headers, "Content-Type": content_type}
    response = await api.http.post("/v1/transcriptions", content=body, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert message in response.json()["detail"]


@pytest.mark.parametrize(
    ("content", "fields", "status", "message"),
    [
        (b"just some text, not music at all\n" * 50, {}, 422, "text"),
        (bytes(1_000_001), {}, 413, "limit of 1 MB"),
        (wav_bytes(duration_s=100, rate_hz=4000, channels=1), {}, 413, "60"),
        (None, {"stems": "tuba"}, 422, "drums, bass, other, vocals"),
        (None, {"stems": '["drums"'}, 422, "JSON list"),
        (None, {"callback_url": "http://10.0.0.1/"}, 422, "not a public"),
    ],
    ids=["text", "bytes", "length", "stem", "list", "callback"],
)
async def test_a_song_that_is_refused_leaves_no_file(
    api: Api, content: bytes | None, fields: dict[str, str], status: int, message: str
) -> None:
    response = await send_song(api, content, **fields)
    assert response.status_code == status
    assert message in response.json()["detail"]
    assert list(api.context.storage.scratch_dir.iterdir()) == []
    assert await stored_keys(api.context) == []
    assert (await api.get("/v1/tasks"))["tasks"] == []


async def test_a_song_beyond_the_keys_credits_leaves_no_file(api: Api) -> None:
    key = await api.context.store.keys.find(api.context.secrets.key_digest(api.token))
    assert key is not None
    await api.context.store.keys.set_limits(key.id, {"credit_limit": 20_000})
    assert (await send_song(api)).status_code == 202
    refused = await send_song(api)
    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_credits")
    assert len(await stored_keys(api.context)) == 1


async def test_a_song_that_cannot_be_recorded_leaves_no_file(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("the database is away")

    monkeypatch.setattr(TaskStore, "create", break_down)
    assert (await send_song(api)).status_code == 500
    assert await stored_keys(api.context) == []


async def test_a_repeat_makes_nothing_twice(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    create = TaskStore.create
    made = []

    async def commit_and_break(self: TaskStore, *arguments: Any, **options: Any) -> None:
        made.append(await create(self, *arguments, **options))
        raise ConnectionResetError("the database went away after the commit")

    once = {"Idempotency-Key": "one song"}
    with monkeypatch.context() as patch:
        patch.setattr(TaskStore, "create", commit_and_break)
        assert (await send_song(api, headers=once)).status_code == 500
    kept = await stored_keys(api.context)
    assert len(kept) == 1  # it was recorded, so it stays
    again = await send_song(api, headers=once)
    assert (again.status_code, again.json()["id"]) == (202, made[0].id)
    assert (await send_song(api, headers=once)).json() == again.json()
    assert await stored_keys(api.context) == kept
    other = await send_song(api, wav_bytes(duration_s=2), headers=once)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert await stored_keys(api.context) == kept
    assert len((await api.get("/v1/tasks"))["tasks"]) == 1
    await api.work()
    assert (await api.get(f"/v1/tasks/{made[0].id}"))["status"] == "succeeded"


async def test_another_file_under_a_promise_that_was_kept_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer was lost before it was written down; the fingerprint of the body was kept."""
    create = TaskStore.create

    async def commit_and_break(self: TaskStore, *arguments: Any, **options: Any) -> None:
        await create(self, *arguments, **options)
        raise ConnectionResetError("the database went away after the commit")

    once = {"Idempotency-Key": "one song"}
    with monkeypatch.context() as patch:
        patch.setattr(TaskStore, "create", commit_and_break)
        await send_song(api, headers=once)
    kept = await stored_keys(api.context)
    other = await send_song(api, wav_bytes(duration_s=2), headers=once)
    assert (other.status_code, other.json()["detail"]) == (
        409, "This Idempotency-Key was used for a request with another body.",
    )  # fmt: skip
    assert await stored_keys(api.context) == kept


async def test_under_one_promise_lies_one_file(context: Context, key: ApiKey) -> None:
    """Where the process was killed before it kept the fingerprint of the body."""

    async def new(content: bytes) -> NewTask:
        file = await keep_source(context, "1" * 32, content)
        ids = {"task_id": "1" * 32, "source_track_id": str(uuid.UUID(int=1))}
        return NewTask(key_id=key.id, kind=TaskKind.TRANSCRIPTION, source=NewTrack(file, None, 1.0), **ids)

    made = await context.store.tasks.create(await new(b"a"))
    assert (await context.store.tasks.create(await new(b"a"))).created_ms == made.created_ms
    other = await new(b"b")
    with pytest.raises(Conflict, match="used for another file"):
        await context.store.tasks.create(other)


async def test_a_key_is_needed(api: Api) -> None:
    for headers in ({}, {"Authorization": "Bearer nobody's"}, {"Authorization": f"Basic {api.token}"}):
        response = await api.http.post("/v1/transcriptions", json={}, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == "unauthorized"
