"""Figures for Prometheus: what is counted where it is done, and what the database says."""

import asyncio
import dataclasses
import errno
import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from service.context import Context
from service.db.models import Queue
from service.errors import AddressRefused
from service.shared_metrics import share_metrics
from service.store.statistics import Statistics, StatisticsStore
from service.worker.deliveries import Deliverer
from service.worker.http import pages
from support.api import Api, call, started
from support.clock import ManualClock
from support.process import free_port
from support.servers import answer, http_server

Values = dict[str, float]


def values_of(text: str, *names: str) -> Values:
    """Samples by ``name{labels}``, of families that begin with one of ``names``."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(names or "stemscribe_"):
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def counted() -> Values:
    return values_of(metrics.exposition().decode())


def added(before: Values, *names: str) -> Values:
    """What was counted since, as far as it begins with one of ``names``; nothing ever falls."""
    changes = {name: value - before.get(name, 0.0) for name, value in counted().items() if name.startswith(names)}
    assert all(change >= 0 for change in changes.values())
    return {name: change for name, change in changes.items() if change}


def test_everything_that_is_recorded_is_shown() -> None:
    before = counted()
    metrics.task_claimed("midi")
    metrics.task_finished("midi", "succeeded")
    metrics.leases_expired(2)
    metrics.stage_finished("separation", 3.0, audio_s=30.0)
    metrics.stage_finished("fetching", 0.4)
    metrics.result_reused("separation")
    metrics.batch_run(3, 4)
    metrics.bytes_stored(1000)
    changes = added(before, "stemscribe_")
    assert changes == changes | {
        "stemscribe_claims_total{queue=midi}": 1,
        "stemscribe_tasks_finished_total{kind=midi,result=succeeded}": 1,
        "stemscribe_lease_expiries_total{}": 2,
        "stemscribe_stage_seconds_sum{stage=separation}": 3,
        "stemscribe_stage_seconds_bucket{le=2.5,stage=fetching}": 1,
        "stemscribe_stage_seconds_count{stage=fetching}": 1,
        "stemscribe_audio_processed_seconds_total{stage=separation}": 30,
        "stemscribe_results_reused_total{stage=separation}": 1,
        "stemscribe_batch_segments_total{}": 3,
        "stemscribe_batch_fill_ratio_bucket{le=0.75}": 1,
        "stemscribe_batch_fill_ratio_sum{}": 0.75,
        "stemscribe_storage_written_bytes_total{}": 1000,
    }
    assert "stemscribe_stage_seconds_bucket{le=2.5,stage=separation}" not in changes
    assert "stemscribe_batch_fill_ratio_bucket{le=0.625}" not in changes
    assert "stemscribe_audio_processed_seconds_total{stage=fetching}" not in changes


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (204, "2xx"), (301, "3xx"), (410, "4xx"), (599, "5xx"), (101, "error"), (600, "error"),
        (TimeoutError(), "timeout"), (httpx.ReadTimeout("slow"), "timeout"), (httpx.ConnectTimeout("slow"), "timeout"),
        (httpx.ConnectError("no"), "refused"), (ConnectionRefusedError(), "refused"), (AddressRefused("no"), "refused"),
        (httpx.RemoteProtocolError("odd"), "error"), (OSError("odd"), "error"), (httpx.InvalidURL("odd"), "error"),
    ],
)  # fmt: skip
def test_attempts_of_callbacks_are_counted_by_what_came_of_them(outcome: int | Exception, result: str) -> None:
    before = counted()
    metrics.callback_attempted(outcome)
    assert added(before, "stemscribe_") == {f"stemscribe_callback_attempts_total{{result={result}}}": 1}


async def test_a_real_callback_is_counted_once_an_attempt(api: Api) -> None:
    api.context.settings = dataclasses.replace(api.context.settings, allow_addresses=(ip_network("127.0.0.0/8"),))
    with http_server(lambda handler, _: answer(handler, 503)) as url:
        await api.separated(callback_url=f"{url}/callback")
        before = counted()
        assert await Deliverer(api.context).deliver_due() == 1
    assert added(before, "stemscribe_callback") == {"stemscribe_callback_attempts_total{result=5xx}": 1}
    api.clock.advance(10)
    before = counted()
    assert await Deliverer(api.context).deliver_due() == 1
    assert added(before, "stemscribe_callback") == {"stemscribe_callback_attempts_total{result=refused}": 1}


async def statistics_of(context: Context) -> Statistics:
    """As they are now; the context's own are kept for some seconds."""
    return await StatisticsStore(context.database, context.clock).latest()


async def test_live_tasks_are_told_of_by_queue_kind_and_state(api: Api, clock: ManualClock) -> None:
    assert await statistics_of(api.context) == Statistics([], {"separation": 0.0, "midi": 0.0, "io": 0.0}, 0)
    first = await started(api)
    clock.advance(30)
    await started(api)
    clock.advance(12)
    found = await statistics_of(api.context)
    assert [(group.kind, group.state, group.count) for group in found.groups] == [("transcription", "queued", 2)]
    queue = found.groups[0].queue
    assert found.oldest_due_s == {"separation": 0.0, "midi": 0.0, "io": 0.0} | {queue: 42.0}

    claim = await api.context.store.leases.claim("tester")
    assert claim is not None
    assert claim.task.id == first
    found = await statistics_of(api.context)
    assert sorted((group.kind, group.state, group.count) for group in found.groups) == [
        ("transcription", "queued", 1), ("transcription", "running", 1),
    ]  # fmt: skip
    assert found.oldest_due_s[queue] == 12.0
    await api.context.store.leases.retry_later(claim, 60_000)  # waits, and is not due
    assert (await statistics_of(api.context)).oldest_due_s[queue] == 12.0


async def test_tasks_that_have_ended_are_none_of_them_and_owed_callbacks_are(api: Api) -> None:
    await api.separated()
    found = await statistics_of(api.context)
    assert (list(found.groups), found.callbacks_pending) == ([], 1)


async def test_statistics_are_kept_for_some_seconds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.statistics._KEPT_S", 3600.0)  # more than this takes on any machine
    statistics = api.context.store.statistics
    before = await statistics.latest()
    await started(api)
    assert await statistics.latest() is before
    monkeypatch.setattr("service.store.statistics._KEPT_S", -1.0)
    assert (await statistics.latest()).groups


async def test_the_api_shows_it_all_without_a_key(api: Api) -> None:
    await started(api)
    response = await api.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    shown = values_of(response.text)
    assert shown["stemscribe_database_up{}"] == 1
    assert shown["stemscribe_callbacks_pending{}"] == 0
    [tasks] = [name for name in shown if name.startswith("stemscribe_tasks{")]
    assert "kind=transcription" in tasks
    assert "state=queued" in tasks
    assert values_of(response.text, "process_")["process_resident_memory_bytes{}"] > 1e6
    assert api.token not in response.text
    document = (await api.http.get("/schema/openapi.json")).json()
    assert "/metrics" not in document["paths"]


async def test_a_cancelled_task_is_counted(api: Api) -> None:
    task_id = await started(api)
    before = counted()
    for _ in range(2):  # the second one deletes it
        await call(api, "DELETE", f"/v1/tasks/{task_id}")
    assert added(before, "stemscribe_tasks") == {
        "stemscribe_tasks_finished_total{kind=transcription,result=cancelled}": 1
    }


async def test_a_worker_has_pages_of_its_own(context: Context) -> None:
    port = free_port()
    context.settings = dataclasses.replace(context.settings, worker_port=port)
    stop = asyncio.Event()
    async with (
        pages(context, [*Queue], stop),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        live, ready, figures, other = [
            await http.get(path) for path in ("/health/live", "/health/ready", "/metrics", "/v1/tasks")
        ]
        stop.set()
        stopping = await http.get("/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"] == "ok"
    assert "stemscribe models pull" in ready.json()["checks"]["models"]
    assert values_of(figures.text)["stemscribe_storage_written_bytes_total{}"] >= 0
    assert "stemscribe_database_up" not in figures.text  # the API's: told by every worker, sums would be wrong
    assert (other.status_code, stopping.status_code) == (404, 503)
    assert stopping.json()["checks"] == {"process": "it is about to end"}


_SHARES = """
import os, subprocess, sys
from ipaddress import ip_network
from pathlib import Path
from service.shared_metrics import share_metrics
share_metrics(Path(sys.argv[1]))
from service import metrics
metrics.leases_expired(1)
for _ in range(2):  # a worker, and the one that takes its place
    subprocess.run([sys.executable, "-c", "from service import metrics; metrics.leases_expired(10)"], check=True)
print(metrics.exposition().decode())
files = [path.stat() for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()]
held = all(file.st_blocks * 512 >= file.st_size > 0 for file in files)
print(len(files), "files, on the disk already" if held else "files, sparse", file=sys.stderr)
"""


def test_two_processes_of_one_service_count_together(tmp_path: Path) -> None:
    stale = tmp_path / "metrics" / "999999999"
    stale.mkdir(parents=True)
    (stale / "counter_worker.db").write_bytes(b"of a process that died long ago")
    for _ in range(2):  # another start begins anew
        done = subprocess.run(
            [sys.executable, "-c", _SHARES, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ},
        )
        assert values_of(done.stdout)["stemscribe_lease_expiries_total{}"] == 21
        # Counters and histograms of each, however many workers there were; a full disk cannot end any of them.
        assert done.stderr.strip() == "4 files, on the disk already"
        [folder] = (tmp_path / "metrics").iterdir()
        assert folder != stale


def test_a_folder_whose_number_another_user_s_process_has_is_left_by_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the machine, where numbers begin anew."""

    def refused(_pid: int, _signal: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    stale = tmp_path / "metrics" / "1"
    stale.mkdir(parents=True)
    monkeypatch.delitem(sys.modules, "service.metrics")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(os, "kill", refused)
    share_metrics(tmp_path)
    assert [folder.name for folder in stale.parent.iterdir()] == [str(os.getpid())]
