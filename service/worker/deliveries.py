"""Callbacks: delivered at least once, on a patient schedule, every attempt a row.

The same event keeps the same id (``webhook-id``) however often it is sent, so that a receiver can drop repeats.
"""

import asyncio
import email.utils
import logging
import random
from dataclasses import dataclass

import httpx

from service.context import Context
from service.db.models import Outbox, OutboxState
from service.errors import ServiceError
from service.kie.present import callback_body
from service.net.transport import vetted_client

_log = logging.getLogger(__name__)

TIMEOUT_S = 15.0
# Seconds from one attempt to the next (contract 1.11); after the last the callback is given up.
RETRY_DELAYS_S = (5, 60, 300, 1800, 7200, 18_000, 36_000)
_JITTER = 0.1  # so that receivers that were down are not hit by everything at once
_MAX_RETRY_AFTER_S = 24 * 3600
_HOLD_MS = 60_000  # longer than an attempt can take
_BATCH = 8
_MAX_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt."""

    status_code: int | None
    error: str | None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver answered with a 2xx status."""
        return self.status_code is not None and 200 <= self.status_code < 300


class Deliverer:
    """Sends what the outbox owes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._random = random.Random()  # noqa: S311 (jitter, not a secret)

    async def deliver_due(self) -> int:
        """Try every callback that is due now, several at a time; returns how many were tried."""
        due = await self._context.store.outbox.claim(_BATCH, _HOLD_MS)
        await asyncio.gather(*(self._deliver(item) for item in due))
        return len(due)

    async def _deliver(self, outbox: Outbox) -> None:
        started_ms = self._context.clock.now_ms()
        attempt = await self._send(outbox)
        state, due_ms = self._next(outbox, attempt)
        await self._context.store.outbox.settle(
            outbox,
            state=state,
            due_ms=due_ms,
            started_ms=started_ms,
            status_code=attempt.status_code,
            error=attempt.error,
        )
        _log.info(
            "callback %s of task %s: attempt %d, %s, %s",
            outbox.id, outbox.task_id, outbox.attempts, attempt.error or attempt.status_code, state,
        )  # fmt: skip

    async def _send(self, outbox: Outbox) -> Attempt:
        record = await self._context.store.tasks.record(outbox.task_id)
        if record is None:
            return Attempt(None, "the task has expired")
        body = callback_body(record, self._context.links)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": outbox.id,
            "webhook-timestamp": str(self._context.clock.now_ms() // 1000),
        }
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                vetted_client(self._context.settings.allow_addresses, TIMEOUT_S) as client,
                client.stream("POST", outbox.url, content=body, headers=headers) as response,
            ):
                error = None if response.is_success else f"HTTP status {response.status_code}"
                return Attempt(response.status_code, error, _retry_after_s(response, self._context.clock.now_ms()))
        except TimeoutError:
            return Attempt(None, f"no answer within {TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ServiceError, OSError) as error:
            return Attempt(None, (str(error) or type(error).__name__)[:_MAX_ERROR_LENGTH])

    def _next(self, outbox: Outbox, attempt: Attempt) -> tuple[OutboxState, int]:
        """Where the callback stands after an attempt, and when it is due again (Unix milliseconds)."""
        now = self._context.clock.now_ms()
        if attempt.delivered:
            return OutboxState.DELIVERED, now
        if attempt.status_code == httpx.codes.GONE or outbox.attempts > len(RETRY_DELAYS_S):
            return OutboxState.DEAD, now
        delay_s = RETRY_DELAYS_S[outbox.attempts - 1] * self._random.uniform(1, 1 + _JITTER)
        return OutboxState.PENDING, now + int(1000 * max(delay_s, attempt.retry_after_s or 0))


def _retry_after_s(response: httpx.Response, now_ms: int) -> float | None:
    """The Retry-After header in seconds, whether it is a number or a date; None when absent or unreadable."""
    value = response.headers.get("retry-after", "")
    if value.isdigit():
        return float(min(int(value), _MAX_RETRY_AFTER_S))
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(0.0, when.timestamp() - now_ms / 1000), _MAX_RETRY_AFTER_S)
