"""Logging, the same in every process: one line an event, to standard error, as text or as JSON.

What a line is about (a request, a task) is held in a context variable, which threads and asyncio's tasks inherit: so
lines of libraries tell it, too.  structlog is imported only where lines are formatted; the store, which wants the
request's id, is imported by every command.
"""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.db.models import Task

_CHATTY = ("httpx", "httpcore", "alembic.runtime.migration", "aiosqlite", "arq.worker")
_OF_REQUESTS = ("method", "route", "status", "ms")  # what an access line has besides its text
_OWN_FIELDS = ("event", "level", "logger", "exception", "stack", *_OF_REQUESTS)  # shown otherwise, in text

_about: ContextVar[Mapping[str, str | int]] = ContextVar("stemscribe_log_context", default=MappingProxyType({}))


@contextlib.contextmanager
def about_fields(**fields: str | int | None) -> Iterator[None]:
    """Everything that is logged in the block has these fields; None is no field."""
    known = {name: value for name, value in fields.items() if value is not None}
    token = _about.set({**_about.get(), **known})
    try:
        yield
    finally:
        _about.reset(token)


@contextlib.contextmanager
def about(task: "Task") -> Iterator[None]:
    """Everything that is logged in the block is about a task, and the request that asked for it."""
    with about_fields(task_id=task.id, request_id=task.request_id, kind=task.kind, attempt=task.attempt):
        yield


def add_field(name: str, value: str | int) -> None:
    """Give what is logged another field, as long as the block of :func:`about_fields` lasts in which this is called."""
    _about.set({**_about.get(), name: value})


def current_request_id() -> str | None:
    """The id of the request that is being answered; None outside of one."""
    found = _about.get().get("request_id")
    return found if isinstance(found, str) else None


def configure_logging(log_format: str = "text", level: int = logging.INFO) -> None:
    """Send our own events to standard error, and of the libraries' only what needs attention.

    Args:
        log_format: ``text`` or ``json``.
        level: the least that is shown.
    """
    import structlog

    lines: list[Any] = [
        structlog.stdlib.ExtraAdder(_OF_REQUESTS),
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _as_json if log_format == "json" else _as_text,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=lines))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event.update(_about.get()) or event


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """One object: timestamp (UTC), level, logger, event, and whatever else is known."""
    record: logging.LogRecord = event["_record"]
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    first = {
        "timestamp": f"{when}.{int(record.msecs):03d}Z",
        **{name: event[name] for name in ("level", "logger", "event")},
    }
    return json.dumps({**first, **_known(event)}, default=str)


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """One line, for people; what it is about comes last, as far as its words do not say it.  A traceback follows."""
    record: logging.LogRecord = event["_record"]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
    words = str(event["event"]).replace("\r", "\\r").replace("\n", "\\n")
    more = [
        f"{name}={value}"
        for name, value in _known(event).items()
        if name not in _OWN_FIELDS and str(value) not in words
    ]
    context = f" [{' '.join(more)}]" if more else ""
    lines = [f"{when},{int(record.msecs):03d} {record.levelname:<7} {record.name}: {words}{context}"]
    return "\n".join([*lines, *(event[name] for name in ("exception", "stack") if name in event)])


def _known(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if not name.startswith("_")}
