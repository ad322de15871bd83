"""However many tasks are kept, waiting ones, lost leases and callbacks that are due are found by an index, unsorted."""

from collections.abc import Awaitable
from typing import Any

import sqlalchemy as sa

from service.context import Context
from service.db.models import ApiKey, Outbox, OutboxState, Task, TaskKind, TaskStatus
from service.store.records import NewTask

N_ENDED, N_WAITING = 3000, 600
CALLBACK = "https://example.com/callback"


async def fill(context: Context, key: ApiKey) -> None:
    """Ended tasks whose callbacks were delivered, and then some that wait, or are owed one."""
    always = {"kind": TaskKind.MIDI, "dialect": "kie", "params": {}, "credits": 0, "progress": 0.0, "queue": "midi"}
    tasks, owed = [], []
    for number in range(N_ENDED + N_WAITING):
        waits, numbers = number >= N_ENDED, {"turn": number, "created_ms": number, "expires_ms": 2_000_000_000_000}
        status = TaskStatus.QUEUED if waits else TaskStatus.SUCCEEDED
        ints = dict.fromkeys(("priority", "due_ms", "attempt", "fence"), 0)
        tasks.append({"id": f"task {number}", "key_id": key.id, "status": status, **always, **numbers, **ints})
        state = OutboxState.PENDING if waits else OutboxState.DELIVERED
        ints = dict.fromkeys(("attempts", "retries_from", "due_ms", "created_ms"), 0)
        owed.append({"id": f"evt {number}", "task_id": f"task {number}", "url": CALLBACK, "state": state, **ints})
    async with context.database.write() as session:
        await session.execute(sa.insert(Task), tasks)
        await session.execute(sa.insert(Outbox), owed)
        await session.execute(sa.text("ANALYZE"))


async def plans(context: Context, act: Awaitable[object]) -> str:
    """How the database goes about the statements that something executes."""
    heard: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if " tasks" in statement or " outbox" in statement:
            heard.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

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
    await fill(context, key)
    store = context.store
    looks = {
        "a new task": lambda: store.tasks.create(NewTask(key_id=key.id, kind=TaskKind.MIDI, callback_url=CALLBACK)),
        "a claim": lambda: store.leases.claim("worker", ["midi"]),
        "a look for nothing": lambda: store.leases.claim("worker", ["io"]),
        "lost leases": store.leases.reap,
        "callbacks": lambda: store.outbox.claim(10, 1000),
    }
    for what, look in looks.items():
        plan = await plans(context, look())
        for wrong in ("SCAN tasks", "SCAN outbox", "TEMP B-TREE", "Seq Scan on", "Sort"):
            assert wrong not in plan, f"{what}:\n{plan}"
