"""How fast the stages were of late, and when a task should therefore be done."""

from collections.abc import Mapping

import sqlalchemy as sa

from service.clock import Clock
from service.db.database import Database
from service.db.models import Speed, Task, TaskStatus

_NEW_SHARE = 0.3  # of the latest measurement in the running mean: a handful of songs forget another machine's speed


class SpeedStore:
    """Measured speeds: seconds of work per second of audio, by stage."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def learn(self, stage_seconds: Mapping[str, float], audio_s: float) -> None:
        """Take a finished task's stages into the running means."""
        async with self._database.write(durable=False) as session:
            for stage, seconds in stage_seconds.items():
                measured = seconds / audio_s
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

    async def ahead(self, task: Task) -> list[Task]:
        """What is done before a queued task: the running ones, and those that were queued before it."""
        before = sa.and_(
            Task.status == TaskStatus.QUEUED, sa.tuple_(Task.created_ms, Task.id) < (task.created_ms, task.id)
        )
        query = sa.select(Task).where(sa.or_(Task.status == TaskStatus.RUNNING, before))
        async with self._database.read() as session:
            return list((await session.scalars(query)).all())
