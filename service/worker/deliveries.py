"""Callbacks: delivered at least once, on a patient schedule, every attempt a row.

The same event keeps the same id (``webhook-id``) however often it is sent, so that a receiver can drop repeats.  Every
attempt is signed anew, with its own time.  Of the answer the status and ``Retry-After`` count; its body is not read.
"""

import asyncio
import email.utils
import logging
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial

import httpx

from service import metrics
from service.callbacks import callback_body, shows_notes
from service.context import Context
from service.db.models import Outbox, OutboxState
from service.errors import ServiceError
from service.logs import about_fields
from service.net.transport import reason_of, vetted_client
from service.outages import log_failure
from service.store.outbox import origin
from service.worker.insist import insist

_log = logging.getLogger(__name__)

TIMEOUT_S = 15.0
# Seconds from one attempt to the next (contract 1.11); after the last the callback is given up.
RETRY_DELAYS_S = (5, 60, 300, 1800, 7200, 18_000, 36_000)
_JITTER = 0.1  # so that receivers that were down are not hit by everything at once
_MAX_RETRY_AFTER_S = 24 * 3600
_MAX_DIGITS = 9  # int() refuses thousands of them
_HOLD_MS = 60_000  # longer than an attempt can take
_POLL_S = 0.25
_POLL_AFTER_ERROR_S = 2.0
_MOST_AT_ONCE = 32
_MOST_PER_ORIGIN = 4  # so that a slow receiver, however much it is owed, leaves room for the others
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
    """Sends what the outbox owes, several callbacks at a time; a slow receiver holds up nobody else's."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._signer = context.secrets.signer(context.settings)
        self._random = random.Random()  # noqa: S311 (jitter, not a secret)
        self._running: dict[asyncio.Task[None], str] = {}  # attempts under way, and the origins they go to

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop, then wait for the attempts under way: some 15 s at most.

        Cancelled, it abandons them; their callbacks are due again when the hold ends.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                pause_s = _POLL_S
                try:
                    if await self._start_due():
                        continue  # there may be more
                except Exception as error:
                    pause_s = _POLL_AFTER_ERROR_S
                    log_failure(_log, "callbacks that are due could not be claimed", error)
                await asyncio.wait({stopping, *self._running}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            for task in (stopping, *self._running):
                task.cancel()

    async def deliver_due(self) -> int:
        """Try callbacks that are due now, as many as may be under way at once; returns how many were tried."""
        started = await self._start_due()
        if started:
            await asyncio.wait(started)
        return len(started)

    async def _start_due(self) -> list[asyncio.Task[None]]:
        """Claim what is due, as far as there is room, and begin to deliver it."""
        free = _MOST_AT_ONCE - len(self._running)
        if not free:
            return []
        claimed = await self._context.store.outbox.claim(
            free, _HOLD_MS, busy=Counter(self._running.values()), per_origin=_MOST_PER_ORIGIN
        )
        started = {asyncio.create_task(self._deliver(outbox)): origin(outbox.url) for outbox in claimed}
        self._running.update(started)
        for task in started:
            task.add_done_callback(self._running.pop)
        return list(started)

    async def _deliver(self, outbox: Outbox) -> None:
        with about_fields(task_id=outbox.task_id):
            await self._try(outbox)

    async def _try(self, outbox: Outbox) -> None:
        try:
            attempt = await self._attempt(outbox)
            state, due_ms = self._next(outbox, attempt)
            settle = partial(
                self._context.store.outbox.settle,
                outbox, state=state, due_ms=due_ms, status_code=attempt.status_code, error=attempt.error,
            )  # fmt: skip
            stands = await insist(settle)  # else what was delivered is sent again when the hold ends
        except Exception:  # the database's; the callback is due again when the hold ends
            _log.exception("callback %s: attempt %d is not recorded", outbox.id, outbox.attempts)
            return
        _log.info(
            "callback %s of task %s: attempt %d, %s, %s",
            outbox.id, outbox.task_id, outbox.attempts, attempt.error or attempt.status_code,
            state if stands else "overtaken by a later attempt or redelivery",
        )  # fmt: skip

    async def _attempt(self, outbox: Outbox) -> Attempt:
        try:
            attempt = await self._send(outbox)
        except TimeoutError as error:
            metrics.callback_attempted(error)
            return Attempt(None, f"no answer within {TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ServiceError, OSError) as error:
            metrics.callback_attempted(error)
            return Attempt(None, reason_of(error)[:_MAX_ERROR_LENGTH])
        except Exception as error:  # a callback that cannot even be tried must come to its end like any other
            metrics.callback_attempted(error)
            _log.exception("callback %s of task %s: attempt %d", outbox.id, outbox.task_id, outbox.attempts)
            return Attempt(None, f"unexpected error ({type(error).__name__})")
        if attempt.status_code is not None:
            metrics.callback_attempted(attempt.status_code)
        return attempt

    async def _send(self, outbox: Outbox) -> Attempt:
        record = await insist(partial(self._context.store.tasks.record, outbox.task_id, with_notes=shows_notes))
        if record is None:
            return Attempt(None, "the task has expired")
        body = callback_body(record, self._context.links)
        now_s = self._context.clock.now_ms() // 1000
        signed = self._signer.headers(event_id=outbox.id, task_id=outbox.task_id, body=body, timestamp_s=now_s)
        headers = {"Content-Type": "application/json", **signed}
        async with (
            asyncio.timeout(TIMEOUT_S),
            vetted_client(self._context.settings.allow_addresses, TIMEOUT_S, on_response=_forget_location) as client,
            client.stream("POST", outbox.url, content=body, headers=headers) as response,
        ):
            error = None if response.is_success else f"HTTP status {response.status_code}"
            return Attempt(response.status_code, error, _retry_after_s(response, self._context.clock.now_ms()))

    def _next(self, outbox: Outbox, attempt: Attempt) -> tuple[OutboxState, int]:
        """Where the callback stands after an attempt, and when it is due again (Unix milliseconds)."""
        now = self._context.clock.now_ms()
        if attempt.delivered:
            return OutboxState.DELIVERED, now
        tried = outbox.attempts - outbox.retries_from
        if attempt.status_code == httpx.codes.GONE or tried > len(RETRY_DELAYS_S):
            return OutboxState.DEAD, now
        delay_s = RETRY_DELAYS_S[tried - 1] * self._random.uniform(1, 1 + _JITTER)
        return OutboxState.PENDING, now + int(1000 * max(delay_s, attempt.retry_after_s or 0))


async def _forget_location(response: httpx.Response) -> None:
    """A redirect is a failure like any other; httpx would read where it leads, and fail itself where that is no URL."""
    response.headers.pop("location", None)


def _retry_after_s(response: httpx.Response, now_ms: int) -> float | None:
    """The Retry-After header in seconds, whether it is a number or a date; None when absent or unreadable."""
    value = response.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        seconds = int(value) if len(value) <= _MAX_DIGITS else _MAX_RETRY_AFTER_S
        return float(min(seconds, _MAX_RETRY_AFTER_S))
    try:
        when_s = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, when_s - now_ms / 1000), _MAX_RETRY_AFTER_S)
