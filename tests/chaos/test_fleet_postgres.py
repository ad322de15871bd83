"""PostgreSQL that goes away, as in a crash, while workers claim tasks and while they write what they did."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.fleet import Fleet
from support.fleet_songs import Song, ask, check, new_song, times_done, transcribe

pytestmark = pytest.mark.chaos

AWAY_S = 20.0  # far longer than a lease, and than any pause between two tries


def ask_while_away(fleet: Fleet, until_s: float) -> list[httpx.Response]:
    """What wishes for transcriptions are answered until a moment of the steady clock."""
    answers = []
    while time.monotonic() < until_s:
        answers.append(ask(fleet, new_song(500 + len(answers)), "lost"))
        time.sleep(1)
    return answers


def test_gone_for_20_s_while_tasks_are_claimed(fleet: Fleet) -> None:
    fleet.start_workers(3, seconds=0.3, tasks=2)
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
    fleet.start_workers(2, seconds=0.4, tasks=2)
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
    fleet.start_workers(1, seconds=0.1, tasks=4)
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
    check(fleet, songs, most_attempts=2)
    [counted] = fleet.rows("SELECT count(*) FROM tasks WHERE kind = 'transcription'")
    assert counted["count"] >= len(songs), "a 503 may hide a commit whose answer was lost; never the other way round"
