"""S3 that goes away while results are stored and while songs come in."""

import time

import pytest

from support.fleet import Fleet
from support.fleet_songs import ask, check, new_song, times_done, transcribe

pytestmark = pytest.mark.chaos

AWAY_S = 20.0


def test_gone_for_20_s_while_results_are_stored_and_songs_come_in(fleet: Fleet) -> None:
    fleet.start_workers(2, seconds=1.0, tasks=3)
    songs = transcribe(fleet, range(10))
    fleet.until(lambda: sum(run.event == "end" for run in fleet.runs) > 2, "no stage ends")
    fleet.gate.close()
    back_s = time.monotonic() + AWAY_S
    refused = []
    while time.monotonic() < back_s:
        refused.append(ask(fleet, new_song(500 + len(refused)), "refused"))
    fleet.gate.open()
    for response in refused:
        assert response.status_code == 503, response.text
        assert response.headers["retry-after"] == "5"
        assert response.json()["code"] == "unavailable"
    check(fleet, songs)
    assert times_done(fleet, "separate", songs) == [1] * len(songs)
    assert fleet.receiver.ids("refused") == {}
