"""Workers of a fleet that die without a word, with the real pipeline: another one goes on."""

import pytest

from support.embedded import sha256_of_files, show, transcribe, until
from support.fleet import Fleet

pytestmark = [pytest.mark.chaos, pytest.mark.weights]

_STAGE = "SELECT id FROM stages WHERE task_id = $1 AND name = 'separation'"
_RESULTS = f"SELECT 1 FROM pending_files WHERE task_id = $1 AND fence > 0 AND EXISTS ({_STAGE})"


def stages(fleet: Fleet, task_id: str) -> list[str]:
    return [row["id"] for row in fleet.rows(_STAGE, task_id)]


def test_a_worker_killed_while_it_separates_and_one_while_results_are_stored(
    fleet: Fleet, whole_song: bytes, whole_song_files: dict[str, str]
) -> None:
    first = fleet.start_worker(seconds=None)
    task_id = transcribe(fleet, whole_song, fleet.receiver.url("song"))
    until(lambda: show(fleet, task_id)["progress"] > 0.3, fleet, "it was not begun")
    first.kill()
    assert stages(fleet, task_id) == []

    second = fleet.start_worker(seconds=None)
    until(lambda: fleet.rows(_RESULTS, task_id), fleet, "no results")
    second.kill()
    [row] = fleet.rows("SELECT status, attempt FROM tasks WHERE id = $1", task_id)
    assert (row["status"], row["attempt"]) == ("running", 2)
    [stage] = stages(fleet, task_id)

    fleet.start_worker(seconds=None)
    fleet.until_idle()
    assert show(fleet, task_id)["status"] == "succeeded", fleet.logs()
    assert stages(fleet, task_id) == [stage], "made anew, it would have another id"
    assert sha256_of_files(fleet, task_id) == whole_song_files
    [owed] = fleet.rows("SELECT id FROM outbox WHERE task_id = $1", task_id)
    assert set(fleet.receiver.ids("song")) == {owed["id"]}
    assert fleet.left_over() == []
