"""What the service counts and times, for Prometheus; everything outside this module calls its functions.

Whatever a process does is counted where it is done.  How many tasks stand where is asked of the database, when somebody
wants to know (:mod:`service.store.statistics`): only tasks that have not ended, since those that have are millions
after some days, and counted already.
"""

from collections.abc import Iterable

import httpx
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.errors import AddressRefused
from service.shared_metrics import join, shared_folder
from service.store.statistics import Statistics

CONTENT_TYPE = CONTENT_TYPE_LATEST
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_BUCKETS_S = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280)  # a second of GPU to 20 minutes of CPU
_FILL_BUCKETS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1)

join()
disable_created_metrics()  # type: ignore[no-untyped-call]  # when each was made: as many lines again, of no use here
_registry = CollectorRegistry()


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(f"stemscribe_{name}", about, labels, registry=_registry)


_finished = _counter("tasks_finished_total", "Tasks that ended here, by how.", "kind", "result")
_claims = _counter("claims_total", "Tasks that workers took on, retries among them.", "queue")
_expiries = _counter("lease_expiries_total", "Tasks whose worker fell silent.")
_reused = _counter("results_reused_total", "Stages that were there already, of the same audio and settings.", "stage")
_audio = _counter("audio_processed_seconds_total", "Seconds of audio that went through a stage.", "stage")
_written = _counter("storage_written_bytes_total", "Bytes put into the storage.")
_callbacks = _counter("callback_attempts_total", "Attempts to deliver a callback, by what came of them.", "result")
_requests = _counter("http_requests_total", "Requests answered.", "route", "method", "status")
_segments = _counter("batch_segments_total", "Segments of audio that went through the separation network.")
_stage_s = Histogram("stemscribe_stage_seconds", "How long a stage of a task took.", ["stage"],
                     buckets=_STAGE_BUCKETS_S, registry=_registry)  # fmt: skip
_request_s = Histogram("stemscribe_http_request_seconds", "From a request's head to the end of its answer.",
                       ["route", "method"], buckets=_REQUEST_BUCKETS_S, registry=_registry)  # fmt: skip
_fill = Histogram("stemscribe_batch_fill_ratio", "Segments of a batch, of those it has room for.",
                  buckets=_FILL_BUCKETS, registry=_registry)  # fmt: skip


def task_claimed(queue: str) -> None:
    """A worker has taken a task on."""
    _claims.labels(queue).inc()


def task_finished(kind: str, result: str) -> None:
    """A task has ended: ``succeeded``, ``failed`` or ``cancelled``."""
    _finished.labels(kind, result).inc()


def leases_expired(count: int) -> None:
    """So many tasks were taken from workers that fell silent."""
    _expiries.inc(count)


def stage_finished(stage: str, seconds: float, audio_s: float | None = None) -> None:
    """A stage of a task is done, over so many seconds of audio."""
    _stage_s.labels(stage).observe(seconds)
    if audio_s is not None:
        _audio.labels(stage).inc(audio_s)


def result_reused(stage: str) -> None:
    """A stage need not be done: its result is there."""
    _reused.labels(stage).inc()


def batch_run(segments: int, size: int) -> None:
    """A batch went through the network: so many segments, of so many it could hold."""
    _segments.inc(segments)
    _fill.observe(segments / size)


def bytes_stored(count: int) -> None:
    """A file was put into the storage."""
    _written.inc(count)


def callback_attempted(outcome: int | Exception) -> None:
    """A callback was tried: the status it was answered with, or what went wrong."""
    _callbacks.labels(_result_of(outcome)).inc()


def request_answered(route: str, method: str, status: int, seconds: float) -> None:
    """A request was answered; ``route`` is its path as the routes have it, without what stands in for parameters."""
    known = method if method in METHODS else "other"  # anybody can make methods up
    _requests.labels(route, known, status).inc()
    _request_s.labels(route, known).observe(seconds)


def exposition(statistics: Statistics | None = None, *, database: bool = False) -> bytes:
    """Everything, in Prometheus's text format.

    Args:
        statistics: what the database says.
        database: whether that was asked for: without it, the database is away.
    """
    registry = CollectorRegistry()
    folder = shared_folder()
    if folder is None:
        registry.register(_registry)  # it has all that a collector needs
    else:
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    if database:
        registry.register(_OfDatabase(statistics))
    return generate_latest(registry)


class _OfDatabase(Collector):
    def __init__(self, statistics: Statistics | None) -> None:
        self._statistics = statistics

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "stemscribe_database_up", "Whether the database answers.", value=float(self._statistics is not None)
        )
        if self._statistics is None:
            return
        tasks = GaugeMetricFamily(
            "stemscribe_tasks", "Tasks that have not ended, by where they stand.", labels=["queue", "kind", "state"]
        )
        for group in self._statistics.groups:
            tasks.add_metric([group.queue, group.kind, group.state], group.count)
        oldest = GaugeMetricFamily(
            "stemscribe_queue_oldest_seconds", "For how long the oldest task that is due has waited.", labels=["queue"]
        )
        for queue, age_s in self._statistics.oldest_due_s.items():
            oldest.add_metric([queue], age_s)
        yield from (tasks, oldest)
        yield GaugeMetricFamily(
            "stemscribe_callbacks_pending", "Callbacks that are still owed.", value=self._statistics.callbacks_pending
        )


def _result_of(outcome: int | Exception) -> str:
    if isinstance(outcome, int):
        return f"{outcome // 100}xx" if 200 <= outcome < 600 else "error"
    if isinstance(outcome, TimeoutError | httpx.TimeoutException):
        return "timeout"
    unconnected = AddressRefused | ConnectionRefusedError | httpx.ConnectError
    return "refused" if isinstance(outcome, unconnected) else "error"
