"""PostgreSQL that goes away, as in a crash, while workers claim tasks and while they write what they did."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.db import database as database_module
from service.db.database import Database, is_away
from support.fleet import Fleet
from support.fleet_songs import Song, ask, check, new_song, times_done, transcribe

pytestmark = pytest.mark.chaos

AWAY_S = 20.0  # longer than a lease, and than any pause between two tries
UPLOAD_STALE_H = 1.1  # after an hour the service takes an upload for dead
LEASE_S = "8"  # so that even a slow machine renews it in time once the database is back


def ask_while_away(fleet: Fleet, until_s: float) -> list[httpx.Response]:
    """What wishes for transcriptions are answered until a moment of the steady clock."""
    answers = []
    while time.monotonic() < until_s:
        answers.append(ask(fleet, new_song(500 + len(answers)), "lost"))
        time.sleep(1)
    return answers


def test_gone_for_20_s_while_tasks_are_claimed(fleet: Fleet) -> None:
    fleet.start_workers(3, seconds=0.3, tasks=2, lease_seconds=LEASE_S)
    asking = ThreadPoolExecutor(1).submit(transcribe, fleet, range(12))
    fleet.until(lambda: len(fleet.runs) > 4, "no task was claimed")
    songs = asking.result()
    fleet.postgres.stop()
    back_s = time.monotonic() + AWAY_S
    answers = ask_while_away(fleet, back_s)
    polled = httpx.get(f"{fleet.base_url}/v1/tasks/{songs[0].task_id}", headers=fleet.headers)
    fleet.postgres.start()
    for answer in [*answers, polled]:
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "5"
    # A claim whose answer was lost leaves a task to nobody until the lease ends, and costs it an attempt.
    check(fleet, songs, most_attempts=2)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)
    assert fleet.receiver.ids("lost") == {}


def test_gone_again_and_again_at_the_moment_when_stages_end(fleet: Fleet) -> None:
    fleet.start_workers(2, seconds=0.4, tasks=2, lease_seconds=LEASE_S)
    songs = transcribe(fleet, range(12))
    for away_s in (0.0, 1.0, 5.0, 0.5):
        ended = count_ends(fleet)
        fleet.until(lambda ended=ended: count_ends(fleet) > ended, "no stage ends")
        fleet.postgres.stop()
        time.sleep(away_s)
        fleet.postgres.start()
    check(fleet, songs, most_attempts=2)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)


def count_ends(fleet: Fleet) -> int:
    return sum(run.event == "end" for run in fleet.runs)


def test_stopped_in_order_while_songs_come_in(fleet: Fleet) -> None:
    """``fast``, as an administrator does: what was answered 202 is there, and what is not there was not."""
    fleet.start_workers(1, seconds=0.1, tasks=4, lease_seconds=LEASE_S)
    songs: list[Song] = []
    refused: list[httpx.Response] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            number = len(songs) + len(refused)
            response = ask(fleet, new_song(number), f"song-{number}")
            if response.status_code == 202:
                songs.append(Song(response.json()["id"], f"song-{number}", new_song(number)))
            else:
                refused.append(response)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(keep_asking)
        for _ in range(3):
            before = len(songs)
            fleet.until(lambda before=before: len(songs) > before + 2, "no song is taken in")
            fleet.postgres.stop("fast")
            time.sleep(1)
            fleet.postgres.start()
        over.set()
        asking.result()
    assert {response.status_code for response in refused} == {503}
    # Of an upload that failed while nothing could be written down, what it had announced is known to be nobody's later
    check(fleet, songs, most_attempts=2, hours_later=UPLOAD_STALE_H)
    [counted] = fleet.rows("SELECT count(*) FROM tasks WHERE kind = 'transcription'")
    assert counted["count"] >= len(songs), "a 503 may hide a commit whose answer was lost; never the other way round"


def test_frozen_for_longer_than_a_lease(fleet: Fleet) -> None:
    """Nothing fails and nothing is refused, so nobody knows; whoever had a task keeps it all the same."""
    fleet.start_workers(3, seconds=6, tasks=2, lease_seconds=LEASE_S)
    songs = transcribe(fleet, range(6))
    fleet.until(lambda: len(fleet.runs) == len(songs), "not all are being done")
    fleet.postgres.freeze()
    time.sleep(AWAY_S)
    fleet.postgres.thaw()
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)


async def test_locks_of_a_process_that_froze_within_a_transaction_do_not_stand_for_ever(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_LEFT_OPEN_MS", 500)
    frozen, other = Database(fleet.postgres.url), Database(fleet.postgres.url)
    lock = sa.select(sa.func.pg_advisory_xact_lock(1))

    async def freeze_with_the_lock() -> None:
        async with frozen.write() as session:
            await session.execute(lock)
            async with asyncio.timeout(10), other.write() as waiting:
                await waiting.execute(lock)

    with pytest.raises(SQLAlchemyError) as ended:
        await freeze_with_the_lock()
    assert is_away(ended.value), "it may try again"
    await frozen.close()
    await other.close()
