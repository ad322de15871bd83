"""What reading a task costs: note lists only where they are shown, and of an ended task nothing twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from service.db.models import OutboxState
from service.keys import create_key
from support.api import CALLBACK, Api, call, started


@contextmanager
def statements() -> Iterator[list[str]]:
    """What the databases are told meanwhile."""
    told: list[str] = []

    def on_execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", on_execute)
    try:
        yield told
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", on_execute)


async def test_notes_are_read_for_nothing_that_shows_none(api: Api) -> None:
    task_id = await started(api, callback_url=CALLBACK)
    await api.work()
    path = f"/v1/tasks/{task_id}"
    with statements() as told:
        await call(api, "GET", path)
    assert any("instrument_notes.notes" in statement for statement in told)
    with statements() as told:
        thin = await call(api, "GET", f"{path}?notes=false")
        assert [item["stem"] for item in thin.json()["result"]["instruments"]] == ["drums", "bass", "other"]
        for method, rest, status in (
            ("GET", "/events", 200), ("GET", "/files/song.mid", 200), ("HEAD", "/files/stems.zip", 200),
            ("POST", "/redeliver", 202),
        ):  # fmt: skip
            assert (await call(api, method, path + rest)).status_code == status
        assert (await api.callback_body(task_id))["data"]["result"]["instruments"]
        assert (await call(api, "DELETE", path)).status_code == 204
    assert told
    assert not [statement for statement in told if "instrument_notes.notes" in statement]


async def test_an_ended_task_is_built_once_and_never_stale(api: Api) -> None:
    uploaded = await api.upload()
    made = await api.separated(source=api.source(uploaded))
    separation, path = made["taskId"], f"/v1/tasks/{made['taskId']}"
    first = await call(api, "GET", path)
    with statements() as told:
        assert (await call(api, "GET", path)).content == first.content
    assert not [statement for statement in told if "storage_key" in statement]  # not one file was looked up

    async def shown() -> dict[str, Any]:
        task = await api.get(path)
        assert await api.get(path) == task
        return task

    assert first.json()["callback"]["attempts"] == 0
    outbox = api.context.store.outbox
    [owed] = await outbox.claim(10, 60_000)
    begun = await shown()
    assert (begun["callback"]["attempts"], begun["deliveries"][0]["duration_ms"]) == (1, None)
    now = api.clock.now_ms()
    await outbox.redeliver(separation)
    assert (await shown())["callback"]["state"] == "pending"
    await outbox.settle(owed, state=OutboxState.DELIVERED, due_ms=now, status_code=200, error=None)
    assert (await shown())["deliveries"][0]["status_code"] == 200  # of an attempt that was overtaken
    assert (await shown())["input"]["source"] is not None
    await call(api, "DELETE", f"/v1/tasks/{uploaded['taskId']}")
    assert (await shown())["input"]["source"] is None
    other = {"Authorization": f"Bearer {await create_key(api.context, 'other')}"}
    assert (await api.http.get(path, headers=other)).status_code == 404
    api.clock.advance(15 * 24 * 3600)
    assert (await call(api, "GET", path)).status_code == 404
    assert (await call(api, "GET", path)).status_code == 404
