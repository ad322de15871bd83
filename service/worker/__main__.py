"""The worker process of ``stemscribe serve``: ``python -m service.worker``.

Stops on SIGTERM or SIGINT, or when its standard input closes: started with a pipe there, it never outlives its parent,
however that one ends.
"""

import asyncio
import contextlib
import os

from pipeline.memory import keep_freed_memory
from service.logs import configure_logging
from service.settings import load_settings
from service.worker.process import run_worker

_NICENESS = 10  # the API must get the processor at once while a song is separated


def main() -> None:
    """Run until told to stop."""
    settings = load_settings()
    configure_logging(settings.log_format)
    keep_freed_memory()  # before there are threads
    os.nice(_NICENESS)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_worker(settings, supervised=True))


if __name__ == "__main__":
    main()
