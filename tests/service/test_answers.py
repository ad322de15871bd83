"""Stored answers: the same bytes without building them, never of a record that is gone."""

import gzip
import json
from typing import Any

import pytest

from pipeline.notes import Instrument, Note
from service.api import answers
from service.api.answers import StoredAnswer, StoredAnswers, takes_gzip
from service.db.models import TaskKind
from service.notes import encoded_notes
from service.store.records import NewNotes, NewTask, Outcome
from support.api import Api


async def finished(api: Api, n_notes: int = 5000) -> str:
    """A MIDI task with so many notes; returns its id."""
    key = await api.context.store.keys.find(api.context.secrets.key_digest(api.token))
    assert key is not None
    task = await api.context.store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.MIDI))
    claim = await api.context.store.leases.claim("worker")
    assert claim is not None
    notes = tuple(Note(40 + n % 50, n / 8, n / 8 + 0.1, 0.5) for n in range(n_notes))
    instrument = Instrument("Electric Bass (finger)", 33, False, "bass", notes)
    row = NewNotes("track", instrument.name, 33, False, "bass", 1.0, encoded_notes(instrument))
    await api.context.store.leases.succeed(claim, Outcome(instruments=[row]))
    return task.id


async def poll(api: Api, task_id: str, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.get(
        "/api/v1/midi/record-info",
        params={"taskId": task_id},
        headers={**api.headers, "Accept-Encoding": "identity", **given},
    )


async def test_a_repeated_poll_is_the_same_bytes_and_asks_for_no_notes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await finished(api)
    first = await poll(api, task_id)
    assert len(first.json()["data"]["midiData"]["instruments"][0]["notes"]) == 5000
    monkeypatch.setattr(type(api.context.store.tasks), "record", None)  # whoever builds it anew fails
    assert (await poll(api, task_id)).content == first.content
    monkeypatch.setattr(answers, "FRESH_S", 0.0)  # confirmed by one look at the task's row
    assert (await poll(api, task_id)).content == first.content


async def test_gzip_is_for_those_who_take_it(api: Api) -> None:
    task_id = await finished(api)
    plain = await poll(api, task_id)
    packed = await poll(api, task_id, Accept_Encoding="gzip, deflate")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content  # the client unpacks
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert packed.headers["vary"] == "Accept-Encoding, Authorization"


async def test_not_modified(api: Api) -> None:
    task_id = await finished(api)
    etag = (await poll(api, task_id)).headers["etag"]
    for name in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        same = await poll(api, task_id, If_None_Match=name)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert (await poll(api, task_id, If_None_Match='"other"')).status_code == 200


async def test_a_live_task_is_looked_at_each_time(api: Api) -> None:
    done = await api.separated()
    answer = await api.post("/api/v1/midi/generate", {"taskId": done["taskId"], "callBackUrl": "http://1.1.1.1/"})
    task_id = answer["data"]["taskId"]
    before = await poll(api, task_id)
    assert before.json()["data"]["successFlag"] == 0
    await api.work()
    after = await poll(api, task_id, If_None_Match=before.headers["etag"])
    assert after.json()["data"]["successFlag"] == 1


async def test_a_record_that_is_gone_is_not_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = await finished(api, 1)
    assert (await poll(api, task_id)).json()["code"] == 200
    api.clock.advance(14 * 24 * 3600)  # its time is over: at once, however fresh the answer
    assert (await poll(api, task_id)).json()["code"] == 404
    other = await finished(api, 1)
    assert (await poll(api, other)).json()["code"] == 200
    await api.context.files.delete_task(other)
    monkeypatch.setattr(answers, "FRESH_S", 0.0)  # deleted by another process: within a second
    assert (await poll(api, other)).json()["code"] == 404


async def test_one_that_is_deleted_here_is_gone_at_once(api: Api) -> None:
    task_id = await finished(api, 1)
    assert (await poll(api, task_id)).json()["code"] == 200
    assert (await api.http.delete(f"/v1/tasks/{task_id}", headers=api.headers)).status_code == 204
    assert (await poll(api, task_id)).json()["code"] == 404


async def test_nobody_else_is_served_it(api: Api) -> None:
    from service.keys import create_key

    task_id = await finished(api, 1)
    assert (await poll(api, task_id)).json()["code"] == 200
    stranger = await create_key(api.context, "stranger")
    assert (await poll(api, task_id, Authorization=f"Bearer {stranger}")).json()["code"] == 404


def test_both_forms_of_an_answer_count() -> None:
    body = json.dumps(list(range(2000))).encode()
    both = len(body) + len(StoredAnswer(body, None).gzipped)
    for max_bytes, left in ((both - 1, ""), (both, "b"), (2 * both - 1, "b"), (2 * both, "ab")):
        kept = StoredAnswers(max_bytes)
        kept.keep("a", StoredAnswer(body, None))
        kept.keep("b", kept.keep("b", StoredAnswer(body, None)))  # confirmed: counted once
        assert [name for name in "ab" if kept.known(name) is not None] == [*left]


def test_memory_has_a_bound_and_the_least_polled_goes_first() -> None:
    kept = StoredAnswers(max_bytes=300)
    for name in ("a", "b", "c"):
        kept.keep(name, StoredAnswer(name.encode() * 100, None))
    assert kept.known("a") is not None  # polled: b is now the least recent
    kept.keep("d", StoredAnswer(b"d" * 100, None))
    assert [name for name in "abcd" if kept.known(name) is not None] == ["a", "c", "d"]
    kept.keep("e", StoredAnswer(b"e" * 1000, None))  # too large for all of it
    assert [name for name in "acde" if kept.known(name) is not None] == []


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True), ("GZIP", True), ("deflate, gzip;q=0.5", True), ("*", True), ("br, *;q=0.1", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.0, *", False),
        ("*;q=0", False), ("br", False),
    ],
)  # fmt: skip
def test_accept_encoding(header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes


def test_gzip_is_repeatable() -> None:
    answer = StoredAnswer(json.dumps(list(range(1000))).encode(), None)
    assert gzip.decompress(answer.gzipped) == answer.body
    assert StoredAnswer(answer.body, None).gzipped == answer.gzipped
