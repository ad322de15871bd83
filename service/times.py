"""Times as text."""

from datetime import UTC, datetime


def iso_time(at_ms: int) -> str:
    """Unix milliseconds as ISO 8601."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
