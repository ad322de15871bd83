"""An API, or everything, that dies without a word: what got an answer is there afterwards, and what got none is not."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.embedded import ask, check_success, execute, left_over, rows, show, until
from support.fleet import Receiver
from support.process import RunningService, running_service

pytestmark = [pytest.mark.chaos, pytest.mark.weights]

LEASE_S = "3"
AN_HOUR_S = 3600


def kill_api(service: RunningService) -> None:
    """The worker ends with it, in its own way."""
    worker = service.worker()
    service.process.kill()
    service.process.wait()
    worker.wait(60)  # it may be starting, which takes long on a busy machine


def kill_all(service: RunningService) -> None:
    """API and worker at once."""
    worker = service.worker()
    for process in (service.process, worker):
        process.kill()
    service.process.wait()
    worker.wait(10)


def let_time_pass(service: RunningService) -> None:
    """An hour, for what a dead API was working on."""
    execute(service, "UPDATE idempotency SET locked_until_ms = locked_until_ms - 3600000")
    execute(service, "UPDATE pending_files SET created_ms = created_ms - 3600000")
    before_s = time.time() - AN_HOUR_S
    for path in (service.data_dir / "scratch").iterdir():
        os.utime(path, (before_s, before_s))


def arrived(service: RunningService) -> list[Path]:
    """Files of uploads, of which something has come."""
    return [path for path in (service.data_dir / "scratch").glob("upload-*") if path.stat().st_size > 0]


def test_killed_in_the_middle_of_an_upload(tmp_path: Path, whole_song: bytes) -> None:
    with running_service(tmp_path) as service:
        files = {"file": ("song.flac", whole_song)}
        whole = httpx.Request("POST", f"{service.base_url}/v1/transcriptions", files=files)
        body = whole.read()

        def broken() -> Iterator[bytes]:
            yield body[: len(body) // 2]
            until(lambda: arrived(service), service, "nothing arrived")
            kill_api(service)
            yield body[len(body) // 2 :]

        headers = {**service.headers, "Content-Type": whole.headers["Content-Type"], "Idempotency-Key": "once"}
        with pytest.raises(httpx.TransportError):
            httpx.post(whole.url, content=broken(), headers=headers, timeout=60)
    assert len(arrived(service)) == 1
    assert rows(service, "SELECT id FROM tasks") == []
    let_time_pass(service)
    with running_service(tmp_path, token=service.token) as service:
        until(lambda: left_over(service) == [], service, "half an upload stays")
        repeats = [ask(service, whole_song, **{"Idempotency-Key": "once"}) for _ in range(2)]
        assert [response.status_code for response in repeats] == [202, 202], repeats[0].text
        assert rows(service, "SELECT id FROM tasks") == [(repeats[0].json()["id"],)]
        assert repeats[0].json()["id"] == repeats[1].json()["id"]


def upload(service: RunningService, content: bytes) -> dict[str, Any]:
    address = f"{service.base_url}/api/file-stream-upload"
    headers = {**service.headers, "Idempotency-Key": "an upload"}
    response = httpx.post(address, files={"file": ("song.flac", content)}, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def separate(service: RunningService, uploaded: dict[str, Any], callback_url: str) -> str:
    source = {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"]}
    response = httpx.post(
        f"{service.base_url}/api/v1/vocal-removal/generate",
        json={**source, "type": "split_stem", "callBackUrl": callback_url},
        headers={**service.headers, "Idempotency-Key": "a separation"},
        timeout=60,
    )
    assert response.json()["code"] == 200, response.text
    return str(response.json()["data"]["taskId"])


def test_killed_right_after_its_answers_and_all_at_once_later(
    tmp_path: Path, whole_song: bytes, whole_song_files: dict[str, str], receiver: Receiver
) -> None:
    with running_service(tmp_path) as service:
        uploaded = upload(service, whole_song)
        kill_all(service)
    let_time_pass(service)
    with running_service(tmp_path, token=service.token) as service:
        again = upload(service, whole_song)
        assert (again["taskId"], again["audioId"]) == (uploaded["taskId"], uploaded["audioId"])
        task_id = separate(service, uploaded, receiver.url("song"))
        kill_api(service)
    let_time_pass(service)
    with running_service(tmp_path, token=service.token, lease_seconds=LEASE_S) as service:
        assert separate(service, uploaded, receiver.url("song")) == task_id
        until(lambda: show(service, task_id)["progress"] > 0.3, service, "it does not go on")
        kill_all(service)
    with running_service(tmp_path, token=service.token, lease_seconds=LEASE_S) as service:
        stems = {name: digest for name, digest in whole_song_files.items() if name.endswith(".flac")}
        assert len(stems) == 4
        check_success(service, task_id, stems, receiver, "song")
        assert rows(service, "SELECT kind, status FROM tasks ORDER BY kind") == [
            ("separation", "succeeded"),
            ("upload", "succeeded"),
        ]
