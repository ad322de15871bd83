"""Commands for the database's schema, which several processes share."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from alembic.util.exc import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from service.db.database import Database, known_revisions, newest_revision
from service.settings import load_settings

T = TypeVar("T")

_UPGRADE = "run `stemscribe db upgrade`"


@click.group()
def db() -> None:
    """The database's schema: bring it to this version's, or see whether it is."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to the newest migration; done already, nothing changes.

    Processes of the version before go on working with it. `stemscribe serve` does this by itself.
    """
    before, after = _over(_upgrade)
    if before == after:
        click.echo(f"The schema is at migration {after} already.")
    else:
        click.echo(f"The schema was {_named(before)}, and is at migration {after} now.")


@db.command("check")
def db_check() -> None:
    """Succeed only when the schema is at the newest migration; else say what is wrong."""
    revision = _over(_revision)
    newest = newest_revision()
    if revision != newest:
        raise click.ClickException(f"The schema is {_named(revision)}, and {newest} is the newest: {_UPGRADE}.")
    click.echo(f"The schema is at migration {newest}, the newest.")


async def _upgrade(database: Database) -> tuple[str | None, str | None]:
    before = await _revision(database)
    await database.upgrade()
    return before, await database.revision()


async def _revision(database: Database) -> str | None:
    """Where the schema is, if this version knows that; a file of SQLite's that is not there is empty."""
    if database.is_sqlite and not await asyncio.to_thread(Path(make_url(database.url).database or "").is_file):
        return None  # connecting would make it
    revision = await database.revision()
    if revision is not None and revision not in known_revisions():
        raise click.ClickException(
            f"The schema is at migration {revision}, which this version does not know: a newer one made it. Run that."
        )
    return revision


def _over(do: Callable[[Database], Awaitable[T]]) -> T:
    """Do something with the database; that it cannot be used is told in one line."""
    url = load_settings().resolved_database_url

    async def run() -> T:
        database = Database(url)
        try:
            return await do(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, CommandError, OSError) as error:
        address = make_url(url).render_as_string(hide_password=True)
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise click.ClickException(f"The database {address} cannot be used: {reason}") from error


def _named(revision: str | None) -> str:
    return "empty" if revision is None else f"at migration {revision}"
