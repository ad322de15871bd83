"""What every part of a running service needs, built once per process."""

import asyncio
from datetime import timedelta

from service.clock import Clock, DatabaseClock, SystemClock
from service.db.database import Database
from service.doorbell import open_doorbell
from service.keeper import FileKeeper
from service.links import Links
from service.secrets import load_secrets
from service.settings import Settings
from service.storage import open_storage
from service.storage.source_buckets import SourceBuckets
from service.store import Store


class Context:
    """The settings and the adapters made from them; making one opens them, but touches no schema.

    Args:
        settings: where everything is.
        clock: the machine's own, where none is given.

    Raises:
        SettingsError: the data folder cannot be used.

    Attributes:
        stopping: set when the process is to end; answers that have no end of their own end then.
        serves_models: whether weights must be on this machine; not where only the API runs.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.storage = open_storage(settings)  # first: it tells a folder that cannot be used by its setting
        self.source_buckets = SourceBuckets(settings)
        self.database = Database(settings.resolved_database_url)
        self.clock = clock or (SystemClock() if self.database.is_sqlite else DatabaseClock(self.database.now_ms))
        self.doorbell = open_doorbell(settings.redis_url)
        self.store = Store.over(self.database, self.clock, settings, self.doorbell)
        self.files = FileKeeper(self.store.files, self.storage, timedelta(days=settings.retention_days))
        self.secrets = load_secrets(settings)
        self.links = Links(settings.resolved_public_url, self.secrets)
        self.stopping = asyncio.Event()
        self.serves_models = True
        self._keeping_time: asyncio.Task[None] | None = None

    async def set_clock(self) -> None:
        """Set the clock by the database's, where that is the one that rules; fails while the database is away."""
        if isinstance(self.clock, DatabaseClock):
            await self.clock.sync()

    async def start(self) -> None:
        """Keep the clock by the database's until :meth:`close`; for processes that stay."""
        if isinstance(self.clock, DatabaseClock) and self._keeping_time is None:
            self._keeping_time = asyncio.create_task(self.clock.keep())

    async def close(self) -> None:
        """Close what was opened."""
        if self._keeping_time is not None:
            self._keeping_time.cancel()
            await asyncio.gather(self._keeping_time, return_exceptions=True)
        await self.doorbell.close()
        await self.storage.close()
        await self.database.close()
