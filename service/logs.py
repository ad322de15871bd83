"""Logging, the same in every process: one line an event, to standard error."""

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_CHATTY = ("httpx", "httpcore", "alembic.runtime.migration", "aiosqlite")


def configure_logging(level: int = logging.INFO) -> None:
    """Send our own events to standard error, and of the libraries' only what needs attention."""
    logging.basicConfig(level=level, format=_FORMAT, stream=sys.stderr, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
