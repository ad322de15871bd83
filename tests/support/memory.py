"""How much memory processes take, at most."""

import contextlib
import threading
from types import TracebackType
from typing import Self

import psutil

_EVERY_S = 0.02


class PeakMemory:
    """Watches a process, without its children; a context manager.

    Attributes:
        start_mb, peak_mb: resident memory when it began and at its most, in MB (1 000 000 bytes).
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.start_mb = self.peak_mb = self._now_mb()

    def _now_mb(self) -> float:
        return float(self._process.memory_info().rss / 1e6)

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            while not self._stop.wait(_EVERY_S):
                self.peak_mb = max(self.peak_mb, self._now_mb())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
