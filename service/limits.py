"""What audio is taken for what, by kind of task."""

from pipeline.audio.limits import DecodeLimits
from service.db.models import TaskKind
from service.settings import Settings

CONVERSIONS = (TaskKind.CONVERSION, TaskKind.CUT, TaskKind.SPEED)


def limits_of(kind: TaskKind, settings: Settings) -> DecodeLimits:
    """What the decoder accepts for a kind of task: audio that is only converted may be longer."""
    return settings.conversion_limits if kind in CONVERSIONS else settings.decode_limits
