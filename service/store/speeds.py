"""How fast the stages were of late, and when a task should therefore be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from service.clock import Clock
from service.db.database import Database
from service.db.models import Speed, Task, TaskKind, TaskStatus

_LEAST_AUDIO_S = 10.0  # what is shorter takes as long: starting is most of it, and would count for hours of audio
_NEW_SHARE = 0.3  # of the latest measurement in the running mean: a handful of songs forget another machine's speed


@dataclass(frozen=True, slots=True)
class Running:
    """A task that somebody works on: of its row, what tells how much of it is left."""

    kind: TaskKind
    audio_s: float | None
    progress: float
    owner: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued tasks of one kind: ``n_known`` with ``audio_s`` seconds of audio together, and those of unknown length."""

    kind: TaskKind
    audio_s: float
    n_known: int
    n_unknown: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is done before a queued task."""

    running: Sequence[Running] = ()
    waiting: Sequence[Waiting] = ()


class SpeedStore:
    """Measured speeds: seconds of work per second of audio, by stage."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def learn(self, stage_seconds: Mapping[str, float], audio_s: float) -> None:
        """Take a finished task's stages into the running means."""
        async with self._database.write(durable=False) as session:
            for stage, seconds in stage_seconds.items():
                measured = seconds / max(audio_s, _LEAST_AUDIO_S)
                speed = await session.get(Speed, stage, with_for_update=True)
                if speed is None:
                    speed = Speed(stage=stage, seconds_per_audio_s=measured)
                    session.add(speed)
                speed.seconds_per_audio_s += _NEW_SHARE * (measured - speed.seconds_per_audio_s)
                speed.measured_ms = self._clock.now_ms()

    async def all(self) -> dict[str, float]:
        """Seconds of work per second of audio of every stage measured so far."""
        async with self._database.read() as session:
            rows = await session.execute(sa.select(Speed.stage, Speed.seconds_per_audio_s))
            return {row[0]: row[1] for row in rows}

    async def ahead(self, task: Task) -> Ahead:
        """What is done before a queued task: the running ones, and those that were queued before it."""
        running = sa.select(Task.kind, Task.audio_s, Task.progress, Task.lease_owner).where(
            Task.status == TaskStatus.RUNNING
        )
        # Added up by the database: every poll of a task asks this, and thousands may be waiting.
        n_known = sa.func.count(Task.audio_s)
        waiting = (
            sa.select(Task.kind, sa.func.sum(Task.audio_s), n_known, sa.func.count() - n_known)
            .where(Task.status == TaskStatus.QUEUED, sa.tuple_(Task.created_ms, Task.id) < (task.created_ms, task.id))
            .group_by(Task.kind)
        )
        async with self._database.read() as session:
            return Ahead(
                [Running(TaskKind(row[0]), row[1], row[2], row[3]) for row in await session.execute(running)],
                [Waiting(TaskKind(row[0]), row[1] or 0.0, row[2], row[3]) for row in await session.execute(waiting)],
            )
