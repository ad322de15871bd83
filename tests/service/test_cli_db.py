"""``stemscribe db``: the schema's state, told and mended."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from service.db.database import newest_revision
from support.process import environment, free_port, stemscribe

HEAD = newest_revision()


def execute(url: str, *statements: str) -> None:
    async def run() -> None:
        engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(sa.text(statement))
        await engine.dispose()

    asyncio.run(run())


def test_upgrade_and_check_say_how_the_schema_is(database_url: str, tmp_path: Path) -> None:
    env = environment(tmp_path, database_url=database_url)
    checked = stemscribe("db", "check", env=env)
    assert (checked.returncode, checked.stdout) == (0, f"The schema is at migration {HEAD}, the newest.\n")
    again = stemscribe("db", "upgrade", env=env)
    assert (again.returncode, again.stdout) == (0, f"The schema is at migration {HEAD} already.\n")

    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for command in ("check", "upgrade"):
        ahead = stemscribe("db", command, env=env)
        assert ahead.returncode == 1
        assert "9999, which this version does not know" in ahead.stderr
        assert "Traceback" not in ahead.stderr

    execute(database_url, "UPDATE alembic_version SET version_num = '0001'")
    behind = stemscribe("db", "check", env=env)
    assert behind.returncode == 1
    assert f"at migration 0001, and {HEAD} is the newest: run `stemscribe db upgrade`" in behind.stderr


def test_an_empty_postgres_database_is_filled(postgres_url: str, tmp_path: Path) -> None:
    url = make_url(postgres_url).set(database="for_db_upgrade").render_as_string(hide_password=False)
    execute(postgres_url, "CREATE DATABASE for_db_upgrade")
    env = environment(tmp_path, database_url=url)
    empty = stemscribe("db", "check", env=env)
    assert (empty.returncode, "The schema is empty" in empty.stderr) == (1, True)
    done = stemscribe("db", "upgrade", env=env)
    assert (done.returncode, done.stdout) == (0, f"The schema was empty, and is at migration {HEAD} now.\n")
    assert stemscribe("db", "check", env=env).returncode == 0


def test_check_makes_no_database(tmp_path: Path) -> None:
    env = environment(tmp_path / "data")
    checked = stemscribe("db", "check", env=env)
    assert checked.returncode == 1
    assert "The schema is empty" in checked.stderr
    assert not (tmp_path / "data").exists()
    done = stemscribe("db", "upgrade", env=env)
    assert (done.returncode, done.stdout) == (0, f"The schema was empty, and is at migration {HEAD} now.\n")
    assert stemscribe("db", "check", env=env).returncode == 0


def test_a_database_that_cannot_be_reached_is_told_in_a_line_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://me:secret-password@127.0.0.1:{free_port()}/none"
    for command in ("check", "upgrade"):
        refused = stemscribe("db", command, env=environment(tmp_path, database_url=url))
        assert refused.returncode == 1
        assert refused.stderr.startswith("Error: The database postgresql+asyncpg://me:***@127.0.0.1")
        assert len(refused.stderr.splitlines()) == 1
        assert "secret-password" not in refused.stderr
