"""Commands for API keys."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from service.clock import SystemClock
from service.context import Context
from service.db.models import ApiKey, CreditEntry
from service.keys import create_key, rotate_key
from service.prices import MILLI, credits
from service.settings import Settings, SettingsError, load_settings

T = TypeVar("T")

_GRACE_HOURS = 24  # long enough to give the new key to every client without one of them failing
_MAX_NAME_LENGTH = 100
_HOUR_MS = 3600 * 1000
_NUMBER = re.compile(r"[0-9]{1,9}")


def _number_or(word: str) -> Callable[[str], int | str]:
    """Reads a limit: a number, or the word for having none of one's own."""

    def read(text: str) -> int | str:
        if text == word:
            return word
        if not _NUMBER.fullmatch(text):
            raise click.BadParameter(f"{text!r} is neither a whole number from 0 to 999999999 nor {word!r}.")
        return int(text)

    return read


def _checked_name(name: str) -> str:
    """A key's name, which is to be read and typed."""
    if not (0 < len(name) <= _MAX_NAME_LENGTH and name.isprintable() and name == name.strip()):
        raise click.BadParameter(
            f"A name has 1 to {_MAX_NAME_LENGTH} printable characters, with no space at either end."
        )
    return name


async def _have_schema(context: Context) -> None:
    """Migrate where `stemscribe serve` would; a fleet's database is migrated when whoever runs it says so."""
    if context.database.is_sqlite:
        await context.database.upgrade()
    elif not await context.database.is_usable():
        raise SettingsError("The database's schema is not this version's: run `stemscribe db upgrade` first.")


def _with_context(do: Callable[[Context], Awaitable[T]]) -> T:
    """Run something over the service's database; the embedded one is created or migrated first."""

    async def run() -> T:
        context = Context(load_settings())
        try:
            await _have_schema(context)
            await context.set_clock()
            return await do(context)
        finally:
            await context.close()

    return asyncio.run(run())


async def _one(context: Context, id_or_name: str, *, revoked: bool = False) -> ApiKey:
    """The one key that an id or a name means: a live one, unless ``revoked`` ones are wanted too.

    Raises:
        click.ClickException: there is none, or there are several.
    """
    keys = [key for key in await context.store.keys.list() if revoked or key.revoked_ms is None]
    found = [key for key in keys if key.id == id_or_name] or [key for key in keys if key.name == id_or_name]
    if not found:
        live = "" if revoked else "live "
        raise click.ClickException(
            f"No {live}key has the id or name {id_or_name!r}; `stemscribe keys list` shows them."
        )
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise click.ClickException(f"{len(found)} keys have the name {id_or_name!r}; name one by its id: {ids}.")
    return found[0]


def _limits(rate: int | str | None, in_flight: int | str | None, credits: int | str | None) -> dict[str, int | None]:
    """Those limits that were given, as the store takes them."""
    given = {"rate_limit": rate, "in_flight_limit": in_flight, "credit_limit": credits}
    limits = {name: value if isinstance(value, int) else None for name, value in given.items() if value is not None}
    if (milli := limits.get("credit_limit")) is not None:
        limits["credit_limit"] = milli * MILLI
    return limits


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--credits", type=_number_or("none"), metavar="N|none",
            help="Credits it may spend in all; none: as many as it wants.",
        ),
        click.option(
            "--in-flight", type=_number_or("default"), metavar="N|default",
            help="Tasks queued or running at once; 0: no limit; default: STEMSCRIBE_MAX_TASKS_IN_FLIGHT.",
        ),
        click.option(
            "--rate", type=_number_or("default"), metavar="N|default",
            help="New tasks in each STEMSCRIBE_RATE_LIMIT_SECONDS; 0: no limit; default: STEMSCRIBE_RATE_LIMIT_TASKS.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """API keys: create, list, limit, rotate, revoke; only their digests are stored."""


@keys.command("create")
@click.argument("name", callback=lambda _, __, name: _checked_name(name))
@_limit_options
def keys_create(name: str, rate: int | str | None, in_flight: int | str | None, credits: int | str | None) -> None:
    """Create a key and print it, alone, on standard output.

    NAME is what other commands know it by: 1 to 100 characters, and no other live key's.
    """
    limits = _limits(rate, in_flight, credits)

    async def create(context: Context) -> str:
        live = (key for key in await context.store.keys.list() if key.revoked_ms is None)
        if taken := next((key for key in live if name in (key.id, key.name)), None):
            raise click.ClickException(
                f"A live key has the name {name!r} already ({taken.id}): take another, or revoke or rotate that one."
            )
        return await create_key(context, name, limits)

    click.echo(_with_context(create))


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def keys_list(as_json: bool) -> None:
    """List the keys: limits, credits, last use, and what became of them."""
    rows = _with_context(lambda context: context.store.keys.list())
    settings = load_settings()
    if as_json:
        click.echo(json.dumps({"keys": [_document(key) for key in rows]}))
        return
    if not rows:
        click.echo("There are no keys: `stemscribe keys create NAME` makes one.", err=True)
    for key in rows:
        click.echo(_shown(key, settings))


@keys.command("revoke")
@click.argument("key")
def keys_revoke(key: str) -> None:
    """Revoke a key by its id or name."""

    async def revoke(context: Context) -> ApiKey:
        found = await _one(context, key)
        await context.store.keys.revoke(found.id)
        return found

    revoked = _with_context(revoke)
    click.echo(f"{revoked.name} ({revoked.id}) is revoked.", err=True)


@keys.command("rotate")
@click.argument("key")
@click.option(
    "--grace", default=_GRACE_HOURS, show_default=True, type=click.IntRange(0, 24 * 366),
    help="Hours for which the old key still works; 0: not at all.",
)  # fmt: skip
def keys_rotate(key: str, grace: int) -> None:
    """Replace a key, named by its id or name, and print the new one, alone, on standard output.

    Limits, credits and tasks stay.  Rotated again, it forgets the older of its old keys at once.
    """

    async def rotate(context: Context) -> tuple[ApiKey, str | None]:
        found = await _one(context, key)
        return found, await rotate_key(context, found.id, grace * _HOUR_MS)

    found, token = _with_context(rotate)
    if token is None:
        raise click.ClickException(f"{found.name} ({found.id}) was revoked just now.")
    click.echo(token)
    until = f"still works for {grace} hours" if grace else "no longer works"
    click.echo(f"{found.name} ({found.id}): the old key {until}.", err=True)


@keys.command("limit")
@click.argument("key")
@_limit_options
def keys_limit(key: str, rate: int | str | None, in_flight: int | str | None, credits: int | str | None) -> None:
    """Change what a key, named by its id or name, may ask for."""
    limits = _limits(rate, in_flight, credits)
    if not limits:
        raise click.UsageError("Say what to change: --rate, --in-flight or --credits.")

    async def change(context: Context) -> ApiKey:
        found = await _one(context, key)
        await context.store.keys.set_limits(found.id, limits)
        return await context.store.keys.get(found.id)

    click.echo(_shown(_with_context(change), load_settings()), err=True)


@keys.command("ledger")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def keys_ledger(key: str, as_json: bool) -> None:
    """What a key, named by its id or name, spent and was given back, task by task."""

    async def read(context: Context) -> tuple[ApiKey, Sequence[CreditEntry]]:
        found = await _one(context, key, revoked=True)
        return found, await context.store.keys.ledger(found.id)

    found, entries = _with_context(read)
    if as_json:
        lines = [
            {
                "time": _iso(entry.created_ms),
                "task": entry.task_id,
                "kind": entry.kind,
                "credits": credits(entry.amount),
            }
            for entry in entries
        ]
        click.echo(json.dumps({"key": found.id, "spent": credits(found.credits_spent), "entries": lines}))
        return
    for entry in entries:
        what = "spent" if entry.amount > 0 else "given back"
        click.echo(f"{_time(entry.created_ms)}  {entry.task_id}  {entry.kind:<13}  {what} {credits(abs(entry.amount))}")
    click.echo(f"{found.name} ({found.id}): {_credits_of(found)}.")


def _shown(key: ApiKey, settings: Settings) -> str:
    """A key in a few lines, none of which a narrow terminal could cut an id out of."""
    rate = settings.rate_limit_tasks if key.rate_limit is None else key.rate_limit
    in_flight = settings.max_tasks_in_flight if key.in_flight_limit is None else key.in_flight_limit
    per = f" tasks in {settings.rate_limit_seconds} s" if rate else ""
    state = f", revoked {_time(key.revoked_ms)}" if key.revoked_ms is not None else ""
    used = "never used" if key.last_used_ms is None else f"last used {_time(key.last_used_ms)}"
    lines = [
        f"{key.name}  {key.id}",
        f"    {key.hint}..., created {_time(key.created_ms)}, {used}{state}",
        f"    rate: {rate or 'no limit'}{per}{_whose(key.rate_limit)}; "
        f"in flight: {in_flight or 'no limit'}{_whose(key.in_flight_limit)}; {_credits_of(key)}",
    ]
    if (until_ms := _old_key_until_ms(key)) is not None:
        lines.append(f"    rotated: the key before this one works until {_time(until_ms)}")
    return "\n".join(lines)


def _whose(own_limit: int | None) -> str:
    return " (default)" if own_limit is None else ""


def _credits_of(key: ApiKey) -> str:
    limit = ", no limit" if key.credit_limit is None else f" of {credits(key.credit_limit)}"
    return f"credits spent: {credits(key.credits_spent)}{limit}"


def _old_key_until_ms(key: ApiKey) -> int | None:
    """Until when the key before a rotated one works; None when it does not."""
    works = key.revoked_ms is None and key.previous_digest is not None
    until_ms = key.previous_until_ms if works else None
    return until_ms if until_ms is not None and until_ms > SystemClock().now_ms() else None


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "created": _iso(key.created_ms),
        "lastUsed": _iso(key.last_used_ms),
        "revoked": _iso(key.revoked_ms),
        "oldKeyUntil": _iso(_old_key_until_ms(key)),
        "rateLimit": key.rate_limit,
        "inFlightLimit": key.in_flight_limit,
        "creditLimit": None if key.credit_limit is None else credits(key.credit_limit),
        "creditsSpent": credits(key.credits_spent),
    }


def _iso(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
