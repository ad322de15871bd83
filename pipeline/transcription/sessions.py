"""Networks on onnxruntime: loaded from a file, run over the pieces of a recording on as many threads as there are.

Each piece runs on one thread, so that what it gives cannot depend on the number of threads.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime as ort

from pipeline.errors import ModelError
from pipeline.progress import OnProgress


def load_session(path: Path) -> ort.InferenceSession:
    """A network that may be run from any thread.

    Raises:
        ModelError: the file is damaged.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise ModelError(
            f"{path} cannot be loaded: it may be damaged. Delete it, then fetch it again: stemscribe models pull"
        ) from error


def run_pieces(run: Callable[[int], None], starts: Sequence[int], on_progress: OnProgress) -> None:
    """Call ``run`` with every start; ``on_progress`` is told before the first and after each, and may raise."""
    on_progress(0.0)
    pool = ThreadPoolExecutor(usable_cpus())
    try:
        for done, _ in enumerate(pool.map(run, starts), start=1):
            on_progress(done / len(starts))
    finally:
        pool.shutdown(cancel_futures=True)  # leaving a with block would run all that wait


def usable_cpus() -> int:
    """How many processors this process may run on; in a container with fewer than the machine has, just those."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
