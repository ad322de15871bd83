"""A receiver of webhooks that checks both signatures of each."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks.webhooks import Webhook

from service.signatures import show_secret
from support.servers import answer, http_server

HMAC_KEY = "whk_tests_0001"
SECRET = bytes(range(32))
SETTINGS = {"webhook_hmac_key": HMAC_KEY, "webhook_secret": show_secret(SECRET)}
"""Settings of a service whose webhooks are to be checked."""
_PATIENCE_S = 30.0


@dataclass
class WebhookReceiver:
    """Takes webhooks, serves what clients say lies at some address.

    Attributes:
        base_url: its address.
        files: what a GET of each path is answered.
    """

    base_url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    _bodies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _problems: list[str] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request."""
        if handler.command == "GET":
            content = self.files.get(handler.path)
            answer(handler, 404 if content is None else 200, content or b"")
            return
        sent = json.loads(body)
        with self._came:
            self._problems += _problems(handler, sent["task_id"], body)
            self._bodies.setdefault(sent["task_id"], []).append(sent)
            self._came.notify_all()
        answer(handler, 200)

    def body(self, task_id: str, timeout_s: float = _PATIENCE_S) -> dict[str, Any]:
        """The one webhook of a task, once it has come; all that came were signed well."""
        with self._came:
            assert self._came.wait_for(lambda: task_id in self._bodies, timeout_s), f"no webhook of {task_id} came"
            assert not self._problems
            [sent] = self._bodies[task_id]
        return sent


def _problems(handler: BaseHTTPRequestHandler, task_id: str, body: bytes) -> list[str]:
    """What is wrong with a webhook's signatures and type."""
    headers, found = handler.headers, []
    timestamp = headers["X-Webhook-Timestamp"]
    digest = hmac.new(HMAC_KEY.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    if headers["X-Webhook-Signature"] != base64.b64encode(digest).decode():
        found.append("X-Webhook-Signature is wrong")
    if abs(int(timestamp) - time.time()) > 60:
        found.append(f"X-Webhook-Timestamp is {timestamp}")
    if headers["Content-Type"] != "application/json":
        found.append(f"Content-Type is {headers['Content-Type']}")
    Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    return found


@contextlib.contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """One on loopback."""
    receiver = WebhookReceiver()
    with http_server(receiver.take) as receiver.base_url:
        yield receiver
