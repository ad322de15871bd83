"""Clocks that are wrong, and clocks that are set while a task runs."""

from pathlib import Path

import pytest

from support.fleet import Fleet
from support.fleet_songs import check, times_done, transcribe

pytestmark = pytest.mark.chaos

HOUR_S = 3600


def test_workers_whose_clocks_are_an_hour_off(fleet: Fleet, tmp_path: Path) -> None:
    """The database's clock decides: nobody's lease is over early or late, and nobody waits for what is due."""
    workers = []
    for offset_s in (HOUR_S, -HOUR_S):
        clock = tmp_path / f"{offset_s}"
        clock.write_text(str(offset_s))
        workers += fleet.start_workers(1, seconds=1.6, tasks=2, clock=clock)  # both stages are longer than a lease
    songs = transcribe(fleet, range(8))
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)
    assert {run.pid for run in fleet.runs} == {worker.pid for worker in workers}, "both did some"
    assert not any(worker.says("fell silent") for worker in workers)
