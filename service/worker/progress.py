"""How far a job is, told across threads; and the way to stop it."""

import threading

from pipeline.errors import Cancelled


class JobProgress:
    """Written by the job's thread, read by the worker's loop.

    The pipeline calls :meth:`report` after every segment and every stem; that is where a stop takes effect.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.stage = "starting"
        self.fraction = 0.0

    def report(self, stage: str, fraction: float) -> None:
        """Say where the job is.

        Args:
            stage: a word for people (``separating``).
            fraction: of the whole job, 0-1.

        Raises:
            Cancelled: the job is to stop.
        """
        if self._stopped.is_set():
            raise Cancelled("The worker was told to stop this task.")
        self.stage, self.fraction = stage, fraction

    def stop(self) -> None:
        """Make the next report raise."""
        self._stopped.set()
