"""Whether the process lives, and whether it can do its work."""

import asyncio
from typing import Any

from litestar import Response, Router, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import ModelError
from service.api.injection import Injected
from service.context import Context
from service.models import required_models


@get("/live", summary="The process answers")
async def live() -> dict[str, str]:
    """Always ok: a process that cannot answer this must be restarted."""
    return {"status": "ok"}


@get("/ready", summary="Database, storage and weights are there")
async def ready(context: Injected) -> Response[dict[str, Any]]:
    """200 when tasks can be accepted and everything a worker needs is there; else 503 with the reason for each part."""
    checks = {
        "database": await _database(context),
        "storage": "ok" if await asyncio.to_thread(context.storage.writable) else "the data folder is not writable",
        "models": await asyncio.to_thread(_models, context),
    }
    good = all(value == "ok" for value in checks.values())
    return Response(
        {"status": "ok" if good else "unavailable", "checks": checks},
        status_code=HTTP_200_OK if good else HTTP_503_SERVICE_UNAVAILABLE,
    )


async def _database(context: Context) -> str:
    try:
        return "ok" if await context.database.at_head() else "the schema is not at the newest migration"
    except (SQLAlchemyError, OSError) as error:
        return f"the database does not answer ({type(error).__name__})"


def _models(context: Context) -> str:
    try:
        required_models(context.settings)
    except ModelError as error:
        return error.message
    return "ok"


def health_router() -> Router:
    """The health routes; they need no key."""
    return Router("/health", route_handlers=[live, ready], tags=["health"])
