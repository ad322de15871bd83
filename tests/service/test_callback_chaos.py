"""Receivers at their worst, each called by the real deliverer, and what the rows say afterwards."""

import asyncio
import base64
import dataclasses
import hmac
import ipaddress
import json
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from service.context import Context
from service.db.models import ApiKey
from service.net.addresses import resolve
from service.settings import Settings
from service.signatures import show_secret
from service.worker import deliveries
from service.worker.deliveries import RETRY_DELAYS_S, Deliverer
from support.callbacks import attempts, finished_task
from support.clock import ManualClock
from support.names import resolve_in_turn
from support.servers import answer, http_server

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
HMAC_KEY = "whk_demo_0001"
MEGABYTE = bytes(1_000_000)


@pytest.fixture
def clock() -> ManualClock:
    """About now: receivers refuse what is signed for another time."""
    return ManualClock(int(time.time()) * 1000)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(
        settings,
        allow_addresses=(ipaddress.ip_network("127.0.0.1/32"),),
        webhook_hmac_key=HMAC_KEY,
        webhook_secret=f"{show_secret(NEW)},{show_secret(OLD)}",
    )


class Receiver:
    """Answers by a list of statuses, the last one for good, and checks every signature as clients do."""

    def __init__(self, *statuses: int, **headers: str) -> None:
        self._statuses = list(statuses)
        self._headers = headers
        self.ids: list[str] = []
        self.timestamps: list[int] = []

    def __call__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = dict(handler.headers)
        sent: dict[str, Any] = json.loads(body)
        for secret in (NEW, OLD):  # a receiver that knows the new secret, and one that does not yet
            assert Webhook(show_secret(secret)).verify(body, headers) == sent
        timed = f"{sent['taskId']}.{headers['X-Webhook-Timestamp']}".encode()
        expected = base64.b64encode(hmac.digest(HMAC_KEY.encode(), timed, "sha256")).decode()
        assert headers["X-Webhook-Signature"] == expected
        self.ids.append(headers["webhook-id"])
        self.timestamps.append(int(headers["webhook-timestamp"]))
        answer(handler, self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0], **self._headers)


async def callback_is_dead(context: Context, task_id: str) -> bool:
    record = await context.store.tasks.record(task_id)
    assert record is not None
    return record.callback_dead


async def test_two_failures_and_then_it_is_taken(context: Context, key: ApiKey, clock: ManualClock) -> None:
    receiver, deliverer = Receiver(500, 500, 200), Deliverer(context)
    with http_server(receiver) as base:
        task_id = await finished_task(context, key, base)
        for delay_s in RETRY_DELAYS_S[:3]:
            assert await deliverer.deliver_due() == 1
            clock.advance(delay_s * 1.1)
        assert await deliverer.deliver_due() == 0
    assert [row.status_code for row in await attempts(context, task_id)] == [500, 500, 200]
    assert len(receiver.ids) == 3
    assert len(set(receiver.ids)) == 1
    first, second, third = receiver.timestamps  # each attempt is signed with its own time
    assert (second - first, third - second) == (5, 66)


async def test_a_receiver_that_hangs(context: Context, key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "TIMEOUT_S", 0.3)
    let_go = threading.Event()
    with http_server(lambda handler, _: let_go.wait() and None) as base:
        task_id = await finished_task(context, key, base)
        started = time.monotonic()
        await Deliverer(context).deliver_due()
        assert time.monotonic() - started < 5
        let_go.set()
    [row] = await attempts(context, task_id)
    assert (row.status_code, row.error) == (None, "no answer within 0.3 s")


async def test_a_receiver_whose_headers_do_not_end(
    context: Context, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "TIMEOUT_S", 0.5)

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            for _line in range(40):
                handler.wfile.write(b"a: b\r\n")
                time.sleep(0.05)
        except OSError:
            return
        handler.close_connection = True

    with http_server(respond) as base:
        task_id = await finished_task(context, key, base)
        await Deliverer(context).deliver_due()
    [row] = await attempts(context, task_id)
    assert (row.status_code, row.error) == (None, "no answer within 0.5 s")


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "http://xn--/", "http://[::1"]
)
async def test_a_redirect_leads_nowhere(context: Context, key: ApiKey, location: str) -> None:
    receiver = Receiver(302, Location=location)
    with http_server(receiver) as base:
        task_id = await finished_task(context, key, base)
        await Deliverer(context).deliver_due()
    assert len(receiver.ids) == 1
    assert [(row.status_code, row.error) for row in await attempts(context, task_id)] == [(302, "HTTP status 302")]


@pytest.mark.parametrize("inside", ["127.0.0.2", "169.254.169.254", "10.0.0.1", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_inside_the_second_time(
    context: Context, key: ApiKey, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    resolve_in_turn(monkeypatch, "callbacks.example", ["93.184.215.14", inside, "127.0.0.1"])
    receiver, deliverer = Receiver(200), Deliverer(context)
    with http_server(receiver) as base:
        url = base.replace("127.0.0.1", "callbacks.example")
        allow = context.settings.allow_addresses
        assert await resolve("callbacks.example", 80, allow)  # as when the task was asked for
        task_id = await finished_task(context, key, url)
        assert await deliverer.deliver_due() == 1
        assert receiver.ids == []
        clock.advance(6)
        assert await deliverer.deliver_due() == 1  # every attempt looks the name up again
    refused, taken = await attempts(context, task_id)
    assert refused.status_code is None
    assert "'callbacks.example' is not a public one" in (refused.error or "")
    assert inside not in (refused.error or "")
    assert taken.status_code == 200


@pytest.mark.parametrize("status", [200, 500])
async def test_a_gigabyte_in_the_answer_is_left_where_it_is(context: Context, key: ApiKey, status: int) -> None:
    sent = 0

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal sent
        handler.send_response(status)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", "1000000000")
        handler.end_headers()
        try:
            while sent < 1_000_000_000:
                sent += handler.wfile.write(MEGABYTE)
        except OSError:
            return  # the deliverer hung up, as it should

    with http_server(respond) as base:
        task_id = await finished_task(context, key, base)
        tracemalloc.start()
        await Deliverer(context).deliver_due()
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [row.status_code for row in await attempts(context, task_id)] == [status]
    assert sent < 50_000_000  # what the kernel's buffers take
    assert peak_bytes < 5_000_000


async def test_gone_and_come_again_when_asked(context: Context, key: ApiKey, clock: ManualClock) -> None:
    """A dead letter is seen, and sent again under its id; the schedule then starts from its beginning."""
    receiver, deliverer = Receiver(410, 500, 500, 200), Deliverer(context)
    with http_server(receiver) as base:
        task_id = await finished_task(context, key, base)
        assert await deliverer.deliver_due() == 1
        clock.advance(100)
        assert await deliverer.deliver_due() == 0
        assert await callback_is_dead(context, task_id)
        assert await context.store.outbox.redeliver(task_id) is not None
        assert not await callback_is_dead(context, task_id)
        for delay_s in (0, *RETRY_DELAYS_S[:2]):
            clock.advance(delay_s * 1.1)
            assert await deliverer.deliver_due() == 1
    rows = await attempts(context, task_id)
    assert [(row.attempt, row.status_code) for row in rows] == [(1, 410), (2, 500), (3, 500), (4, 200)]
    assert len(set(receiver.ids)) == 1
    assert not await callback_is_dead(context, task_id)


async def test_a_redelivery_has_the_whole_schedule_again(context: Context, key: ApiKey, clock: ManualClock) -> None:
    receiver, deliverer = Receiver(500), Deliverer(context)
    with http_server(receiver) as base:
        task_id = await finished_task(context, key, base)
        for _ in range(2):
            for delay_s in (*RETRY_DELAYS_S, 0):
                assert await deliverer.deliver_due() == 1
                clock.advance(delay_s * 1.1)
            assert await callback_is_dead(context, task_id)
            await context.store.outbox.redeliver(task_id)
    assert len(await attempts(context, task_id)) == 16


async def test_a_redelivery_asked_for_during_an_attempt_is_not_forgotten(context: Context, key: ApiKey) -> None:
    arrived, let_go = threading.Event(), threading.Event()
    statuses = [410, 200]

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        arrived.set()
        let_go.wait()
        answer(handler, statuses.pop(0))

    with http_server(respond) as base:
        task_id = await finished_task(context, key, base)
        delivering = asyncio.create_task(Deliverer(context).deliver_due())
        await asyncio.to_thread(arrived.wait)
        await context.store.outbox.redeliver(task_id)
        let_go.set()
        await delivering
        assert not await callback_is_dead(context, task_id)
        assert await Deliverer(context).deliver_due() == 1
    assert [row.status_code for row in await attempts(context, task_id)] == [410, 200]


async def test_retry_after_is_longer_than_the_schedule(context: Context, key: ApiKey, clock: ManualClock) -> None:
    receiver, deliverer = Receiver(429, 200, Retry_After="120"), Deliverer(context)
    with http_server(receiver) as base:
        task_id = await finished_task(context, key, base)
        assert await deliverer.deliver_due() == 1
        clock.advance(119)
        assert await deliverer.deliver_due() == 0
        clock.advance(2)
        assert await deliverer.deliver_due() == 1
    assert [row.status_code for row in await attempts(context, task_id)] == [429, 200]
