"""Lines of the log: whose they are, what they are about, as text and as JSON."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from service.db.models import Task, TaskKind
from service.logs import about, about_fields, add_field, configure_logging, current_request_id

TASK = Task(id="t1", request_id="r1", kind=TaskKind.MIDI, attempt=2)
_log = logging.getLogger("tests.logs")


@contextmanager
def logging_as(log_format: str) -> Iterator[None]:
    """Logging as a process sets it up, and as it was afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        configure_logging(log_format)
        yield
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        root.handlers[:] = before
        root.setLevel(level)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


async def test_json_lines_say_when_who_and_about_what(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        with about(TASK):
            await asyncio.to_thread(_log.info, "separated %d stems", 4)  # as the worker's threads do
        _log.warning("afterwards")
    within, after = lines_of(capsys)
    when = datetime.fromisoformat(str(within.pop("timestamp")))
    assert when.tzinfo == UTC
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert within == {
        "level": "info", "logger": "tests.logs", "event": "separated 4 stems",
        "task_id": "t1", "request_id": "r1", "kind": "midi", "attempt": 2,
    }  # fmt: skip
    assert (after["event"], after["level"]) == ("afterwards", "warning")
    assert not {"task_id", "request_id", "kind", "attempt"} & set(after)


def test_an_exception_is_one_string_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        try:
            raise ValueError("bad\nvalue")
        except ValueError:
            _log.exception("it failed:\nbadly")
    [line] = lines_of(capsys)
    assert line["event"] == "it failed:\nbadly"
    assert str(line["exception"]).startswith("Traceback")
    assert str(line["exception"]).endswith("ValueError: bad\nvalue")


def test_fields_of_access_lines_are_fields_and_other_extras_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        fields = {"method": "GET", "route": "/v1/tasks", "status": 200, "ms": 1.5}
        _log.info("GET", extra={**fields, "body": "secret"})
    [line] = lines_of(capsys)
    assert {name: line[name] for name in fields} == fields
    assert "body" not in line


def test_text_is_one_line_an_event_and_says_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("text"), about(TASK):
        _log.info("task t1: done\nforged line")
        _log.error("failed", exc_info=ValueError("why"))
    first, second, *trace = capsys.readouterr().err.splitlines()
    assert first.endswith(r"INFO    tests.logs: task t1: done\nforged line [request_id=r1 kind=midi attempt=2]")
    assert datetime.strptime(first[:23], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007 (local time, as it is meant)
    assert second.endswith("ERROR   tests.logs: failed [task_id=t1 request_id=r1 kind=midi attempt=2]")
    assert trace == ["ValueError: why"]


def test_chatty_libraries_are_heard_only_when_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        logging.getLogger("httpx").info("HTTP Request: GET ...")
        logging.getLogger("httpx").warning("odd")
    assert [line["event"] for line in lines_of(capsys)] == ["odd"]


async def test_what_requests_are_about_does_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    async def request(name: str) -> None:
        with about_fields(request_id=name, key_id=None):
            await asyncio.sleep(0)
            add_field("key_id", f"key of {name}")
            await asyncio.sleep(0)
            assert current_request_id() == name
            _log.info("%s", name)

    with logging_as("json"):
        await asyncio.gather(*(request(name) for name in ("a", "b", "c")))
        assert current_request_id() is None
        _log.info("none")
    told = {line["event"]: (line.get("request_id"), line.get("key_id")) for line in lines_of(capsys)}
    assert told == {name: (name, f"key of {name}") for name in ("a", "b", "c")} | {"none": (None, None)}
