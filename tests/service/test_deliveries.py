"""Callbacks, delivered to real receivers: good ones, broken ones, and ones that must not be reached."""

import dataclasses
import ipaddress
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
from support.clock import ManualClock
from support.servers import answer, http_server

from service.context import Context
from service.db.models import ApiKey, Delivery, TaskKind
from service.settings import Settings
from service.store.records import Outcome
from service.worker import deliveries
from service.worker.deliveries import RETRY_DELAYS_S, Deliverer

Received = list[tuple[dict[str, str], dict[str, object]]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, allow_addresses=(ipaddress.ip_network("127.0.0.0/8"),))


async def finished_task(context: Context, key: ApiKey, url: str) -> str:
    task = await context.store.tasks.create(key_id=key.id, kind=TaskKind.MIDI, params={}, callback_url=url)
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    await context.store.leases.succeed(claim, Outcome())
    return task.id


async def attempts(context: Context, task_id: str) -> Sequence[Delivery]:
    return await context.store.outbox.deliveries(task_id)


async def test_a_good_receiver_is_called_once(context: Context, key: ApiKey) -> None:
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
