"""API keys: only a keyed digest is stored, so a stolen database opens nothing."""

import logging
import time
import uuid
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.clock import Clock
from service.db.database import Database
from service.db.models import ApiKey, CreditEntry

_log = logging.getLogger(__name__)

_LAST_USED_RESOLUTION_MS = 60_000  # a write per request would make every poll wait for the database's one writer
# A client that polls asks for its key hundreds of times a second; one revoked elsewhere is refused after this long.
_CACHED_S = 1.0
_MAX_CACHED = 10_000


class KeyStore:
    """Creates, finds, changes and revokes keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._cache: dict[str, tuple[float, ApiKey]] = {}  # by digest, with the monotonic time it was read at

    async def create(self, name: str, digest: str, hint: str, limits: Mapping[str, int | None] | None = None) -> ApiKey:
        """Store a key's digest.

        Args:
            hint: the part of the key that may be shown.
            limits: those of :meth:`set_limits` that it is to have.
        """
        key = ApiKey(
            id=uuid.uuid4().hex,
            name=name,
            digest=digest,
            hint=hint,
            created_ms=self._clock.now_ms(),
            last_used_ms=None,
            revoked_ms=None,
            credits_spent=0,
            bucket_full_us=0,
            **(limits or {}),
        )
        async with self._database.write() as session:
            session.add(key)
        return key

    async def list(self) -> Sequence[ApiKey]:
        """Every key, oldest first, revoked ones included."""
        async with self._database.read() as session:
            return (await session.scalars(sa.select(ApiKey).order_by(ApiKey.created_ms))).all()

    async def get(self, key_id: str) -> ApiKey:
        """A key as it is now; of one that is known to exist."""
        async with self._database.read() as session:
            return await session.get_one(ApiKey, key_id)

    async def find(self, digest: str) -> ApiKey | None:
        """The live key with this digest, as of the last second; notes, to the minute, that it was used."""
        read_s, key = self._cache.get(digest, (0.0, None))
        if key is not None and time.monotonic() - read_s < _CACHED_S:
            return key
        now = self._clock.now_ms()
        rotated = sa.and_(ApiKey.previous_digest == digest, ApiKey.previous_until_ms > now)
        query = sa.select(ApiKey).where(sa.or_(ApiKey.digest == digest, rotated), ApiKey.revoked_ms.is_(None))
        async with self._database.read() as session:
            key = await session.scalar(query)
        if key is None:
            self._cache.pop(digest, None)
            return None
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[digest] = (time.monotonic(), key)
        if (key.last_used_ms or 0) < now - _LAST_USED_RESOLUTION_MS:
            await self._note_use(key, now)
        return key

    async def rotate(self, key_id_or_name: str, digest: str, hint: str, grace_ms: int) -> ApiKey | None:
        """Give a live key another token; the old one works for ``grace_ms`` more.

        Returns:
            None if there is not exactly one such key.
        """
        async with self._database.write() as session:
            keys = (await session.scalars(sa.select(ApiKey).where(*_named(key_id_or_name)))).all()
            if len(keys) != 1:
                return None
            [key] = keys
            key.previous_digest = key.digest if grace_ms > 0 else None
            key.previous_until_ms = self._clock.now_ms() + grace_ms
            key.digest, key.hint = digest, hint
        self._cache.clear()
        return key

    async def set_limits(self, key_id_or_name: str, limits: Mapping[str, int | None]) -> int:
        """Change limits of live keys: ``rate_limit``, ``in_flight_limit``, ``credit_limit``; None takes one away.

        Returns:
            How many keys that was.
        """
        values = {**limits, "bucket_full_us": 0} if "rate_limit" in limits else limits  # a new bucket is full
        async with self._database.write() as session:
            result = await session.execute(sa.update(ApiKey).where(*_named(key_id_or_name)).values(**values))
        return int(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult, as every UPDATE gives

    async def revoke(self, key_id_or_name: str) -> int:
        """Revoke by id or name; returns how many keys that was."""
        async with self._database.write() as session:
            result = await session.execute(
                sa.update(ApiKey).where(*_named(key_id_or_name)).values(revoked_ms=self._clock.now_ms())
            )
        self._cache.clear()
        return int(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult, as every UPDATE gives

    async def ledger(self, key_id: str) -> Sequence[CreditEntry]:
        """What was spent and given back, oldest first."""
        query = sa.select(CreditEntry).where(CreditEntry.key_id == key_id)
        async with self._database.read() as session:
            return (await session.scalars(query.order_by(CreditEntry.created_ms, CreditEntry.id))).all()

    async def _note_use(self, key: ApiKey, now_ms: int) -> None:
        try:
            async with self._database.write(durable=False) as session:
                await session.execute(sa.update(ApiKey).where(ApiKey.id == key.id).values(last_used_ms=now_ms))
            key.last_used_ms = now_ms
        except SQLAlchemyError:  # a busy database must not turn a good key away
            _log.warning("could not note when key %s was used", key.id, exc_info=True)


def _named(key_id_or_name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return sa.or_(ApiKey.id == key_id_or_name, ApiKey.name == key_id_or_name), ApiKey.revoked_ms.is_(None)
