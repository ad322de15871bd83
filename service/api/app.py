"""The composition root of the HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import ScalarRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from service import __version__
from service.api.errors import handlers, problem_answer
from service.api.files import files_router
from service.api.health import health_router
from service.context import Context
from service.kie.routes import kie_router
from service.kie.uploads import upload_router


async def _context(state: State) -> Context:
    context: Context = state.context
    return context


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    yield
    await app.state.context.close()


def create_app(context: Context) -> Litestar:
    """The application over a context; the schema must be there already."""
    return Litestar(
        route_handlers=[
            kie_router(),
            upload_router(context.settings.max_upload_bytes),
            files_router(),
            health_router(),
        ],
        dependencies={"context": Provide(_context)},
        exception_handlers=handlers(problem_answer),
        lifespan=[_lifespan],
        logging_config=None,  # the process's own is configured before
        state=State({"context": context}),
        openapi_config=OpenAPIConfig(
            title="Stemscribe",
            version=__version__,
            description="Songs into stems, stems into notes.",
            path="/schema",
            render_plugins=[ScalarRenderPlugin(), SwaggerRenderPlugin()],
            components=Components(security_schemes={"BearerToken": SecurityScheme(type="http", scheme="bearer")}),
        ),
    )
