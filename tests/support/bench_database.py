"""Databases for benches and simulations, on a server that runs outside pytest."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from service.db.database import Database


@contextlib.contextmanager
def migrated_database(server_url: str, setting: str = "") -> Iterator[str]:
    """A new database with the newest schema; gives its address, and drops it at the end.

    Args:
        setting: ``name = value``, of all its sessions.
    """
    name = f"bench_{uuid.uuid4().hex}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name}"))
    if setting:
        asyncio.run(_execute(server_url, f"ALTER DATABASE {name} SET {setting}"))
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    asyncio.run(migrate(url))
    try:
        yield url
    finally:
        asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def migrate(url: str) -> None:
    """Bring a database to the newest schema."""
    database = Database(url)
    await database.upgrade()
    await database.close()


async def _execute(url: str, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))
    await engine.dispose()
