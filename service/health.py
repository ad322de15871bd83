"""Whether a process can do its work: what ``/health/ready`` says, of the API and of workers."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import ModelError
from service.context import Context
from service.models import model_store
from service.settings import Settings

_OK = "ok"
_DEGRADED = "degraded: "
_PATIENCE_S = 5.0  # a database that is cut off answers nothing for minutes


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was looked at, by name: ``ok``, what is degraded, or what is missing."""

    checks: dict[str, str]

    @property
    def good(self) -> bool:
        """Whether work can be done; slower, perhaps."""
        return all(value == _OK or value.startswith(_DEGRADED) for value in self.checks.values())

    @property
    def document(self) -> dict[str, object]:
        """As it is answered."""
        return {"status": "ok" if self.good else "unavailable", "checks": self.checks}


async def examine(context: Context, models: Sequence[str], stopping: asyncio.Event) -> Readiness:
    """Look at everything that work needs.

    Args:
        models: the weights that must be on this machine; an API without a worker beside it needs none.
        stopping: set when the process is about to end.
    """
    if stopping.is_set():
        return Readiness({"process": "it is about to end"})
    looks = {"database": _database(context), "storage": context.storage.check()}
    if models:
        looks["models"] = asyncio.to_thread(_models, context.settings, models)
    if context.settings.redis_url:
        looks["redis"] = _redis(context)
    found = await asyncio.gather(*map(_patiently, looks.values()))
    return Readiness(dict(zip(looks, found, strict=True)))


async def _patiently(look: Awaitable[str]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await look
    except TimeoutError:
        return f"no answer within {_PATIENCE_S:g} s"


async def _database(context: Context) -> str:
    try:
        return _OK if await context.database.is_usable() else "the schema is not at the newest migration"
    except (SQLAlchemyError, OSError) as error:
        return f"the database does not answer ({type(error).__name__})"


def _models(settings: Settings, names: Sequence[str]) -> str:
    store = model_store(settings)
    try:
        for name in names:
            store.require(name)
    except ModelError as error:
        return error.message
    return _OK


async def _redis(context: Context) -> str:
    if await context.doorbell.is_up():
        return _OK
    return f"{_DEGRADED}Redis does not answer; workers look into the database instead"
