"""Commands for API keys."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from service.context import Context
from service.keys import create_key
from service.settings import load_settings

T = TypeVar("T")


def _with_context(do: Callable[[Context], Awaitable[T]]) -> T:
    """Run something over the service's database, which is created or migrated first."""

    async def run() -> T:
        context = Context(load_settings())
        try:
            await context.database.upgrade()
            return await do(context)
        finally:
            await context.close()

    return asyncio.run(run())


@click.group()
def keys() -> None:
    """API keys; only their digests are stored."""


@keys.command("create")
@click.argument("name")
def keys_create(name: str) -> None:
    """Create a key and print it, alone, on standard output."""
    click.echo(_with_context(lambda context: create_key(context, name)))


@keys.command("list")
def keys_list() -> None:
    """List the keys."""
    rows = _with_context(lambda context: context.store.keys.list())
    table = Table("id", "name", "key", "created", "last used", "revoked")
    for row in rows:
        times = (row.created_ms, row.last_used_ms, row.revoked_ms)
        table.add_row(row.id, row.name, f"{row.hint}…", *map(_time, times))
    Console().print(table)


@keys.command("revoke")
@click.argument("key")
def keys_revoke(key: str) -> None:
    """Revoke a key by its id or name."""
    revoked = _with_context(lambda context: context.store.keys.revoke(key))
    if not revoked:
        raise click.ClickException(f"No live key has the id or name {key!r}; `stemscribe keys list` shows them.")
    click.echo(f"{revoked} key(s) revoked.", err=True)


def _time(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
