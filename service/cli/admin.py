"""Commands for whoever runs the service: serve, keys, doctor."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from service.cli.models import ensure_models
from service.context import Context
from service.doctor import examine
from service.keys import create_key
from service.logs import configure_logging
from service.models import needed_models
from service.serve import serve as run_service
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


@click.command()
@click.option("--host", help="Address to listen on (STEMSCRIBE_HOST).")
@click.option("--port", type=int, help="Port to listen on, 0 for a free one (STEMSCRIBE_PORT).")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Data folder (STEMSCRIBE_DATA_DIR).")
def serve(host: str | None, port: int | None, data_dir: str | None) -> None:
    """Run the service: API and worker, with an embedded database."""
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    ensure_models(settings, needed_models(settings))
    configure_logging()
    asyncio.run(run_service(settings, announce=lambda line: click.echo(line)))


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


@click.command()
def doctor() -> None:
    """Say what is there and what is missing: weights, ffmpeg, processor or GPU, database."""
    findings = asyncio.run(examine(load_settings()))
    for finding in findings:
        mark = click.style("ok     ", fg="green") if finding.good else click.style("missing", fg="red")
        click.echo(f"{mark} {finding.what}: {finding.detail}")
    if not all(finding.good for finding in findings):
        raise SystemExit(1)
