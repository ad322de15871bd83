"""However many tasks are kept, waiting ones, lost leases and callbacks that are due are found by an index, unsorted."""

from collections.abc import Awaitable
from typing import Any

import sqlalchemy as sa

from service.context import Context
from service.db.models import ApiKey, Outbox, OutboxState, Task, TaskKind, TaskStatus
from service.store.records import NewTask

N_ENDED = 3000
CALLBACK = "https://example.com/callback"


async def keep_ended_tasks(context: Context, key: ApiKey) -> None:
    tasks = [
        {
            "id": f"ended {number}", "key_id": key.id, "kind": TaskKind.MIDI, "dialect": "kie", "params": {}, "credits": 0,
            "status": TaskStatus.SUCCEEDED, "progress": 1.0, "queue": "midi", "turn": number, "priority": 0, "due_ms": 0,
            "attempt": 1, "fence": 1, "created_ms": number, "callback_url": CALLBACK, "expires_ms": 2_000_000_000_000,
        }
        for number in range(N_ENDED)
    ]  # fmt: skip
    owed = [
        {
            "id": f"evt {task['id']}", "task_id": task["id"], "url": CALLBACK, "state": OutboxState.DELIVERED,
            "attempts": 1, "retries_from": 0, "due_ms": 0, "created_ms": 0,
        }
        for task in tasks
    ]  # fmt: skip
    async with context.database.write() as session:
        await session.execute(sa.insert(Task), tasks)
        await session.execute(sa.insert(Outbox), owed)
        await session.execute(sa.text("ANALYZE"))


async def plans(context: Context, act: Awaitable[object]) -> str:
    """How the database goes about the statements that something executes."""
    heard: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if " tasks" in statement or " outbox" in statement:
            heard.append((statement, parameters))

    engines = {context.database._engine.sync_engine, context.database._writer.sync_engine}
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", hear)
    await act
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", hear)
    assert heard
    explain = "EXPLAIN QUERY PLAN " if context.database.is_sqlite else "EXPLAIN "
    lines: list[str] = []
    async with context.database._engine.connect() as connection:
        for statement, parameters in heard:
            if not statement.startswith("INSERT"):
                found = await connection.exec_driver_sql(explain + statement, parameters)
                lines += [str(row[-1]) for row in found]
    return "\n".join(lines)


async def test_nobody_looks_through_all_tasks(context: Context, key: ApiKey) -> None:
    await keep_ended_tasks(context, key)
    store = context.store
    looks = {
        "a new task": lambda: store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.MIDI, callback_url=CALLBACK)),
        "a claim": lambda: store.leases.claim("worker"),
        "a look for nothing": lambda: store.leases.claim("worker"),
        "lost leases": store.leases.reap,
        "callbacks": lambda: store.outbox.claim(10, 1000),
    }
    for what, look in looks.items():
        plan = await plans(context, look())
        for wrong in ("SCAN tasks", "SCAN outbox", "TEMP B-TREE", "Seq Scan on", "Sort"):
            assert wrong not in plan, f"{what}:\n{plan}"
