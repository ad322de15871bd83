"""A decoder in a process of its own, which may crash, hang or eat memory without harm to anybody else.

The process gets its limits before it sees the file, no file it could write, no input, an environment without
our settings in it, and its own process group; it hands over samples through a pipe.  What it writes to stderr
is kept, up to a size.
"""

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.audio.decode_worker import MAX_WRITTEN_BYTES
from pipeline.audio.limits import DecodeLimits
from pipeline.errors import AudioLimitExceeded, CorruptAudio
from pipeline.progress import OnProgress, unheard

_WORKER = Path(__file__).with_name("decode_worker.py")
_PIPE_BYTES = 1 << 20  # as much as a reader takes at once, so that it and the process work at the same time
_MAX_LINE_BYTES = 4096
_REAP_PAUSE_S = 0.002
_MAX_WAIT_S = 0.25  # a process that is silent for long can be stopped this soon
_CPU_TOLERANCE_S = 0.3  # the kernel's two accounts of a process's time differ by some ticks, on a busy machine by more
# What a Python with its packages needs to start; everything else of ours, keys included, stays out.
_KEPT_ENVIRONMENT = ("DYLD_LIBRARY_PATH", "HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "MALLOC_ARENA_MAX": "2",  # each thread's arena reserves 64 MB of addresses, which count against the limit
    "OPENBLAS_NUM_THREADS": "1",
}


class Child:
    """A decoding process and its output; a context manager that leaves no process behind.

    Args:
        arguments: what :mod:`pipeline.audio.decode_worker` is to do.
        limits: its ``cpu_s``, ``memory_bytes`` and ``timeout_s`` are enforced; of time only that counts in which
            its output or its end is waited for, not what the reader does in between.
        on_progress: told :attr:`done` before every piece of output, and four times a second while there is none.

    Attributes:
        done: how much of the work is done, 0-1, which only who reads the output can say.
    """

    def __init__(self, arguments: Sequence[str], limits: DecodeLimits, on_progress: OnProgress = unheard) -> None:
        self.done = 0.0
        self._on_progress = on_progress
        self._limits = limits
        self._started = self._last_waited = time.monotonic()
        self._timeout_s = limits.timeout_s
        self._cpu_s = 0.0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the context ends)
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(limits.cpu_s), str(limits.memory_bytes), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=kept | _ENVIRONMENT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101  (stdout=PIPE)
        self._pipe = self._process.stdout
        widen_pipe(self._pipe.fileno())
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._kill()
            self._process.wait()
        self._selector.close()
        self._pipe.close()
        self._stderr.close()

    def allow(self, timeout_s: float) -> None:
        """Give the process this long, counted from its start on, but never longer than its limits say."""
        self._timeout_s = min(timeout_s, self._limits.timeout_s)

    def read_line(self) -> bytes:
        """The next line of output, without its end; what there is, if the output ends or the line is too long.

        Raises:
            AudioLimitExceeded: the process took too long.
        """
        while b"\n" not in self._pending and len(self._pending) < _MAX_LINE_BYTES:
            self._await_output()
            if not (more := os.read(self._pipe.fileno(), _MAX_LINE_BYTES)):
                break
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def read(self, n_bytes: int) -> bytearray:
        """The next ``n_bytes`` of output; fewer only at its end, none after it.

        Raises:
            AudioLimitExceeded: the process took too long.
        """
        out = bytearray(n_bytes)
        pending, self._pending = self._pending[:n_bytes], self._pending[n_bytes:]
        out[: len(pending)] = pending
        n_read = len(pending)
        with memoryview(out) as view:
            while n_read < n_bytes:
                self._await_output()
                if not (more := os.readv(self._pipe.fileno(), [view[n_read:]])):
                    break
                n_read += more
        del out[n_read:]
        return out

    def finish(self) -> int:
        """Wait for the process, whose output has ended, and return its exit status.

        Raises:
            AudioLimitExceeded: it took too long, or too much processor time.
            CorruptAudio: it crashed or was killed.
        """
        self._reap()
        status: int = self._process.returncode
        if status >= 0:
            return status
        # Linux kills at the hard limit, which is the soft one here; other systems send SIGXCPU first.
        used_up = status == -signal.SIGKILL and self._cpu_s >= self._limits.cpu_s - _CPU_TOLERANCE_S
        if used_up or status == -signal.SIGXCPU:
            raise AudioLimitExceeded(
                f"Decoding took all the processor time it may have, which is {self._limits.cpu_s} s."
            )
        raise CorruptAudio(
            f"The decoder crashed on this file ({signal.Signals(-status).name}). "
            "The file is damaged, or made to do that; export it anew."
        )

    def errors(self) -> str:
        """What the process has written to stderr so far."""
        written = os.pread(self._stderr.fileno(), MAX_WRITTEN_BYTES, 0)  # a seek would move where it writes
        return written.decode("utf-8", "replace")

    def _await_output(self) -> None:
        """Wait until there is some output, or it has ended."""
        self._on_progress(self.done)
        self._wait_on()
        while not self._selector.select(max(0.0, min(self._left_s(), _MAX_WAIT_S))):
            if self._left_s() <= 0:
                raise self._too_slow()
            self._on_progress(self.done)
        self._last_waited = time.monotonic()

    def _reap(self) -> None:
        """Collect the exit status and the processor time used."""
        self._wait_on()
        while True:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._cpu_s = usage.ru_utime + usage.ru_stime
                return
            if self._left_s() < 0:
                raise self._too_slow()
            self._on_progress(self.done)
            time.sleep(_REAP_PAUSE_S)

    def _wait_on(self) -> None:
        """Begin to wait again: what was done since the last time is not the process's fault."""
        self._started += time.monotonic() - self._last_waited

    def _left_s(self) -> float:
        return self._started + self._timeout_s - time.monotonic()

    def _too_slow(self) -> AudioLimitExceeded:
        return AudioLimitExceeded(f"Decoding took longer than it may, which is {self._timeout_s:g} s.")

    def _kill(self) -> None:
        # Of a group that has ended nothing is left, or zombies, which macOS lets nobody signal (PermissionError).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def widen_pipe(descriptor: int) -> None:
    """Let a pipe hold :data:`_PIPE_BYTES` where the system can (Linux); it is 64 KiB by itself."""
    if set_size := getattr(fcntl, "F_SETPIPE_SZ", None):
        with contextlib.suppress(OSError):  # more than an ordinary user may have in all
            fcntl.fcntl(descriptor, set_size, _PIPE_BYTES)
