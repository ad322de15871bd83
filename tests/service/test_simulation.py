"""A small simulated fleet: whatever happens to workers and receivers, nothing is lost or done twice, and it is fair."""

import dataclasses
from pathlib import Path

from bench.simulate_fleet import Scenario, simulate

SMALL = Scenario(n_tasks=40, workers=(1, 3, 2), hours=0.05, outage_every_s=120.0, tick_s=0.5)


async def test_dying_workers_and_failing_receivers_break_nothing(database_url: str, tmp_path: Path) -> None:
    figures = await simulate(database_url, tmp_path, SMALL)
    assert figures.problems == []
    assert figures.events["tasks succeeded"] + figures.events["tasks failed: three workers lost"] == SMALL.n_tasks
    assert figures.delivered + figures.dead == SMALL.n_tasks
    for event in ("leases reaped", "writes of lost leases refused", "callback attempts answered 503"):
        assert figures.events[event] > 0, f"no {event}: the simulation shows less than it should"
    _, _, small_s, _ = figures.rows["small"]
    _, _, big_s, _ = figures.rows["big"]
    assert small_s < big_s / 2, "customers with one song do not wait for the one with many"


async def test_first_come_first_served_would_be_unfair(database_url: str, tmp_path: Path) -> None:
    """Else the test above proved nothing."""
    by_age = dataclasses.replace(SMALL, outage_every_s=1e9, fifo=True)
    figures = await simulate(database_url, tmp_path, by_age)
    assert figures.problems == []
    _, _, small_s, _ = figures.rows["small"]
    _, _, big_s, _ = figures.rows["big"]
    assert small_s > big_s / 2
