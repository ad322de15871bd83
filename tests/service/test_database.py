"""The schema comes from the migrations alone, and transactions keep their promises."""

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from service.context import Context
from service.db.database import Database
from service.db.models import ApiKey, Base, TaskKind
from service.store.records import NewTask
from service.store.tasks import new_task


async def test_migrations_make_exactly_the_tables_that_the_code_declares(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c), Base.metadata)
        )
    await engine.dispose()
    assert differences == []


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
