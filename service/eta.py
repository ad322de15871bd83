"""When a task should be done: from what its stages took of late, and from what is done before it."""

from collections.abc import Mapping

from service.context import Context
from service.db.models import LIVE, Task, TaskKind, TaskStatus
from service.store.speeds import Ahead

# The stages of each kind of task, by the names that their speeds are kept under.
_STAGES: Mapping[TaskKind, tuple[str, ...]] = {
    TaskKind.UPLOAD: (),
    TaskKind.SEPARATION: ("separation",),
    TaskKind.MIDI: ("transcription",),
    TaskKind.TRANSCRIPTION: ("separation", "transcription"),
    TaskKind.WAV: ("wav",),
    TaskKind.AUDIO_TO_MIDI: ("separation", "transcription"),
    TaskKind.EXTRACTION: ("separation",),
    TaskKind.KEY_BPM: ("key_bpm",),
    TaskKind.CONVERSION: ("conversion",),
    TaskKind.CUT: ("cut",),
    TaskKind.SPEED: ("speed",),
}
_LEAST_PROGRESS = 0.02  # before that, the time it took says nothing of the time it will take


async def estimate(task: Task, context: Context) -> float | None:
    """Seconds until a task has ended, as things stand; None where nobody can know."""
    if task.status not in LIVE:
        return 0.0
    speeds = await context.store.speeds.all()
    ahead = await context.store.speeds.ahead(task) if task.status == TaskStatus.QUEUED else Ahead()
    return eta_s(task, ahead, speeds, context.clock.now_ms())


def eta_s(task: Task, ahead: Ahead, speeds: Mapping[str, float], now_ms: int) -> float | None:
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
    own = _work_s(TaskKind(task.kind), task.audio_s, speeds)
    if task.status == TaskStatus.RUNNING:
        left = _left_s(task, own, now_ms)
        return None if left is None else round(left, 1)
    if own is None:
        return None
    # A task whose length nobody knows yet is taken to be as long as this one.
    before_s = 0.0
    for other in ahead.running:
        work_s = _work_s(other.kind, other.audio_s, speeds)
        before_s += (own if work_s is None else work_s) * (1 - other.progress)
    for some in ahead.waiting:
        known_s = _work_s(some.kind, some.audio_s, speeds)
        before_s += own * some.n_known if known_s is None else known_s
        before_s += own * some.n_unknown
    workers = {other.owner for other in ahead.running}
    waits_s = max(before_s / max(len(workers), 1), (task.due_ms - now_ms) / 1000)
    return round(waits_s + own, 1)


def _work_s(kind: TaskKind, audio_s: float | None, speeds: Mapping[str, float]) -> float | None:
    """How long a worker should take for so much audio; None where its length or a speed is not known."""
    stages = _STAGES[kind]
    if audio_s is None or any(stage not in speeds for stage in stages):
        return None
    return audio_s * sum(speeds[stage] for stage in stages)


def _left_s(task: Task, work_s: float | None, now_ms: int) -> float | None:
    """What is left of a running task, whose progress is linear in time."""
    if work_s is not None:
        return work_s * (1 - task.progress)
    if task.progress < _LEAST_PROGRESS or task.started_ms is None:
        return None
    return max(now_ms - task.started_ms, 0) / 1000 / task.progress * (1 - task.progress)
