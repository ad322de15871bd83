"""Connections and transactions, the same on SQLite and Postgres."""

import functools
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

import migrations

_BUSY_TIMEOUT_MS = 15_000
_WRITE_TURN_S = 60.0
_WAL_RETRY_S = 0.02
# A transaction in which nothing happens for so long: its process is frozen, or its machine gone, and its locks stand.
_LEFT_OPEN_MS = 60_000
_SLOW_S = 5.0  # for a transaction, which takes milliseconds; few hold locks while S3 deletes something
_CONNECT_TIMEOUT_S = 10.0  # a server that is cut off answers nothing at all
# PostgreSQL's classes of errors: connection exception, insufficient resources, operator intervention (57P01 and on:
# shutting down, crashed, starting up), system error.
_AWAY_STATES = ("08", "53", "57P", "58")
_NOT_MIGRATED_STATES = ("42P01", "42703")  # no such table or column: `stemscribe db upgrade` is still to come
_AWAY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
_MIGRATION_LOCK = 0x57454D53  # any number that no other user of the database takes


class Database:
    """One engine, two ways in: :meth:`read` and :meth:`write`, each one transaction.

    On SQLite a write begins with ``BEGIN IMMEDIATE``: a transaction that starts as a reader and then wants to
    write cannot wait for its turn, it fails at once.  WAL keeps readers and the one writer out of each other's way;
    ``synchronous=FULL`` because nothing that was accepted may be lost; a write that may be says so.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._engine = _sqlite_engine(url, "BEGIN")
            # Writes of one kind wait for their turn here, in order, and not by trying again and again inside SQLite.
            # There one write of each kind still contends with the other, and with those of other processes.
            one: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": _WRITE_TURN_S}
            self._writer = _sqlite_engine(url, "BEGIN IMMEDIATE", **one)
            self._relaxed_writer = _sqlite_engine(url, "BEGIN IMMEDIATE", "NORMAL", **one)
        else:
            left_open = {"idle_in_transaction_session_timeout": str(_LEFT_OPEN_MS)}
            options = {"timeout": _CONNECT_TIMEOUT_S, "server_settings": left_open}
            self._engine = create_async_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=options)
            sa.event.listen(self._engine.sync_engine, "do_connect", _connect)
            self._writer = self._relaxed_writer = self._engine
        self._away_s = float("-inf")
        self._under_way: dict[object, float] = {}  # transactions, and when they began
        # One state for a whole transaction: SQLite's have that anyway, and Postgres begins them so at no further cost.
        reader = self._engine if self.is_sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._reads, self._durable_writes, self._relaxed_writes = (
            async_sessionmaker(engine, expire_on_commit=False)
            for engine in (reader, self._writer, self._relaxed_writer)
        )

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session whose reads see one state of the database."""
        with self._noticing():
            async with self._reads() as session, session.begin():
                yield session

    @asynccontextmanager
    async def write(self, *, durable: bool = True) -> AsyncIterator[AsyncSession]:
        """A session that commits on leaving, or rolls back when an exception passes.

        Args:
            durable: whether the commit waits for the disk.  One that does not is lost in a power cut, unless a later
                one that does was made; it is never lost with the process alone.
        """
        sessions = self._durable_writes if durable else self._relaxed_writes
        with self._noticing():
            async with sessions() as session, session.begin():
                if not durable and not self.is_sqlite:
                    await session.execute(sa.text("SET LOCAL synchronous_commit = off"))
                yield session

    def away_s_ago(self) -> float:
        """How long it is since this process last found the server away, in seconds; infinite if it never did.

        One that does not come to an answer counts as away: its disk stalls, say, or its machine is being moved.
        """
        now_s = time.monotonic()
        oldest_s = min(self._under_way.values(), default=now_s)
        return 0.0 if now_s - oldest_s > _SLOW_S else now_s - self._away_s

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        transaction, began_s = object(), time.monotonic()
        self._under_way[transaction] = began_s
        try:
            yield
        except Exception as error:
            if is_away(error):
                self._away_s = time.monotonic()
            raise
        finally:
            del self._under_way[transaction]
            if time.monotonic() - began_s > _SLOW_S:
                self._away_s = time.monotonic()

    async def upgrade(self) -> None:
        """Bring the schema to the newest migration.

        One transaction under a lock: killed in the middle it leaves nothing behind, and of several processes that
        start at once the first migrates and the others find it done.
        """
        url = make_url(self.url)
        if self.is_sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        async with self._writer.begin() as connection:
            if not self.is_sqlite:  # there, beginning to write is the lock
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await connection.run_sync(_upgrade)

    async def now_ms(self) -> int:
        """The server's clock, in Unix milliseconds; of SQLite, this machine's."""
        if self.is_sqlite:
            return time.time_ns() // 1_000_000
        async with self._engine.connect() as connection:
            now = sa.select(sa.func.extract("epoch", sa.func.clock_timestamp()) * 1000)
            return int((await connection.execute(now)).scalar_one())

    async def at_head(self) -> bool:
        """Whether the schema is the one this code was written for."""
        return await self.revision() == newest_revision()

    async def is_usable(self) -> bool:
        """Whether the schema is this code's, or one of a version to come, with which it goes on."""
        revision = await self.revision()
        return revision == newest_revision() or (revision is not None and revision not in known_revisions())

    async def revision(self) -> str | None:
        """The migration that the schema is at; None where there is none yet."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())

    async def close(self) -> None:
        """Close every connection."""
        for engine in {self._engine, self._writer, self._relaxed_writer}:
            await engine.dispose()


def _alembic_config() -> Config:
    """Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config


def is_unmigrated(error: BaseException) -> bool:
    """Whether an error tells that tables or columns are not there yet."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _NOT_MIGRATED_STATES


def is_away(error: BaseException) -> bool:
    """Whether an error tells that the database cannot be used just now, and not that the statement was wrong.

    Not reached, stopped in the middle, starting, out of connections; for SQLite, locked for too long, or its disk full.
    """
    if isinstance(error, PoolTimeout):  # every connection of the pool is in use for too long
        return True
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if error.connection_invalidated or str(getattr(cause, "sqlstate", None) or "").startswith(_AWAY_STATES):
        return True
    if isinstance(error, InterfaceError):  # the connection was closed under it, unless a value was wrong
        return not isinstance(cause.__cause__ if cause else None, ValueError)
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _AWAY_CODES


@functools.cache
def newest_revision() -> str | None:
    """The migration this code was written for."""
    return ScriptDirectory.from_config(_alembic_config()).get_current_head()


def known_revisions() -> set[str]:
    """Every migration that this code has."""
    return {script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()}


def _upgrade(connection: sa.Connection) -> None:
    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _connect(dialect: Dialect, _record: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> DBAPIConnection:
    """Connect; whatever goes wrong with that is an error of the database, and callers know SQLAlchemy's errors only."""
    try:
        return dialect.connect(*arguments, **options)
    except Exception as error:
        raise OperationalError("connect", None, error, connection_invalidated=True) from error


def _sqlite_engine(url: str, begin: str, synchronous: str = "FULL", **pool: Any) -> AsyncEngine:
    """An engine whose transactions begin with ``begin``, on connections that sync as told."""
    engine = create_async_engine(url, hide_parameters=True, **pool)
    pragmas = (f"busy_timeout={_BUSY_TIMEOUT_MS}", f"synchronous={synchronous}", "foreign_keys=ON")

    def on_connect(connection: DBAPIConnection, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions on its own: see on_begin
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        _write_ahead(cursor)
        cursor.close()

    def on_begin(connection: sa.Connection) -> None:
        # By the driver itself: each of a cursor's three steps would be a trip to the connection's thread and back.
        adapted: Any = connection.connection.dbapi_connection
        try:
            adapted.run_async(lambda driver: driver.execute(begin))
        except sqlite3.OperationalError as error:  # locked for too long, say; callers know SQLAlchemy's errors only
            raise OperationalError(begin, None, error) from error

    sa.event.listen(engine.sync_engine, "connect", on_connect)
    sa.event.listen(engine.sync_engine, "begin", on_begin)
    return engine


def _write_ahead(cursor: Any) -> None:
    """Put the database into WAL mode, once in its life.

    SQLite does not wait for others here, whatever the timeout says, and they may be doing the same on a new database.
    """
    deadline_s = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(_WAL_RETRY_S)
