"""Redis that forgets, falls silent, is gone, or says things twice: only a bell, so nothing is lost or done twice."""

import asyncio
import signal
import time
from collections.abc import Sequence

import pytest

from service.db.models import Queue
from service.doorbell import JOB, ArqDoorbell, arq_queue
from support.fleet import Fleet
from support.fleet_songs import Song, ask, check, new_song, times_done, transcribe

pytestmark = pytest.mark.chaos

# Longer than workers wait between two looks (5 s), rounds are apart (5 s) and a silent Redis is waited for (2 s): a
# whole minute would only repeat that.
SILENT_S, GONE_S = 6.0, 8.0
ACCEPTED_WITHIN_S = 1.0  # the API never waits for Redis, whose silence alone is waited for twice as long
RUNG_WITHIN_S = 1.5  # a task that is found by looking waits for 2.5 s on average, and up to 5 s


def test_flushed_with_50_tasks_queued(fleet: Fleet) -> None:
    songs = transcribe(fleet, range(50))
    fleet.redis.flush()
    fleet.start_workers(2, seconds=0.05, tasks=4)
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)


def test_silent_and_then_gone_while_songs_come_in(fleet: Fleet) -> None:
    fleet.start_workers(2, seconds=0.1, tasks=2)
    assert fleet.redis.process is not None
    fleet.redis.process.send_signal(signal.SIGSTOP)
    songs, waits_s = come_in(fleet, SILENT_S, first=0)
    fleet.redis.stop()
    more, more_waits_s = come_in(fleet, GONE_S, first=len(songs))
    ended = "SELECT count(*) AS number FROM tasks WHERE kind = 'transcription' AND status = 'succeeded'"
    fleet.until(lambda: fleet.rows(ended)[0]["number"] > len(songs), "nothing is done without Redis")
    for waited_s in (sorted(waits_s), sorted(more_waits_s)):
        assert waited_s[len(waited_s) // 2] < ACCEPTED_WITHIN_S, waited_s
    check(fleet, [*songs, *more])
    fleet.redis.start()
    assert_rung_for(fleet)


def come_in(fleet: Fleet, for_s: float, *, first: int) -> tuple[list[Song], list[float]]:
    """Songs that are asked for one after the other, and how long each answer took."""
    songs: list[Song] = []
    waits_s: list[float] = []
    over_s = time.monotonic() + for_s
    while time.monotonic() < over_s:
        number = first + len(songs)
        began_s = time.monotonic()
        response = ask(fleet, new_song(number), f"song-{number}")
        waits_s.append(time.monotonic() - began_s)
        assert response.status_code == 202, response.text
        songs.append(Song(response.json()["id"], f"song-{number}", new_song(number)))
        time.sleep(0.5)
    return songs, waits_s


def assert_rung_for(fleet: Fleet) -> None:
    """Idle workers begin tasks at once: more often than they could by looking every five seconds."""
    workers = [member for member in fleet.members if member.exit_code is None and member.name.startswith("worker")]
    heard = len(workers)
    fleet.until(
        lambda: sum(member.log.read_text().rpartition("Redis is away")[2].count("redis_version") > 0
                    for member in workers) == heard,
        "the bell is not heard again",
    )  # fmt: skip
    songs = []
    for number in range(900, 905):
        [song] = transcribe(fleet, [number])
        fleet.until_idle()
        songs.append(song)
    query = "SELECT (started_ms - created_ms) / 1000.0 AS waited_s FROM tasks WHERE id = ANY($1)"
    waits_s = [float(row["waited_s"]) for row in fleet.rows(query, [song.task_id for song in songs])]
    assert sorted(waits_s)[-2] < RUNG_WITHIN_S, waits_s


def test_rung_for_again_and_again_a_task_is_done_once(fleet: Fleet) -> None:
    fleet.start_workers(4, seconds=0.3)
    songs = []
    for number in range(5):
        songs += transcribe(fleet, [number])
        asyncio.run(ring_again(fleet, songs[-1].task_id, times=8))
        fleet.until_idle()
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)
    assert len(fleet.runs) == 4 * len(songs), "both stages begun once, and ended once"


async def ring_again(fleet: Fleet, task_id: str, times: int) -> None:
    """Rings of other names for the same task, on every queue: arq knows nothing of their being the same."""
    doorbell = ArqDoorbell(fleet.redis.url)
    names: Sequence[str] = [f"again-{number}:{task_id}" for number in range(times)]
    await asyncio.gather(
        *(
            doorbell.redis.enqueue_job(JOB, task_id, _queue_name=arq_queue(queue), _job_id=f"{queue}:{name}")
            for name in names
            for queue in Queue
        )
    )
    await doorbell.close()
