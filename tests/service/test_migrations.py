"""Migrations over a database that is in use: every row is still there afterwards, and back again."""

import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from service.db.database import Database, _alembic_config

FIRST_ROWS = """
INSERT INTO api_keys (id, name, digest, hint, created_ms) VALUES ('k', 'mine', 'd', 'h', 1);
INSERT INTO tasks (id, key_id, kind, status, params, progress, due_ms, attempt, fence, created_ms)
    VALUES ('t', 'k', 'midi', 'succeeded', '{}', 1.0, 1, 1, 1, 1);
INSERT INTO tasks (id, key_id, kind, status, params, progress, error_code, error_message, due_ms, attempt, fence,
    created_ms) VALUES ('gone', 'k', 'wav', 'failed', '{}', 0, 404, 'Gone.', 1, 1, 1, 1);
INSERT INTO tasks (id, key_id, kind, status, params, progress, error_code, error_message, due_ms, attempt, fence,
    created_ms) VALUES ('broken', 'k', 'wav', 'failed', '{}', 0, 422, 'Broken.', 1, 1, 1, 1);
INSERT INTO tasks (id, key_id, kind, status, params, progress, error_code, error_message, due_ms, attempt, fence,
    created_ms) VALUES ('lost', 'k', 'wav', 'failed', '{}', 0, 501, 'Lost.', 1, 1, 1, 1);
INSERT INTO tasks (id, key_id, kind, status, params, progress, stage, lease_owner, lease_until_ms, due_ms, attempt,
    fence, created_ms) VALUES ('r', 'k', 'separation', 'running', '{}', 0.5, 'separating', 'one', 9, 1, 1, 1, 1);
INSERT INTO files (id, task_id, role, name, mime_type, storage_key, size_bytes, sha256, created_ms)
    VALUES ('f', 't', 'stem', 'bass.flac', 'audio/flac', 'x', 1, 's', 1);
INSERT INTO tracks (id, task_id, file_id, stem, position, duration_s) VALUES ('a', 't', 'f', 'bass', 0, 1.5);
INSERT INTO instrument_notes (id, task_id, track_id, position, name, program, is_drum, stem, notes)
    VALUES ('n', 't', 'a', 0, 'Bass', 33, false, 'bass', '[{"pitch": 40, "start": 0.5, "end": 1.0, "velocity": 0.8}]');
INSERT INTO outbox (id, task_id, url, state, attempts, due_ms, created_ms) VALUES ('o', 't', 'u', 'dead', 8, 1, 1);
INSERT INTO deliveries (id, outbox_id, attempt, started_ms) VALUES ('d', 'o', 1, 1)
"""


async def migrate(database: Database, revision: str, *, down: bool = False) -> None:
    def run(connection: sa.Connection) -> None:
        config = _alembic_config()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)

    engine = create_async_engine(database.url)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def rows(database: Database, table: str) -> list[dict[str, object]]:
    engine = create_async_engine(database.url)  # asyncpg remembers what a table was like on older connections
    async with engine.connect() as connection:
        found = [dict(row) for row in (await connection.execute(sa.text(f"SELECT * FROM {table}"))).mappings()]
    await engine.dispose()
    return found


async def with_first_rows(database_url: str) -> Database:
    """A database as the first version left it."""
    database = Database(database_url)
    await migrate(database, "0001", down=True)
    async with database.write() as session:
        for statement in FIRST_ROWS.split(";"):
            await session.execute(sa.text(statement.replace(":", r"\:")))
    return database


async def test_the_second_migration_keeps_what_is_there(database_url: str) -> None:
    database = await with_first_rows(database_url)
    await database.upgrade()
    assert await database.at_head()
    [note] = await rows(database, "instrument_notes")
    assert bytes(note["notes"]) == b'[{"pitch": 40, "start": 0.5, "end": 1.0, "velocity": 0.8}]'  # type: ignore[call-overload]
    tasks = {task["id"]: task for task in await rows(database, "tasks")}
    assert {(task["dialect"], task["credits"], task["audio_s"]) for task in tasks.values()} == {("kie", 0, None)}
    assert {name: task["error_name"] for name, task in tasks.items()} == {
        "t": None, "r": None, "gone": "not_found", "broken": "audio_error", "lost": "internal_error",
    }  # fmt: skip
    assert (tasks["r"]["status"], tasks["r"]["lease_owner"], tasks["r"]["stage"]) == ("running", "one", "separating")
    [key] = await rows(database, "api_keys")
    assert (key["credits_spent"], key["credit_limit"], key["bucket_full_us"]) == (0, None, 0)
    for table in ("files", "tracks", "outbox", "deliveries"):
        assert len(await rows(database, table)) == 1, table
    await migrate(database, "0001", down=True)
    assert len(await rows(database, "tasks")) == 5
    for table in ("api_keys", "files", "tracks", "instrument_notes", "outbox", "deliveries"):
        assert len(await rows(database, table)) == 1, table
    await database.upgrade()
    await database.close()


async def test_the_third_migration_knows_nothing_of_what_was_written_before_it(database_url: str) -> None:
    database = await with_first_rows(database_url)
    await migrate(database, "0002")
    before = {table: await rows(database, table) for table in ("tasks", "instrument_notes")}
    await migrate(database, "0003")
    assert sorted((task["id"], task.pop("music")) for task in await rows(database, "tasks")) == [
        (name, None) for name in ("broken", "gone", "lost", "r", "t")
    ]
    [note] = await rows(database, "instrument_notes")
    assert note.pop("confidence") is None
    assert [note] == before["instrument_notes"]
    await migrate(database, "0002", down=True)
    for table, kept in before.items():
        assert sorted(await rows(database, table), key=str) == sorted(kept, key=str), table
    await database.close()
