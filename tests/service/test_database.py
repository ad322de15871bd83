"""The schema comes from the migrations alone, and transactions keep their promises."""

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from service.context import Context
from service.db.database import Database
from service.db.models import ApiKey, Base, Task, TaskKind
from service.store.keys import KeyStore
from service.store.records import NewTask
from service.store.speeds import SpeedStore
from service.store.tasks import new_task
from support.clock import ManualClock


async def test_migrations_make_exactly_the_tables_that_the_code_declares(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c), Base.metadata)
        )
    await engine.dispose()
    assert differences == []


async def test_a_schema_of_a_version_to_come_is_usable_and_an_old_one_is_not(context: Context) -> None:
    """So that processes of this version go on while those of the next take their place."""
    assert await context.database.is_usable()
    for revision, usable in (("0003", False), ("9999", True)):
        async with context.database.write() as session:
            await session.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        assert await context.database.is_usable() is usable
        assert not await context.database.at_head()


async def test_at_head_is_false_before_and_true_after_the_migrations(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new' / 'fresh.db'}")
    (tmp_path / "new").mkdir()
    assert not await database.at_head()
    await database.upgrade()
    assert await database.at_head()
    await database.upgrade()  # again: nothing to do, nothing broken
    assert await database.at_head()
    await database.close()


async def test_a_failing_transaction_leaves_nothing(context: Context, key: ApiKey) -> None:
    async def add_and_fail() -> None:
        async with context.database.write() as session:
            session.add(new_task(key.id, TaskKind.SEPARATION, 0))
            await session.flush()
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await add_and_fail()
    assert await context.store.leases.claim("anyone") is None


async def test_a_read_sees_one_state_of_the_database(context: Context, key: ApiKey) -> None:
    """Else the rows of something that is deleted just now are read in part, and taken for all of it."""
    task = await context.store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.MIDI))
    tasks = sa.select(sa.func.count()).select_from(Task)
    async with context.database.read() as session:
        assert await session.scalar(tasks) == 1
        await context.files.delete_task(task.id)
        assert await session.scalar(tasks) == 1
    async with context.database.read() as session:
        assert await session.scalar(tasks) == 0


async def test_many_writers_at_once_all_get_through(context: Context, key: ApiKey) -> None:
    async def create(number: int) -> str:
        task = await context.store.tasks.create(
            NewTask(key_id=key.id, kind=TaskKind.MIDI, params={"number": number}, callback_url=None)
        )
        return task.id

    ids = await asyncio.gather(*(create(number) for number in range(40)))
    assert len(set(ids)) == 40
    claims = await asyncio.gather(*(context.store.leases.claim(f"worker {n}") for n in range(50)))
    claimed = [claim.task.id for claim in claims if claim is not None]
    assert sorted(claimed) == sorted(ids)  # each exactly once


async def test_a_write_that_waits_too_long_fails_like_any_other_and_turns_no_key_away(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.db.database._BUSY_TIMEOUT_MS", 20)
    path = shutil.copy(sqlite_template, tmp_path / "busy.db")
    database = Database(f"sqlite+aiosqlite:///{path}")
    keys = KeyStore(database, ManualClock())
    speeds = SpeedStore(database, ManualClock())
    created = await keys.create("mine", "digest", "hint")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):  # the refused connection is as good as before
            with pytest.raises(OperationalError, match="database is locked"):
                await speeds.learn({"separation": 1.0}, 1.0)
        found = await keys.find("digest")
        assert found is not None
        assert (found.id, found.last_used_ms) == (created.id, None)
        other.execute("ROLLBACK")
    await speeds.learn({"separation": 10.0}, 10.0)
    assert await speeds.all() == {"separation": 1.0}
    await database.close()
