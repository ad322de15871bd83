"""Whether the process lives, and whether it can do its work."""

import asyncio
from typing import Any

from litestar import Response, Router, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from sqlalchemy.exc import SQLAlchemyError

from service.api.injection import Injected
from service.health import examine
from service.metrics import CONTENT_TYPE, exposition
from service.models import needed_models

_PATIENCE_S = 5.0


@get("/live", summary="The process answers")
async def live() -> dict[str, str]:
    """Always ok: a process that cannot answer this must be restarted."""
    return {"status": "ok"}


@get("/ready", summary="Database, storage and weights are there")
async def ready(context: Injected) -> Response[dict[str, Any]]:
    """200 when tasks can be accepted; else 503 with the reason for each part.

    Weights are looked for where a worker runs beside this process.  What is degraded, Redis that is away, is no reason.
    """
    models = needed_models(context.settings) if context.serves_models else ()
    readiness = await examine(context, models, context.stopping)
    return Response(
        readiness.document,
        status_code=HTTP_200_OK if readiness.good else HTTP_503_SERVICE_UNAVAILABLE,
    )


@get("/metrics", include_in_schema=False)
async def metrics(context: Injected) -> Response[bytes]:
    """What Prometheus asks for; a database that is away takes its own figures with it, and no others."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            statistics = await context.store.statistics.latest()
    except (SQLAlchemyError, TimeoutError):
        statistics = None
    return Response(exposition(statistics, database=True), headers={"Content-Type": CONTENT_TYPE})


def health_router() -> Router:
    """The health routes; they need no key."""
    return Router("/health", route_handlers=[live, ready], tags=["health"])
