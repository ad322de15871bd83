"""Telling workers that a task is due, so that they need not look for it all the time.

Only a bell: nothing is lost when nobody hears it.  Workers look into the database now and then in any case, and a bell
that was missed is rung again for as long as its task is due.
"""

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any, Protocol

_log = logging.getLogger(__name__)

JOB = "attend"  # the name of the arq job; its one argument is the task's id
_RING_TIMEOUT_S = 2.0
_RINGS_AT_ONCE = 8  # each has a connection for its time, and the server many clients
_BELL_EXPIRES_S = 3600
_LONG_AGO = datetime.fromtimestamp(1, UTC)
_QUIET_S = 60.0  # between two complaints about the same outage


class Doorbell(Protocol):
    """Where tasks that are due are told of."""

    def ring(self, queue: str, task_id: str) -> None:
        """Tell the workers of a queue, without waiting for anything; that it failed is nobody's concern."""

    async def is_up(self) -> bool:
        """Whether it can be rung."""

    async def close(self) -> None:
        """Let go of what it holds."""


class NoDoorbell:
    """For workers that look into the database often enough."""

    def ring(self, queue: str, task_id: str) -> None:
        """Nobody listens."""

    async def is_up(self) -> bool:
        """Nothing is missing."""
        return True

    async def close(self) -> None:
        """Holds nothing."""


class ArqDoorbell:
    """An arq job for each task that is due: its id, and nothing else.

    Args:
        url: address of the Redis server.

    Attributes:
        redis: its connections.
    """

    def __init__(self, url: str) -> None:
        from arq.connections import ArqRedis
        from redis.asyncio import ConnectionPool

        pool = ConnectionPool.from_url(
            url, socket_timeout=_RING_TIMEOUT_S, socket_connect_timeout=_RING_TIMEOUT_S, health_check_interval=30
        )
        self.redis = ArqRedis(
            pool, job_serializer=encode_job, job_deserializer=decode_job, expires_extra_ms=_BELL_EXPIRES_S * 1000
        )
        self._rings: set[asyncio.Task[None]] = set()
        self._few = asyncio.Semaphore(_RINGS_AT_ONCE)
        self._complained_s = float("-inf")

    def ring(self, queue: str, task_id: str) -> None:
        """Tell the workers of a queue, without waiting for anything; that it failed is nobody's concern."""
        ringing = asyncio.get_running_loop().create_task(self._ring(queue, task_id))
        self._rings.add(ringing)
        ringing.add_done_callback(self._rings.discard)

    async def is_up(self) -> bool:
        """Whether Redis answers."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(_RING_TIMEOUT_S):
                return bool(await self.redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        """Let the last rings be heard, and leave."""
        if self._rings:
            await asyncio.wait(self._rings, timeout=_RING_TIMEOUT_S)
        await self.redis.aclose(close_connection_pool=True)

    async def _ring(self, queue: str, task_id: str) -> None:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(_RING_TIMEOUT_S), self._few:
                # The same id as long as the ring is not answered: who rings again adds nothing.  Due long ago: by the
                # clock of this machine, a worker whose own is behind would not hear it before that has come so far.
                await self.redis.enqueue_job(
                    JOB,
                    task_id,
                    _queue_name=arq_queue(queue),
                    _job_id=f"{queue}:{task_id}",
                    _defer_until=_LONG_AGO,
                    _expires=_BELL_EXPIRES_S,
                )
        except (RedisError, OSError, TimeoutError) as error:
            now_s = asyncio.get_running_loop().time()
            if now_s > self._complained_s + _QUIET_S:
                self._complained_s = now_s
                _log.warning("Redis does not answer (%s); workers look into the database all the same", error)


def arq_queue(queue: str) -> str:
    """The name of a queue's arq queue."""
    return f"stemscribe:{queue}"


def encode_job(job: dict[str, Any]) -> bytes:
    """As JSON: arq's own pickles would run whatever whoever reaches Redis put into them."""
    return json.dumps(job, default=str).encode()


def decode_job(data: bytes) -> dict[str, Any]:
    """See :func:`encode_job`."""
    job: dict[str, Any] = json.loads(data)
    return job


def open_doorbell(redis_url: str) -> Doorbell:
    """The doorbell that the settings ask for."""
    return ArqDoorbell(redis_url) if redis_url else NoDoorbell()
