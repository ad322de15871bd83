"""What is away, or not there yet, is told in one line."""

import logging
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, ProgrammingError

from service.api.app import create_app
from service.context import Context
from service.errors import StorageError
from service.outages import log_failure, reason_of_outage
from service.settings import Settings, SettingsError
from support.process import environment, free_port, stemscribe


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    address = f"postgresql+asyncpg://user:a-password@127.0.0.1:{free_port()}/stemscribe"
    return environment(tmp_path / "data", database_url=address)


@pytest.mark.parametrize("command", [["keys", "list"], ["keys", "create", "a"], ["serve", "--port", "0"]])
def test_commands_say_that_the_database_is_away_in_one_line(nowhere: dict[str, str], command: list[str]) -> None:
    ran = stemscribe(*command, env=nowhere)
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("stemscribe: the database is away: ")
    assert "Traceback" not in ran.stderr
    assert "a-password" not in ran.stderr


@pytest.mark.parametrize("size", ["scaled"])  # the embedded database is migrated by whatever needs it
async def test_keys_do_not_migrate_a_fleet_s_database(context: Context, settings: Settings) -> None:
    async with context.database.write() as session:
        await session.execute(sa.text("UPDATE alembic_version SET version_num = '0003'"))
    own = {"database_url": settings.database_url, "secret": settings.secret}
    ran = stemscribe("keys", "list", env=environment(settings.data_dir, **own))
    assert ran.returncode == 1
    assert "run `stemscribe db upgrade` first" in ran.stderr
    assert await context.database.revision() == "0003"


@pytest.mark.parametrize("size", ["scaled"])
async def test_before_the_migrations_requests_are_answered_503(context: Context) -> None:
    async with context.database.write() as session:
        await session.execute(sa.text("ALTER TABLE api_keys RENAME TO api_keys_to_come"))
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://stemscribe.test") as http:
        response = await http.get("/v1/tasks", headers={"Authorization": "Bearer a key"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


def test_reasons_are_short_and_of_outages_only(caplog: pytest.LogCaptureFixture) -> None:
    refused = OperationalError("connect", None, ConnectionRefusedError("no\n  server"), connection_invalidated=True)
    assert reason_of_outage(refused) == "the database is away: no server"
    assert reason_of_outage(StorageError("there is no bucket x")) == "there is no bucket x"
    wrong = ProgrammingError("SELECT", None, Exception("syntax error"))
    assert reason_of_outage(wrong) is None
    log = logging.getLogger("service.test")
    log_failure(log, "a round failed", refused)
    log_failure(log, "a round failed", wrong)
    levels = [(entry.levelname, entry.exc_info is not None) for entry in caplog.records]
    assert levels == [("WARNING", False), ("ERROR", True)]


@pytest.mark.parametrize("name", ["public_url", "storage_public_url"])
def test_addresses_of_links_need_a_scheme(name: str) -> None:
    with pytest.raises(SettingsError, match=f"STEMSCRIBE_{name.upper()} must be an http or https address"):
        Settings(**{name: "example.com", "storage_url": "s3://bucket"})
