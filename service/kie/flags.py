"""How a task stands, in the word that separations show; the other kinds have words, or numbers, of their own for it."""

from enum import StrEnum

from service.db.models import LIVE, TaskStatus
from service.store.records import TaskRecord

_GENERATION_FAILED = (500, 501)  # any other code: no source or no credits, so the task was never really created


class Flag(StrEnum):
    """``successFlag`` of separations."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    CREATE_FAILED = "CREATE_TASK_FAILED"
    GENERATE_FAILED = "GENERATE_AUDIO_FAILED"
    CALLBACK_EXCEPTION = "CALLBACK_EXCEPTION"


def flag(record: TaskRecord) -> Flag:
    """How a task stands; one that was cancelled has failed."""
    task = record.task
    if task.status in LIVE:
        return Flag.PENDING
    if task.status == TaskStatus.SUCCEEDED:
        return Flag.CALLBACK_EXCEPTION if record.callback_dead else Flag.SUCCESS
    return Flag.GENERATE_FAILED if task.error_code in _GENERATION_FAILED else Flag.CREATE_FAILED
