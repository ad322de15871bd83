"""When a task should be done: from what its stages took of late, and from what is done before it."""

from collections.abc import Mapping, Sequence

from service.context import Context
from service.db.models import LIVE, Task, TaskKind, TaskStatus

# The stages of each kind of task, by the names that their speeds are kept under.
_STAGES: Mapping[TaskKind, tuple[str, ...]] = {
    TaskKind.UPLOAD: (),
    TaskKind.SEPARATION: ("separation",),
    TaskKind.MIDI: ("transcription",),
    TaskKind.TRANSCRIPTION: ("separation", "transcription"),
    TaskKind.WAV: ("wav",),
}
_LEAST_PROGRESS = 0.02  # before that, the time it took says nothing of the time it will take


async def estimate(task: Task, context: Context) -> float | None:
    """Seconds until a task has ended, as things stand; None where nobody can know."""
    if task.status not in LIVE:
        return 0.0
    speeds = await context.store.speeds.all()
    ahead = await context.store.speeds.ahead(task) if task.status == TaskStatus.QUEUED else []
    return eta_s(task, ahead, speeds, context.clock.now_ms())


def eta_s(task: Task, ahead: Sequence[Task], speeds: Mapping[str, float], now_ms: int) -> float | None:
    """Seconds until a task has ended, to a tenth.

    Args:
        task: any.
        ahead: what is done before it, running tasks included; of a queued one only.
        speeds: seconds of work per second of audio, by stage.
        now_ms: Unix milliseconds.

    Returns:
        0 for a task that has ended; None where nobody can know.
    """
    if task.status not in LIVE:
        return 0.0
    own = _work_s(task, speeds)
    if task.status == TaskStatus.RUNNING:
        left = _left_s(task, own, now_ms)
        return None if left is None else round(left, 1)
    if own is None:
        return None
    # A task whose length nobody knows yet is taken to be as long as this one.
    works = [(other, _work_s(other, speeds)) for other in ahead]
    before_s = sum(_left_of(other, own if work is None else work) for other, work in works)
    workers = {other.lease_owner for other in ahead if other.status == TaskStatus.RUNNING}
    waits_s = max(before_s / max(len(workers), 1), (task.due_ms - now_ms) / 1000)
    return round(waits_s + own, 1)


def _work_s(task: Task, speeds: Mapping[str, float]) -> float | None:
    """How long a worker should take for the whole task; None where its length or a speed is not known."""
    stages = _STAGES[TaskKind(task.kind)]
    if task.audio_s is None or any(stage not in speeds for stage in stages):
        return None
    return task.audio_s * sum(speeds[stage] for stage in stages)


def _left_of(task: Task, work_s: float) -> float:
    return work_s * (1 - task.progress) if task.status == TaskStatus.RUNNING else work_s


def _left_s(task: Task, work_s: float | None, now_ms: int) -> float | None:
    """What is left of a running task, whose progress is linear in time."""
    if work_s is not None:
        return _left_of(task, work_s)
    if task.progress < _LEAST_PROGRESS or task.started_ms is None:
        return None
    return max(now_ms - task.started_ms, 0) / 1000 / task.progress * (1 - task.progress)
