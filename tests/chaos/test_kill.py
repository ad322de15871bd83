"""What happens to an accepted song when processes die: it is finished, once, and nothing is left lying about."""

import contextlib
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile as sf

from service.demo.receiver import CallbackReceiver
from support.process import RunningService, running_service

pytestmark = [pytest.mark.chaos, pytest.mark.weights]

LEASE_S = 3


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """25 s of tones and clicks: four segments, long enough to be killed in the middle of."""
    rate_hz = 44_100
    at = np.arange(25 * rate_hz) / rate_hz
    chord = sum(np.sin(2 * np.pi * hz * at) for hz in (110.0, 220.0, 277.2, 329.6)) / 8
    clicks = np.random.default_rng(1).standard_normal(at.size) * np.exp(-40 * (at % 0.5)) * 0.3
    path = tmp_path_factory.mktemp("song") / "song.flac"
    sf.write(path, np.stack([chord + clicks, chord - clicks], axis=1), rate_hz)
    return path.read_bytes()


def start_separation(service: RunningService, song: bytes, receiver: CallbackReceiver) -> str:
    uploaded = service.upload(song, "song.flac")
    return service.generate(
        "vocal-removal",
        taskId=uploaded["taskId"],
        audioId=uploaded["audioId"],
        type="split_stem",
        callBackUrl=receiver.url("/done"),
    )


def wait_for_progress(service: RunningService, task_id: str, least: float) -> None:
    deadline = time.monotonic() + 120
    while service.record("vocal-removal", task_id)["progress"] < least:
        assert time.monotonic() < deadline, service.log.read_text()[-3000:]
        time.sleep(0.05)


def left_over(service: RunningService) -> list[str]:
    """Files of the data folder that belong to nothing: in the scratch folder, or stored without a record."""
    scratch = [path for path in (service.data_dir / "scratch").rglob("*") if path.is_file()]
    with contextlib.closing(sqlite3.connect(service.data_dir / "stemscribe.db")) as connection:
        rows = connection.execute("SELECT storage_key FROM files UNION SELECT storage_key FROM stage_files")
        known = {key for (key,) in rows}
    root = service.data_dir / "files"
    stored = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert known <= stored
    return [str(path) for path in scratch] + sorted(stored - known)


def test_kill_9_in_the_middle_of_a_separation(tmp_path: Path, song: bytes) -> None:
    with CallbackReceiver() as receiver, running_service(tmp_path, lease_seconds=str(LEASE_S)) as service:
        task_id = start_separation(service, song, receiver)
        wait_for_progress(service, task_id, 0.3)
        first = service.worker()
        first.kill()
        first.wait(10)
        record = service.wait("vocal-removal", task_id)
        assert record["successFlag"] == "SUCCESS", record
        assert len(record["response"]["originData"]) == 4
        assert service.worker().pid != first.pid
        assert receiver.wait_for("/done", 20) is not None
        time.sleep(2 * LEASE_S)  # room for a second callback, which must not come
        assert [body["code"] for _, body in receiver.received] == [200]
        assert left_over(service) == []


def test_one_ctrl_c_hands_back_and_the_next_start_finishes(tmp_path: Path, song: bytes) -> None:
    with CallbackReceiver() as receiver:
        with running_service(tmp_path) as service:
            task_id = start_separation(service, song, receiver)
            wait_for_progress(service, task_id, 0.2)
            family = [
                psutil.Process(service.process.pid),
                *psutil.Process(service.process.pid).children(recursive=True),
            ]
            assert service.stop(signal.SIGINT) == 0
            assert [member for member in family if member.is_running()] == []
            assert "handed back" in service.log.read_text()
        with running_service(tmp_path):
            assert receiver.wait_for("/done", 120) is not None
            assert [body["code"] for _, body in receiver.received] == [200]


def test_a_worker_never_outlives_its_parent(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        worker = service.worker()
        service.process.kill()
        worker.wait(30)
        assert not worker.is_running()
