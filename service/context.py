"""What every part of a running service needs, built once per process."""

import asyncio

from service.clock import Clock, SystemClock
from service.db.database import Database
from service.links import Links
from service.secrets import load_secrets
from service.settings import Settings
from service.storage import LocalStorage
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
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.storage = LocalStorage(settings.data_dir)  # first: it tells a folder that cannot be used by its setting
        self.database = Database(settings.resolved_database_url)
        self.store = Store.over(self.database, self.clock, settings)
        self.secrets = load_secrets(settings)
        self.links = Links(settings.resolved_public_url, self.secrets)
        self.stopping = asyncio.Event()

    async def close(self) -> None:
        """Close what was opened."""
        await self.database.close()
