"""Workers that are told to stop, once or twice, and workers that are stopped without a word."""

import signal
import time

import pytest

from support.fleet import Fleet, Member
from support.fleet_songs import Song, check, times_done, transcribe

pytestmark = pytest.mark.chaos


def begun(fleet: Fleet, stage: str, worker: Member) -> int:
    return sum((run.event, run.stage, run.pid) == ("begin", stage, worker.pid) for run in fleet.runs)


def attempts(fleet: Fleet, songs: list[Song]) -> list[int]:
    query = "SELECT id, attempt FROM tasks WHERE id = ANY($1)"
    by_id = {row["id"]: row["attempt"] for row in fleet.rows(query, [song.task_id for song in songs])}
    return [by_id[song.task_id] for song in songs]


def test_told_to_stop_a_worker_hands_back_what_it_does(fleet: Fleet) -> None:
    """Of three tasks one has its stems already; the next worker does not separate that song again."""
    worker = fleet.start_worker(seconds=3, tasks=3)
    songs = transcribe(fleet, [0])
    fleet.until(lambda: begun(fleet, "transcribe", worker), "no stems")
    songs += transcribe(fleet, [1, 2])
    fleet.until(lambda: begun(fleet, "separate", worker) == 3, "not all are being done")
    worker.terminate()
    assert worker.wait() == 0
    assert attempts(fleet, songs) in ([0, 0, 0], [1, 0, 0]), "charged nothing; the first may have been nearly done"
    fleet.start_worker(seconds=0.1, tasks=3)
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1, 1, 1]


def test_what_is_nearly_done_is_finished(fleet: Fleet) -> None:
    worker = fleet.start_worker(seconds=2)
    songs = transcribe(fleet, [0])
    progress = "SELECT progress FROM tasks WHERE id = $1"
    fleet.until(lambda: fleet.rows(progress, songs[0].task_id)[0]["progress"] > 0.92, "no progress")
    worker.terminate()
    assert worker.wait() == 0
    [task] = fleet.rows("SELECT status, attempt, fence FROM tasks WHERE id = $1", songs[0].task_id)
    assert tuple(task) == ("succeeded", 1, 1), worker.log.read_text()
    fleet.start_worker(seconds=0.1)  # its callback, which nobody may have delivered yet
    check(fleet, songs)


def test_told_twice_it_ends_at_once_and_its_leases_run_out(fleet: Fleet) -> None:
    worker = fleet.start_worker(seconds=4, tasks=2, grace_seconds="60")
    songs = transcribe(fleet, range(2))
    fleet.until(lambda: begun(fleet, "separate", worker) == 2, "not both are being done")
    worker.signal(signal.SIGSTOP)  # so that both signals are there before it can answer the first
    worker.terminate()
    worker.signal(signal.SIGINT)
    worker.signal(signal.SIGCONT)
    assert worker.wait(5) == 130
    fleet.start_worker(seconds=0.1, tasks=2)
    check(fleet, songs, most_attempts=2)


def test_told_to_stop_while_the_database_is_away_it_ends_all_the_same(fleet: Fleet) -> None:
    worker = fleet.start_worker(seconds=4, tasks=2)
    songs = transcribe(fleet, range(2))
    fleet.until(lambda: begun(fleet, "separate", worker) == 2, "not both are being done")
    fleet.postgres.stop()
    worker.terminate()
    assert worker.wait(30) == 1, "not everything could be handed back"
    assert worker.says("cannot be handed back")
    assert not worker.says("Traceback")
    fleet.postgres.start()
    fleet.start_worker(seconds=0.1, tasks=2)
    check(fleet, songs, most_attempts=2)


def test_a_worker_that_slept_longer_than_its_lease_changes_nothing_and_goes_on(fleet: Fleet) -> None:
    zombie = fleet.start_worker(seconds=2)
    songs = transcribe(fleet, [0])
    fleet.until(lambda: begun(fleet, "separate", zombie), "nothing is being done")
    time.sleep(1)
    zombie.signal(signal.SIGSTOP)
    other = fleet.start_worker(seconds=2)
    fleet.until(lambda: begun(fleet, "separate", other), "the task was not taken from it")
    zombie.signal(signal.SIGCONT)
    check(fleet, songs, most_attempts=2)
    assert zombie.says("is no longer the newest")
    other.kill()
    more = transcribe(fleet, [1])
    check(fleet, more)
    assert begun(fleet, "transcribe", zombie) == 1, "of the second song"


def test_killed_the_worker_that_makes_the_rounds_is_succeeded_by_another(fleet: Fleet) -> None:
    workers = fleet.start_workers(3, seconds=2, tasks=2)
    songs = transcribe(fleet, range(6))
    stored: set[str] = set()
    for _ in range(2):
        made = {worker.name: rounds(worker) for worker in workers}
        fleet.until(lambda made=made: any(rounds(worker) > made[worker.name] for worker in workers), "no rounds")
        [maker, *_] = [worker for worker in workers if rounds(worker) > made[worker.name]]
        fleet.until(lambda maker=maker: begun(fleet, "separate", maker), "it does nothing")
        maker.kill()
        workers.remove(maker)
        stored |= {row["task_id"] for row in fleet.rows("SELECT task_id FROM stages WHERE name = 'separation'")}
    check(fleet, songs, most_attempts=3)
    fleet.until(lambda: rounds(workers[0]) > 0, "nobody makes rounds any more")
    separated = times_done(fleet, "separate", [song for song in songs if song.task_id in stored])
    assert set(separated) <= {1}, "what is stored is not done again"


def rounds(worker: Member) -> int:
    return worker.log.read_text().count("→ rounds")
