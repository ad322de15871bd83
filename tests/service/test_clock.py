"""The clock that the processes of a fleet share: the database's, carried on by each machine's steady one."""

import asyncio
import logging
import time

import pytest

from service import clock as clock_module
from service.clock import DatabaseClock
from support.waiting import until

THERE_MS = 1_700_000_000_000


class Machine:
    """A steady clock, and a database that answers after a while; both move when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady_ms = 50_000
        self.there_ms = THERE_MS
        self.answer_takes_ms = 0
        self.is_away = False
        self.asked = 0
        monkeypatch.setattr(clock_module, "_steady_ms", lambda: self.steady_ms)

    def pass_time(self, ms: int) -> None:
        self.steady_ms += ms
        self.there_ms += ms

    async def read_ms(self) -> int:
        self.asked += 1
        if self.is_away:
            raise ConnectionError
        self.pass_time(self.answer_takes_ms)
        return self.there_ms


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


async def test_before_the_first_answer_it_is_the_machine_s_own(machine: Machine) -> None:
    assert abs(DatabaseClock(machine.read_ms).now_ms() - time.time() * 1000) < 10_000


async def test_it_goes_on_with_the_steady_clock_between_two_answers(machine: Machine) -> None:
    clock = DatabaseClock(machine.read_ms)
    await clock.sync()
    assert clock.now_ms() == THERE_MS
    machine.pass_time(1234)
    assert clock.now_ms() == THERE_MS + 1234


async def test_a_database_whose_clock_is_set_is_followed_and_told_of(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    clock = DatabaseClock(machine.read_ms)
    await clock.sync()
    machine.there_ms += 3_600_000
    with caplog.at_level(logging.WARNING, "service.clock"):
        await clock.sync()
    assert clock.now_ms() == THERE_MS + 3_600_000
    assert "+3600000 ms" in caplog.text


async def test_an_answer_that_took_long_changes_nothing_but_the_first(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """As after the database was away: nobody knows of which moment in that time it is."""
    clock = DatabaseClock(machine.read_ms)
    machine.answer_takes_ms = 20_000
    await clock.sync()
    assert abs(clock.now_ms() - machine.there_ms) <= 10_000
    machine.answer_takes_ms = 0
    await clock.sync()
    machine.answer_takes_ms = 20_000
    caplog.clear()
    with caplog.at_level(logging.WARNING, "service.clock"):
        await clock.sync()
    assert clock.now_ms() == machine.there_ms
    assert caplog.text == ""


async def test_until_the_first_answer_it_is_asked_for_often(machine: Machine) -> None:
    clock = DatabaseClock(machine.read_ms)
    machine.is_away = True
    keeping = asyncio.create_task(clock.keep())
    await until(lambda: machine.asked > 2, patience_s=4.0)
    machine.is_away = False
    await until(lambda: clock.now_ms() == THERE_MS, patience_s=4.0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
