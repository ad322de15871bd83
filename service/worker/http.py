"""A worker's own pages: whether it lives, whether it can work, and its figures."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from service.context import Context
from service.db.models import Queue
from service.health import examine
from service.listening import Server, listen
from service.metrics import CONTENT_TYPE, exposition
from service.models import models_of_queues

_JSON = "application/json"
_SHUTDOWN_S = 1  # who does not read an answer does not keep the worker from ending


@asynccontextmanager
async def pages(context: Context, queues: Sequence[Queue], stopping: asyncio.Event) -> AsyncIterator[None]:
    """Serve ``/health/live``, ``/health/ready`` and ``/metrics`` on the worker's port while the block lasts.

    Args:
        context: the service's adapters.
        queues: what the worker does, and so which weights it needs.
        stopping: set when it is about to end.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    settings = context.settings
    listener = listen(settings.host, settings.worker_port, "STEMSCRIBE_WORKER_PORT")

    async def page(path: str) -> tuple[int, str, bytes]:
        if path == "/health/live":
            return 200, _JSON, b'{"status":"ok"}'
        if path == "/health/ready":
            readiness = await examine(context, models_of_queues(settings, queues), stopping)
            return 200 if readiness.good else 503, _JSON, json.dumps(readiness.document).encode()
        if path == "/metrics":
            return 200, CONTENT_TYPE, exposition()
        return 404, _JSON, b'{"status":"no such page"}'

    async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        status, media_type, body = await page(scope["path"])  # type: ignore[typeddict-item]
        headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_SHUTDOWN_S
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
