"""What audio is taken for what, by kind of task."""

import dataclasses

from pipeline.audio.limits import DecodeLimits
from service.db.models import TaskKind
from service.settings import Settings

CONVERSIONS = (TaskKind.CONVERSION, TaskKind.CUT, TaskKind.SPEED)


ANY_SIZE = 1 << 40


def limits_of(kind: TaskKind, settings: Settings) -> DecodeLimits:
    """What the decoder accepts for a kind of task: audio that is only converted may be longer."""
    return settings.conversion_limits if kind in CONVERSIONS else settings.decode_limits


def limits_of_stored(kind: TaskKind, settings: Settings) -> DecodeLimits:
    """The same for a file that is stored: its size was judged when it came, and what was made here may be larger."""
    return dataclasses.replace(limits_of(kind, settings), max_file_bytes=ANY_SIZE)
