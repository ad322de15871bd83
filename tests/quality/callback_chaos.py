"""Callbacks to receivers at their worst: ``python tests/quality/callback_chaos.py`` (Linux; a minute and a half).

First the service as a user runs it, with the real weights, against receivers on 127.0.0.2, which it may reach, while
127.0.0.1 stands for what it must not.  The one thing that is not as on a user's machine is the answer to one name,
which changes between look-ups (DNS rebinding): a sitecustomize module on the processes' path stands before
``socket.getaddrinfo``; see tests/support/changing_names.  Then the whole schedule, with a deliverer in this process and
a clock that is moved.  Both end with the rows of the database.
"""

import asyncio
import base64
import hmac
import ipaddress
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from standardwebhooks.webhooks import Webhook

sys.path.insert(0, str(Path(__file__).parents[1]))
from service.context import Context
from service.db.models import Delivery
from service.keys import create_key
from service.settings import Settings
from service.worker.deliveries import RETRY_DELAYS_S, Deliverer
from support.audio import wav_bytes
from support.callbacks import attempts, finished_task
from support.clock import ManualClock
from support.memory import PeakMemory
from support.names import changing_names
from support.process import RunningService, environment, running_service, stemscribe
from support.servers import answer, http_server

RECEIVERS, INSIDE, PUBLIC = "127.0.0.2", "127.0.0.1", "93.184.215.14"
WATCHED_S = 75.0  # attempts at 0, 5 and 65 s, a tenth later at most
HANGS_S = 60.0
GIGABYTE = 1_000_000_000
Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


class Receivers:
    """The receivers' side: what they answer, and what they saw."""

    def __init__(self, hmac_key: str, secret: str) -> None:
        self._hmac_key = hmac_key.encode()
        self._webhook = Webhook(secret)
        self.verified = 0
        self.seen_inside = 0
        self.body_sent = 0

    def check(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Verify both signatures, as clients do."""
        sent = self._webhook.verify(body, dict(handler.headers))
        timed = f"{sent['data']['task_id']}.{handler.headers['X-Webhook-Timestamp']}".encode()
        expected = base64.b64encode(hmac.digest(self._hmac_key, timed, "sha256")).decode()
        assert hmac.compare_digest(expected, handler.headers["X-Webhook-Signature"])
        self.verified += 1

    def statuses(self, *statuses: int, **headers: str) -> Respond:
        left = list(statuses)

        def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            self.check(handler, body)
            answer(handler, left.pop(0) if len(left) > 1 else left[0], **headers)

        return respond

    def hang(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.check(handler, body)
        time.sleep(HANGS_S)

    def gigabyte(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.check(handler, body)
        handler.send_response(200)
        handler.send_header("Content-Length", str(GIGABYTE))
        handler.end_headers()
        block = bytes(1_000_000)
        try:
            for _ in range(GIGABYTE // len(block)):
                handler.wfile.write(block)
                self.body_sent += len(block)
        except OSError:
            return  # the service hung up

    def inside(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.seen_inside += 1
        answer(handler, 200)


def ask_for_callbacks(service: RunningService, urls: dict[str, str]) -> dict[str, str]:
    """A task for every receiver; by its name, the task's id."""
    uploaded = service.upload(wav_bytes(1.0))
    source = {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"]}
    separation = service.generate("vocal-removal", **source, type="split_stem", callBackUrl=urls["answers 200"])
    assert service.wait("vocal-removal", separation)["successFlag"] == "SUCCESS"
    tasks = {name: service.generate("midi", taskId=separation, callBackUrl=url) for name, url in urls.items()}
    for task_id in tasks.values():
        record = service.wait("midi", task_id)
        assert record["successFlag"] == 1, record
    return tasks


@contextmanager
def receivers(answers: Receivers) -> Iterator[dict[str, str]]:
    """All of them, running; their addresses by what they do."""
    kinds = {
        "answers 200": answers.statuses(200),
        "500 twice, then 200": answers.statuses(500, 500, 200),
        "hangs 60 s": answers.hang,
        "redirects to 169.254.169.254": answers.statuses(302, Location="http://169.254.169.254/latest/meta-data/"),
        "sends a body of 1 GB": answers.gigabyte,
        "410 Gone": answers.statuses(410),
        "503, Retry-After: 12": answers.statuses(503, 200, Retry_After="12"),
    }
    with ExitStack() as stack:
        urls = {kind: stack.enter_context(http_server(respond, RECEIVERS)) for kind, respond in kinds.items()}
        taking = stack.enter_context(http_server(answers.statuses(200), RECEIVERS))
        port = int(taking.rpartition(":")[2])
        urls["name: public, then 127.0.0.1, then its own"] = f"http://rebinding.example:{port}/"
        yield urls


async def rows_of(data_dir: Path, tasks: dict[str, str]) -> dict[str, tuple[Sequence[Delivery], str]]:
    """Every task's deliveries and where its callback stands, from the service's database."""
    context = Context(Settings(data_dir=data_dir))
    try:
        found = {}
        for name, task_id in tasks.items():
            record = await context.store.tasks.record(task_id)
            assert record is not None
            assert record.outbox is not None
            outbox, left_s = record.outbox, (record.outbox.due_ms - context.clock.now_ms()) / 1000
            state = f"{outbox.state}, next in {left_s:.0f} s" if outbox.state == "pending" else outbox.state
            found[name] = (await attempts(context, task_id), state)
        return found
    finally:
        await context.close()


def show(rows: dict[str, tuple[Sequence[Delivery], str]]) -> None:
    print("| receiver | attempt | at (UTC) | after the first | took | status | error | callback |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (deliveries, state) in rows.items():
        first_ms = deliveries[0].started_ms if deliveries else 0
        for row in deliveries:
            at = datetime.fromtimestamp(row.started_ms / 1000, UTC)
            after = f"{(row.started_ms - first_ms) / 1000:.1f} s"
            took = "under way" if row.duration_ms is None else f"{row.duration_ms / 1000:.2f} s"
            last = state if row is deliveries[-1] else ""
            cells = (name, row.attempt, f"{at:%d %H:%M:%S}", after, took, row.status_code or "", row.error or "", last)
            print("|", " | ".join(map(str, cells)), "|", flush=True)


def against_the_service(folder: Path) -> None:
    names, data = folder / "names", folder / "data"
    names.mkdir()
    data.mkdir()
    # The first look-up is the API's, when the task is asked for; each attempt makes one more.
    os.environ |= changing_names(names, {"rebinding.example": [PUBLIC, INSIDE, RECEIVERS]})
    allow = f"{RECEIVERS}/32"
    printed = stemscribe("webhooks", "secrets", env=environment(data)).stdout.splitlines()
    hmac_key, secret = (line.partition("=")[2] for line in printed)
    answers = Receivers(hmac_key, secret)
    with receivers(answers) as urls, http_server(answers.inside, INSIDE):
        with (
            running_service(data, allow_addresses=allow) as service,
            PeakMemory(service.worker().pid) as memory,
        ):
            tasks = ask_for_callbacks(service, urls)
            before_mb = memory.peak_mb
            time.sleep(WATCHED_S)
        show(asyncio.run(rows_of(data, tasks)))
    print(f"\nsignatures verified: {answers.verified}, by both schemes; requests that came to {INSIDE}:", end=" ")
    print(f"{answers.seen_inside}; of the body of 1 GB, {answers.body_sent / 1e6:.0f} MB left the receiver;", end=" ")
    print(f"the worker's memory: {before_mb:.0f} MB at most while it worked, {memory.peak_mb:.0f} MB in all")


async def whole_schedule(folder: Path) -> None:
    clock = ManualClock(int(time.time()) * 1000)
    allow = (ipaddress.ip_network(f"{RECEIVERS}/32"),)
    context = Context(Settings(data_dir=folder / "own", allow_addresses=allow), clock)
    await context.database.upgrade()
    token = await create_key(context, "chaos")
    key = await context.store.keys.find(context.secrets.key_digest(token))
    assert key is not None
    deliverer = Deliverer(context)
    states = [500] * (1 + len(RETRY_DELAYS_S)) + [500, 200]  # a dead letter, sent again

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        answer(handler, states.pop(0))

    with http_server(respond, RECEIVERS) as base:
        task_id = await finished_task(context, key, base)

        async def until_settled() -> str:
            while True:
                record = await context.store.tasks.record(task_id)
                assert record is not None
                assert record.outbox is not None
                if record.outbox.state != "pending":
                    return str(record.outbox.state)
                clock.advance(max(0.0, (record.outbox.due_ms - clock.now_ms()) / 1000) + 0.001)
                await deliverer.deliver_due()

        dead = await until_settled()
        given_up = len(await attempts(context, task_id))
        await context.store.outbox.redeliver(task_id)
        state = await until_settled()
    rows = await attempts(context, task_id)
    show({f"500, always ({dead})": (rows[:given_up], dead), "the same, sent again": (rows[given_up:], state)})
    await context.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        print("The service and its receivers, in real time:\n")
        against_the_service(Path(name))
        print("\nThe whole schedule, with a clock that is moved:\n")
        asyncio.run(whole_schedule(Path(name)))


if __name__ == "__main__":
    main()
