"""The composition root of the HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import HTTPScope, LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

from service import __version__
from service.api.answers import StoredAnswers
from service.api.documentation import operation_id
from service.api.errors import handlers, problem_answer
from service.api.files import files_router
from service.api.health import health_router, metrics
from service.api.observation import observed
from service.api.schema_pages import DocumentPlugin, PagePlugin, schema_router
from service.context import Context
from service.kie.routes import kie_router
from service.kie.uploads import upload_router
from service.musicgpt.routes import musicgpt_router
from service.native.routes import native_router


async def _context(state: State) -> Context:
    context: Context = state.context
    return context


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    await app.state.context.start()
    yield
    await app.state.context.close()


class _Application(Litestar):
    """Every request is counted and logged, those that no route is there for included."""

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        if scope["type"] == ScopeType.HTTP:
            await observed(super().__call__, cast(HTTPScope, scope), cast(Receive, receive), cast(Send, send))
        else:
            await super().__call__(scope, receive, send)


def create_app(context: Context) -> Litestar:
    """The application over a context; the schema must be there already."""
    return _Application(
        route_handlers=[
            kie_router(),
            upload_router(context.settings.max_upload_bytes),
            musicgpt_router(context.settings.max_upload_bytes),
            native_router(context.settings.max_upload_bytes),
            files_router(),
            health_router(),
            metrics,
        ],
        dependencies={"context": Provide(_context, use_cache=True)},
        exception_handlers=handlers(problem_answer),
        lifespan=[_lifespan],
        logging_config=None,  # the process's own is configured before
        state=State({"context": context, "answers": StoredAnswers()}),
        openapi_config=OpenAPIConfig(
            title="Stemscribe",
            version=__version__,
            description="Songs into stems, stems into notes.",
            operation_id_creator=operation_id,
            use_handler_docstrings=True,
            openapi_router=schema_router(),
            render_plugins=[PagePlugin(), DocumentPlugin()],
            components=Components(
                security_schemes={
                    "BearerToken": SecurityScheme(type="http", scheme="bearer"),
                    "RawKey": SecurityScheme(type="apiKey", name="Authorization", security_scheme_in="header"),
                }
            ),
        ),
    )
