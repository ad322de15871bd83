"""Callbacks, delivered to real receivers: good ones, broken ones, and ones that must not be reached."""

import asyncio
import dataclasses
import ipaddress
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest

from service.context import Context
from service.db.models import ApiKey, OutboxState
from service.settings import Settings
from service.worker import deliveries
from service.worker.deliveries import RETRY_DELAYS_S, Deliverer
from support.callbacks import attempts, finished_task
from support.clock import ManualClock
from support.servers import answer, http_server

Received = list[tuple[dict[str, str], dict[str, object]]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, allow_addresses=(ipaddress.ip_network("127.0.0.0/8"),))


async def test_a_good_receiver_is_called_once(context: Context, key: ApiKey, clock: ManualClock) -> None:
    received: Received = []

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        received.append((dict(handler.headers), json.loads(body)))
        answer(handler, 204)

    with http_server(respond) as base:
        task_id = await finished_task(context, key, f"{base}/callback")
        assert await Deliverer(context).deliver_due() == 1
        assert await Deliverer(context).deliver_due() == 0
    [(headers, body)] = received
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"].startswith("evt_")
    assert int(headers["X-Webhook-Timestamp"]) == int(headers["webhook-timestamp"]) == clock.now_ms() // 1000
    assert {"X-Webhook-Signature", "webhook-signature"} <= set(headers)
    assert body["code"] == 200
    assert body["taskId"] == body["task_id"] == task_id
    [row] = await attempts(context, task_id)
    assert (row.attempt, row.status_code, row.error) == (1, 204, None)


async def test_a_failing_receiver_is_tried_on_schedule_with_the_same_id_and_then_given_up(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    ids: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        ids.append(handler.headers["webhook-id"])
        answer(handler, 500)

    deliverer = Deliverer(context)
    with http_server(respond) as base:
        task_id = await finished_task(context, key, base)
        await deliverer.deliver_due()
        for delay_s in RETRY_DELAYS_S:
            clock.advance(delay_s * 0.99)
            assert await deliverer.deliver_due() == 0, f"sooner than {delay_s} s"
            clock.advance(delay_s * 0.12)
            assert await deliverer.deliver_due() == 1, f"not by {delay_s} s and a tenth"
        clock.advance(7 * 24 * 3600)
        assert await deliverer.deliver_due() == 0
    assert len(ids) == len(RETRY_DELAYS_S) + 1 == 8
    assert len(set(ids)) == 1
    rows = await attempts(context, task_id)
    assert [row.attempt for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {row.error for row in rows} == {"HTTP status 500"}
    found = await context.store.tasks.record(task_id)
    assert found is not None
    assert found.callback_dead


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(context: Context, key: ApiKey, clock: ManualClock, form: str) -> None:
    in_an_hour = datetime.fromtimestamp(clock.now_ms() / 1000 + 3600, UTC)
    value = "3600" if form == "seconds" else format_datetime(in_an_hour, usegmt=True)
    deliverer = Deliverer(context)
    with http_server(lambda handler, _: answer(handler, 503, Retry_After=value)) as base:
        await finished_task(context, key, base)
        assert await deliverer.deliver_due() == 1
        clock.advance(3500)
        assert await deliverer.deliver_due() == 0
        clock.advance(110)
        assert await deliverer.deliver_due() == 1


@pytest.mark.parametrize(
    "value", ["\u00b2", "9" * 5000, "-5", "soon", "Mon, 01 Jan 99999999999 00:00:00 GMT", "1 Jan 0001 00:00:00 +2359"]
)
async def test_an_absurd_retry_after_is_an_attempt_like_any_other(
    context: Context, key: ApiKey, clock: ManualClock, value: str
) -> None:
    deliverer = Deliverer(context)
    with http_server(lambda handler, _: answer(handler, 503, Retry_After=value)) as base:
        task_id = await finished_task(context, key, base)
        assert await deliverer.deliver_due() == 1
        clock.advance(25 * 3600)
        assert await deliverer.deliver_due() == 1
    assert [row.error for row in await attempts(context, task_id)] == ["HTTP status 503"] * 2


async def test_gone_stops_at_once(context: Context, key: ApiKey, clock: ManualClock) -> None:
    with http_server(lambda handler, _: answer(handler, 410)) as base:
        await finished_task(context, key, base)
        assert await Deliverer(context).deliver_due() == 1
        clock.advance(24 * 3600)
        assert await Deliverer(context).deliver_due() == 0


async def test_redirects_are_failures_and_are_not_followed(context: Context, key: ApiKey) -> None:
    asked: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        answer(handler, 307, Location="/elsewhere")

    with http_server(respond) as base:
        task_id = await finished_task(context, key, f"{base}/callback")
        await Deliverer(context).deliver_due()
    assert asked == ["/callback"]
    assert [row.error for row in await attempts(context, task_id)] == ["HTTP status 307"]


async def test_a_receiver_that_hangs_is_given_up_in_time(
    context: Context, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "TIMEOUT_S", 0.3)
    with http_server(lambda handler, _: time.sleep(1)) as base:
        task_id = await finished_task(context, key, base)
        await Deliverer(context).deliver_due()
    [row] = await attempts(context, task_id)
    assert row.status_code is None
    assert row.error == "no answer within 0.3 s"


async def test_an_address_that_may_not_be_reached_is_never_called(context: Context, key: ApiKey) -> None:
    task_id = await finished_task(context, key, "http://10.0.0.1/callback")
    await Deliverer(context).deliver_due()
    [row] = await attempts(context, task_id)
    assert "not a public one" in (row.error or "")


async def test_a_receiver_that_is_down_is_an_attempt_with_a_reason(context: Context, key: ApiKey) -> None:
    with http_server(lambda handler, _: answer(handler, 200)) as base:
        pass
    task_id = await finished_task(context, key, base)
    await Deliverer(context).deliver_due()
    [row] = await attempts(context, task_id)
    assert row.status_code is None
    assert row.error


async def test_a_callback_that_cannot_be_tried_is_given_up_like_any_other(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    task_id = await finished_task(context, key, "http://xn--/callback")
    await deliver_all(context, clock)
    rows = await attempts(context, task_id)
    assert [row.error for row in rows] == ["unexpected error (IDNAError)"] * 8


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 (it happens in a server's thread)
            await asyncio.sleep(0.01)


async def deliver_all(context: Context, clock: ManualClock) -> None:
    deliverer = Deliverer(context)
    for delay_s in (*RETRY_DELAYS_S, 0):
        assert await deliverer.deliver_due() == 1
        clock.advance(delay_s * 1.2)
    assert await deliverer.deliver_due() == 0


async def test_a_killed_attempt_has_its_row(context: Context, key: ApiKey, clock: ManualClock) -> None:
    arrived = threading.Event()

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        first = not arrived.is_set()
        arrived.set()
        time.sleep(0.5 if first else 0)
        answer(handler, 200)

    with http_server(respond) as base:
        task_id = await finished_task(context, key, base)
        running = asyncio.create_task(Deliverer(context).run(asyncio.Event()))
        await asyncio.to_thread(arrived.wait)
        running.cancel()
        await asyncio.wait({running})
        [killed] = await attempts(context, task_id)
        assert (killed.attempt, killed.duration_ms, killed.status_code, killed.error) == (1, None, None, None)
        clock.advance(61)
        assert await Deliverer(context).deliver_due() == 1
    _, second = await attempts(context, task_id)
    assert (second.attempt, second.status_code, second.duration_ms) == (2, 200, 0)


async def test_a_deliverer_that_slept_past_its_hold_changes_nothing(
    context: Context, key: ApiKey, clock: ManualClock
) -> None:
    task_id = await finished_task(context, key, "http://127.0.0.1/")
    outbox = context.store.outbox
    [asleep] = await outbox.claim(10, 1000)
    clock.advance(2)
    [awake] = await outbox.claim(10, 1000)
    late = {"state": OutboxState.PENDING, "due_ms": 0, "status_code": 500, "error": "late"}
    assert not await outbox.settle(asleep, **late)
    assert await outbox.claim(10, 1000) == []
    assert await outbox.settle(awake, state=OutboxState.DELIVERED, due_ms=0, status_code=200, error=None)
    assert not await outbox.settle(asleep, **late)
    assert not await outbox.settle(awake, **late)
    assert await outbox.claim(10, 1000) == []
    assert [row.duration_ms for row in await attempts(context, task_id)] == [2000, 0]


async def test_a_receiver_that_hangs_holds_up_nobody_and_a_stop_waits_for_it(context: Context, key: ApiKey) -> None:
    let_go = threading.Semaphore(0)
    hanging: list[str] = []
    quick: list[str] = []

    def hang(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        hanging.append(handler.path)
        let_go.acquire()
        answer(handler, 200)

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        quick.append(handler.path)
        answer(handler, 200)

    stop = asyncio.Event()
    with http_server(hang) as slow, http_server(respond) as fast:
        tasks = [await finished_task(context, key, f"{slow}/{number}") for number in range(40)]
        await finished_task(context, key, f"{fast}/only")
        running = asyncio.create_task(Deliverer(context).run(stop))
        await until(lambda: bool(quick) and len(hanging) == 4)
        stop.set()
        let_go.release(3)
        async with asyncio.timeout(10):
            while [row.status_code for task_id in tasks for row in await attempts(context, task_id)].count(200) < 3:
                assert not running.done()
        assert not running.done()  # one is still under way
        let_go.release()
        await asyncio.wait_for(running, 10)
    assert (quick, len(hanging)) == (["/only"], 4)
    rows = [row for task_id in tasks for row in await attempts(context, task_id)]
    assert [row.status_code for row in rows] == [200] * 4


async def test_places_are_taken_again_as_attempts_finish(context: Context, key: ApiKey) -> None:
    received: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        received.append(handler.path)
        answer(handler, 200)

    stop = asyncio.Event()
    with http_server(respond) as base:
        for number in range(12):
            await finished_task(context, key, f"{base}?{number}")
        running = asyncio.create_task(Deliverer(context).run(stop))
        await until(lambda: len(received) == 12)
        stop.set()
        await running
    assert len(set(received)) == len(received) == 12
