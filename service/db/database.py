"""Connections and transactions, the same on SQLite and Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import migrations

_BUSY_TIMEOUT_MS = 15_000
_WRITES = "stemscribe_writes"


class Database:
    """One engine, two ways in: :meth:`read` and :meth:`write`, each one transaction.

    On SQLite a write begins with ``BEGIN IMMEDIATE``: a transaction that starts as a reader and then wants to
    write cannot wait for its turn, it fails at once.  WAL keeps readers and the one writer out of each other's way;
    ``synchronous=FULL`` because nothing that was accepted may be lost.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._engine = create_async_engine(url, pool_pre_ping=not self.is_sqlite)
        if self.is_sqlite:
            sa.event.listen(self._engine.sync_engine, "connect", _sqlite_on_connect)
            sa.event.listen(self._engine.sync_engine, "begin", _sqlite_on_begin)
        self._reads = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writes = async_sessionmaker(self._engine.execution_options(**{_WRITES: True}), expire_on_commit=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session whose reads see one state of the database."""
        async with self._reads() as session, session.begin():
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session that commits on leaving, or rolls back when an exception passes."""
        async with self._writes() as session, session.begin():
            yield session

    async def upgrade(self) -> None:
        """Bring the schema to the newest migration."""
        url = make_url(self.url)
        if self.is_sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(command.upgrade, alembic_config(self.url), "head")

    async def at_head(self) -> bool:
        """Whether the schema is the one this code was written for."""
        head = ScriptDirectory.from_config(alembic_config(self.url)).get_current_head()
        async with self._engine.connect() as connection:
            current = await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
        return current == head

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database address; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = url
    return config


def _sqlite_on_connect(connection: DBAPIConnection, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own: see _sqlite_on_begin
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_on_begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
