"""What is away just now: known by its errors, and told in one line instead of a traceback."""

import logging

from service.db.database import is_away, is_unmigrated
from service.errors import StorageError

_MAX_LENGTH = 300


def reason_of_outage(error: BaseException) -> str | None:
    """Why the database or the storage cannot be used just now, in one line; None where an error tells of neither."""
    if isinstance(error, StorageError):
        return error.detail
    if is_unmigrated(error):
        return "the database's schema is not this version's: run `stemscribe db upgrade`"
    if not is_away(error):
        return None
    words = " ".join(str(getattr(error, "orig", None) or error).split())
    return f"the database is away: {words[:_MAX_LENGTH]}"


def log_failure(log: logging.Logger, what: str, error: Exception) -> None:
    """Log that something failed: what is away as a warning, anything else as an error with its traceback."""
    outage = reason_of_outage(error)
    if outage is None:
        log.error("%s: %s", what, error, exc_info=error)
    else:
        log.warning("%s: %s", what, outage)
