"""A database that is away: requests are answered 503, in every dialect, and are carried out again when it is back."""

import asyncio
import contextlib
import dataclasses
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from service.api.app import create_app
from service.context import Context
from service.db.database import Database, is_away
from service.db.models import File
from service.keys import create_key
from service.settings import Settings
from support.postgres_server import PostgresServer, running_postgres
from support.process import free_port
from support.waiting import until

PATIENCE_S = 120.0

ASKED = [
    ("GET", "/api/v1/midi/record-info?taskId=1", "kie"),
    ("POST", "/api/v1/vocal-removal/generate", "kie"),
    ("POST", "/api/file-url-upload", "upload"),
    ("GET", "/v1/tasks", "problem"),
    ("GET", "/files/0f1e2d3c4b5a69788796a5b4c3d2e1f0", "problem"),
]


def without_answer(settings: Settings) -> Settings:
    """A database where nobody listens."""
    url = f"postgresql+asyncpg://nobody:secret-password@127.0.0.1:{free_port()}/none"
    return dataclasses.replace(settings, database_url=url)


@pytest.mark.parametrize(("method", "path", "dialect"), ASKED)
async def test_every_dialect_answers_503(settings: Settings, method: str, path: str, dialect: str) -> None:
    context = Context(without_answer(settings))
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test") as http:
        if path.startswith("/files/"):
            path = context.links.to(File(id=path.rsplit("/", 1)[1], name="song.mid"), 4_000_000_000_000)
        response = await http.request(method, path, headers={"Authorization": "Bearer stsc_any"})
        ready, metrics = await http.get("/health/ready"), await http.get("/metrics")
    await context.close()
    assert response.status_code == 503, response.text
    assert response.headers["retry-after"] == "5"
    body = response.json()
    message = body["detail" if dialect == "problem" else "msg"]
    assert "database cannot be reached just now" in message
    assert body["code"] == ("unavailable" if dialect == "problem" else 503)
    assert "secret-password" not in response.text
    assert ready.status_code == 503
    assert "does not answer" in ready.json()["checks"]["database"]
    assert "stemscribe_database_up 0.0" in metrics.text


async def test_a_connection_that_is_ended_is_told_from_a_wrong_statement(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(SQLAlchemyError) as wrong:
        async with database.read() as session:
            await session.execute(sa.text("SELECT nothing FROM nowhere"))
    assert not is_away(wrong.value)
    assert not is_away(ValueError("a wrong value"))
    if not database.is_sqlite:
        with pytest.raises(SQLAlchemyError) as ended:
            async with database.read() as session:
                await session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert is_away(ended.value)
        with pytest.raises(SQLAlchemyError) as value:
            async with database.read() as session:
                await session.execute(sa.text("SELECT CAST(:n AS integer)"), {"n": "no number"})
        assert not is_away(value.value)
    await database.close()


async def test_a_refusal_at_the_door_is_away_whatever_the_server_says(postgres_url: str) -> None:
    database = Database(make_url(postgres_url).set(database="no_such_database").render_as_string(hide_password=False))
    with pytest.raises(SQLAlchemyError) as refused:
        await database.revision()
    assert is_away(refused.value)
    assert "no_such_database" in str(refused.value)
    await database.close()


async def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gone' / 'stemscribe.db'}")
    with pytest.raises(SQLAlchemyError) as error:
        await database.revision()
    assert is_away(error.value)
    await database.close()
    # aiosqlite does not wait for the thread of a connection that failed, which would speak to a loop that is closed
    await until(lambda: not any("_connection_worker" in thread.name for thread in threading.enumerate()))


async def test_a_database_that_is_locked_for_too_long_is_away(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    shutil.copy(sqlite_template, path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.read() as session:
        assert await session.scalar(sa.text("SELECT 1")) == 1
    sa.event.listen(database._writer.sync_engine, "connect", lambda made, _: made.execute("PRAGMA busy_timeout=10"))
    with pytest.raises(SQLAlchemyError) as error:
        async with database.write() as session:
            await session.execute(sa.text("DELETE FROM speeds"))
    assert is_away(error.value)
    holder.close()
    await database.close()


@contextlib.asynccontextmanager
async def client_of(server: PostgresServer, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key of an API over a database server, in this process."""
    settings = Settings(data_dir=data_dir, database_url=server.url, secret="a secret for tests only")
    context = Context(settings)
    context.serves_models = False
    await context.database.upgrade()
    headers = {"Authorization": f"Bearer {await create_key(context, 'tests')}"}
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test", headers=headers) as http:
        yield http
    await context.close()


async def test_a_server_that_hangs_is_told_of_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for patience in ("service.health._PATIENCE_S", "service.api.health._PATIENCE_S"):
        monkeypatch.setattr(patience, 0.5)
    monkeypatch.setattr("service.store.statistics._KEPT_S", -1.0)

    async def looks(http: httpx.AsyncClient) -> tuple[str, bool]:
        ready, metrics = await asyncio.gather(http.get("/health/ready"), http.get("/metrics"))
        assert metrics.status_code == 200
        return ready.json()["checks"]["database"], "stemscribe_database_up 1.0" in metrics.text

    with running_postgres() as server:
        async with asyncio.timeout(PATIENCE_S), client_of(server, tmp_path) as http:
            while await looks(http) != ("ok", True):  # the first look takes longer
                pass
            server.freeze()
            try:
                for _ in range(3):
                    assert await looks(http) == ("no answer within 0.5 s", False)
            finally:
                server.thaw()
            while await looks(http) != ("ok", True):
                pass


async def test_a_server_that_crashes_under_requests_is_503_until_it_is_back(tmp_path: Path) -> None:
    statuses: list[int] = []
    away = asyncio.Event()
    with running_postgres() as server:
        async with asyncio.timeout(PATIENCE_S), client_of(server, tmp_path) as http:

            async def ask() -> None:
                """Again and again until it is answered well after it was not."""
                while not (503 in statuses and statuses[-1] == 200):
                    statuses.append((await http.get("/v1/tasks")).status_code)
                    if statuses[-1] == 503:
                        away.set()
                    await asyncio.sleep(0)

            assert (await http.get("/v1/tasks")).status_code == 200
            asking = [asyncio.create_task(ask()) for _ in range(4)]
            await asyncio.to_thread(server.stop)
            await away.wait()
            await asyncio.to_thread(server.start)
            await asyncio.gather(*asking)
    assert set(statuses) == {200, 503}
