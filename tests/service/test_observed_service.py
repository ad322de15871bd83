"""``stemscribe serve`` seen from outside: one page of figures for both processes, one request id through both logs."""

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from support.audio import wav_bytes
from support.process import RunningService, running_service

TIMEOUT_S = 60.0
FINISHED = r'stemscribe_tasks_finished_total\{kind="wav",result="succeeded"\} (\d+)\.0'


def finished(service: RunningService, least: int) -> int:
    """How many WAV files were made by what ``/metrics`` says, once that is so many."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = re.search(FINISHED, httpx.get(f"{service.base_url}/metrics").text)
        if found is not None and int(found[1]) >= least:
            return int(found[1])
        assert time.monotonic() < deadline, service.log.read_text()[-3000:]
        time.sleep(0.1)


def make_wav(service: RunningService, request_id: str) -> str:
    """Have one made, by a request of that id; returns the task's."""
    uploaded = service.upload(wav_bytes())
    body = {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"], "callBackUrl": "http://127.0.0.1:9/none"}
    headers = {**service.headers, "X-Request-ID": request_id}
    answered = httpx.post(f"{service.base_url}/api/v1/wav/generate", json=body, headers=headers).json()
    assert answered["code"] == 200, answered
    task_id: str = answered["data"]["taskId"]
    return task_id


@pytest.mark.weights
@pytest.mark.chaos
def test_figures_and_ids_go_through_both_processes(tmp_path: Path) -> None:
    with running_service(tmp_path, log_format="json", reuse_results="false") as service:
        task_id = make_wav(service, "first-request")
        assert finished(service, 1) == 1
        service.worker().kill()
        make_wav(service, "second-request")  # another worker counts on
        assert finished(service, 2) == 2
        figures = httpx.get(f"{service.base_url}/metrics").text
        assert re.search(r'stemscribe_claims_total\{queue="io"\} [23]\.0', figures)
        assert 'stemscribe_http_requests_total{method="POST",route="/api/v1/wav/generate",status="200"} 2.0' in figures
        assert service.stop() == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    of_task = [line for line in lines if line.get("task_id") == task_id and line["logger"].startswith("service.worker")]
    assert of_task
    done = [line for line in of_task if line["logger"] == "service.worker.worker"]
    assert {(line["request_id"], line["kind"], line["attempt"]) for line in done} == {("first-request", "wav", 1)}
    [asked] = [line for line in lines if line.get("request_id") == "first-request" and "route" in line]
    assert (asked["method"], asked["route"], asked["status"]) == ("POST", "/api/v1/wav/generate", 200)
    assert asked["key_id"]
