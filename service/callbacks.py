"""Callbacks' bodies: each in the dialect of the route that asked for the task."""

from collections.abc import Callable, Mapping

from service.db.models import Dialect, Task
from service.kie import callbacks as kie
from service.links import Links
from service.musicgpt import present as musicgpt
from service.native import present as native
from service.store.records import TaskRecord

_BODIES: Mapping[Dialect, Callable[[TaskRecord, Links], bytes]] = {
    Dialect.KIE: kie.generate_callback,
    Dialect.KIE_JOBS: kie.jobs_callback,
    Dialect.NATIVE: native.callback_body,
    Dialect.MUSICGPT: musicgpt.webhook_body,
}


def shows_notes(task: Task) -> bool:
    """Whether the body of a task's callback has its note lists; others have them behind links."""
    return task.dialect not in (Dialect.NATIVE, Dialect.MUSICGPT)


def callback_body(record: TaskRecord, links: Links) -> bytes:
    """The JSON body of the callback that an ended task owes."""
    return _BODIES[Dialect(record.task.dialect)](record, links)
