"""Whether a key may have another task now, and what that costs it: decided in the transaction that makes the task.

The key's row is locked first, so that requests at the same moment cannot pass a limit together.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from service.db.models import LIVE, ApiKey, CreditEntry, Task, TaskKind
from service.errors import PaymentRequired, TooManyRequests
from service.prices import Price, credits

_IN_FLIGHT_RETRY_S = 5  # nobody knows when a task ends; a client that looks every 5 s does no harm


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for keys that have no limits of their own; 0 is no limit.

    Attributes:
        rate_tasks, rate_seconds: a bucket of so many tasks, which fills up in so many seconds.
        in_flight: tasks of one key that are queued or running.
        prices: of every kind of task.
    """

    rate_tasks: int
    rate_seconds: int
    in_flight: int
    prices: Mapping[TaskKind, Price]


async def locked_key(session: AsyncSession, key_id: str) -> ApiKey:
    """The key's row; until the transaction ends nobody else gets it this way (on SQLite, nobody writes at all).

    Who locks several does so in the order of their ids.  Rows that only refer to the key can be added meanwhile.
    """
    query = sa.select(ApiKey).where(ApiKey.id == key_id).with_for_update(key_share=True)
    query = query.execution_options(populate_existing=True)
    return (await session.scalars(query)).one()


async def admit(session: AsyncSession, key: ApiKey, task: Task, limits: Limits, now_ms: int) -> None:
    """Let the key, which is locked, have this new task, and charge what is known of its price.

    Raises:
        TooManyRequests: too many tasks in too short a time, or at once.
        PaymentRequired: the credits that are left do not suffice.
    """
    await _check_in_flight(session, key, limits)
    take_token(key, limits, now_ms)
    _charge(session, key, task, limits.prices[TaskKind(task.kind)].of(task.audio_s), now_ms)


async def charge_for_length(session: AsyncSession, task: Task, audio_s: float, limits: Limits, now_ms: int) -> None:
    """Charge what the length of a task's audio, known only now, adds to its price.

    Raises:
        PaymentRequired: the credits that are left do not suffice.
    """
    price = limits.prices[TaskKind(task.kind)].of(audio_s)
    if price > task.credits:
        key = await locked_key(session, task.key_id)
        _charge(session, key, task, price - task.credits, now_ms)


async def refund(session: AsyncSession, task_id: str, now_ms: int) -> None:
    """Give back what was spent on a task that came to nothing."""
    task = await session.get(Task, task_id, populate_existing=True)
    if task is None or not task.credits:
        return
    key = await locked_key(session, task.key_id)
    key.credits_spent -= task.credits
    session.add(_entry(task, -task.credits, now_ms))
    task.credits = 0


async def _check_in_flight(session: AsyncSession, key: ApiKey, limits: Limits) -> None:
    most = limits.in_flight if key.in_flight_limit is None else key.in_flight_limit
    if not most:
        return
    live = sa.select(sa.func.count()).where(Task.key_id == key.id, Task.status.in_(LIVE))
    if (await session.scalar(live) or 0) >= most:
        raise TooManyRequests(f"This key has {most} tasks in flight, which is its limit.", _IN_FLIGHT_RETRY_S)


def take_token(key: ApiKey, limits: Limits, now_ms: int) -> None:
    """Take a token from the key's bucket: ``bucket_full_us`` moves on by the time that one takes to come back.

    In whole microseconds: a float of that size is off by a tenth of one, and after some tokens by a whole token.

    Raises:
        TooManyRequests: it is empty.
    """
    size = limits.rate_tasks if key.rate_limit is None else key.rate_limit
    if not size:
        return
    now_us, fills_in_us = now_ms * 1000, limits.rate_seconds * 1_000_000
    full_us = max(key.bucket_full_us, now_us) + fills_in_us // size
    late_us = full_us - now_us - fills_in_us
    if late_us > 0:
        retry_after_s = math.ceil(late_us / 1_000_000)
        raise TooManyRequests(
            f"More than {size} new tasks in {limits.rate_seconds} s, this key's limit.", retry_after_s
        )
    key.bucket_full_us = full_us


def _charge(session: AsyncSession, key: ApiKey, task: Task, amount: int, now_ms: int) -> None:
    if amount == 0:
        return
    if key.credit_limit is not None and key.credits_spent + amount > key.credit_limit:
        left = max(key.credit_limit - key.credits_spent, 0)
        raise PaymentRequired(f"Not enough credits: this takes {credits(amount)}, and {credits(left)} are left.")
    key.credits_spent += amount
    task.credits += amount
    session.add(_entry(task, amount, now_ms))


def _entry(task: Task, amount: int, now_ms: int) -> CreditEntry:
    return CreditEntry(
        id=uuid.uuid4().hex, key_id=task.key_id, task_id=task.id, kind=task.kind, amount=amount, created_ms=now_ms
    )
