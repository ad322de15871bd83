"""Telling how far a stage is, which is also where it is stopped."""

from collections.abc import Callable

OnProgress = Callable[[float], None]
"""Told, often, the fraction of the work that is done: 0-1, never less than before.  An exception raised by it, such as
:class:`pipeline.errors.Cancelled`, stops the work and passes through; nothing half-written stays behind."""


def unheard(_fraction: float) -> None:
    """Progress that nobody asked for."""


def part(on_progress: OnProgress, start: float, stop: float) -> OnProgress:
    """What a part of the work reports to, when it is the work from ``start`` to ``stop`` (0-1) of the whole."""
    return lambda fraction: on_progress(min(start + (stop - start) * fraction, stop))  # rounding may go beyond
