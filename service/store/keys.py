"""API keys: only a keyed digest is stored, so a stolen database opens nothing."""

import logging
import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.clock import Clock
from service.db.database import Database
from service.db.models import ApiKey

_log = logging.getLogger(__name__)

_LAST_USED_RESOLUTION_MS = 60_000  # a write per request would make every poll wait for the database's one writer


class KeyStore:
    """Creates, finds and revokes keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, name: str, digest: str, hint: str) -> ApiKey:
        """Store a key's digest; ``hint`` is the part of the key that may be shown."""
        key = ApiKey(
            id=uuid.uuid4().hex,
            name=name,
            digest=digest,
            hint=hint,
            created_ms=self._clock.now_ms(),
            last_used_ms=None,
            revoked_ms=None,
        )
        async with self._database.write() as session:
            session.add(key)
        return key

    async def list(self) -> Sequence[ApiKey]:
        """Every key, oldest first, revoked ones included."""
        async with self._database.read() as session:
            return (await session.scalars(sa.select(ApiKey).order_by(ApiKey.created_ms))).all()

    async def find(self, digest: str) -> ApiKey | None:
        """The live key with this digest; notes, to the minute, that it was used."""
        async with self._database.read() as session:
            key = await session.scalar(sa.select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_ms.is_(None)))
        now = self._clock.now_ms()
        if key is not None and (key.last_used_ms or 0) < now - _LAST_USED_RESOLUTION_MS:
            try:
                async with self._database.write() as session:
                    await session.execute(sa.update(ApiKey).where(ApiKey.id == key.id).values(last_used_ms=now))
            except SQLAlchemyError:  # a busy database must not turn a good key away
                _log.warning("could not note when key %s was used", key.id, exc_info=True)
        return key

    async def revoke(self, key_id_or_name: str) -> int:
        """Revoke by id or name; returns how many keys that was."""
        async with self._database.write() as session:
            result = await session.execute(
                sa.update(ApiKey)
                .where(sa.or_(ApiKey.id == key_id_or_name, ApiKey.name == key_id_or_name), ApiKey.revoked_ms.is_(None))
                .values(revoked_ms=self._clock.now_ms())
            )
            return int(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult, as every UPDATE gives
