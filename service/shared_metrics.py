"""One set of metrics for the two processes of ``stemscribe serve``: both write to files in one folder.

That is prometheus_client's mode for several processes.  It must be chosen before the first metric is made, by an
environment variable; the worker inherits it.  The files have fixed names, ``serve`` and ``worker``: a worker that takes
the place of one that died counts on where that one stopped, so that counters never fall, and files do not pile up.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

from service.settings import SettingsError

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's
_METRICS_MODULE = "service.metrics"
_PROCESSES = ("serve", "worker")
_TYPES = ("counter", "histogram")  # of the metrics there are: prometheus_client has a file of each
_FILE_BYTES = 1 << 20  # as it would make them, but sparse: a write for which the disk has no room ends the process


def share_metrics(data_dir: Path) -> None:
    """Count together with the worker that this process starts; what earlier processes counted is deleted.

    Args:
        data_dir: the data folder; the files go below it, into a folder of this process's own.

    Raises:
        SettingsError: the data folder cannot be used.
        RuntimeError: it is too late, the metrics are made.
    """
    if _METRICS_MODULE in sys.modules:
        raise RuntimeError(f"{_METRICS_MODULE} was imported before the folder of the metrics was there")
    parent = data_dir / "metrics"
    own = parent / str(os.getpid())
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for folder in parent.iterdir():
            if folder == own or not _lives(folder.name):
                shutil.rmtree(folder)
        own.mkdir()
        for name in (f"{kind}_{process}.db" for kind in _TYPES for process in _PROCESSES):
            (own / name).write_bytes(bytes(_FILE_BYTES))
    except OSError as error:
        reason = f"The data folder {data_dir} cannot be used: {error.strerror}."
        raise SettingsError(f"{reason} Choose another: STEMSCRIBE_DATA_DIR.") from error
    os.environ[_VARIABLE] = str(own)


def shared_folder() -> Path | None:
    """Where this process counts together with others; None where it counts alone."""
    folder = os.environ.get(_VARIABLE)
    return Path(folder) if folder else None


def join() -> None:
    """Before the first metric is made: have this process write to its own files in the folder, where there is one."""
    folder = shared_folder()
    if folder is None:
        return
    from prometheus_client import values

    name = _PROCESSES[folder.name != str(os.getpid())]
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def _lives(pid: str) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):  # another user's has nothing here
        os.kill(int(pid), 0)
        return True
    return False
