"""What tasks cost, in credits: one price list, a setting, and the arithmetic in thousandths of a credit."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.db.models import TaskKind

MILLI = 1000
PRICED: tuple[TaskKind, ...] = tuple(kind for kind in TaskKind if kind != TaskKind.UPLOAD)
LIKE: Mapping[TaskKind, TaskKind] = {
    TaskKind.AUDIO_TO_MIDI: TaskKind.TRANSCRIPTION,
    TaskKind.EXTRACTION: TaskKind.SEPARATION,
    TaskKind.KEY_BPM: TaskKind.MIDI,
    TaskKind.CONVERSION: TaskKind.WAV,
    TaskKind.CUT: TaskKind.WAV,
    TaskKind.SPEED: TaskKind.WAV,
}
"""What came later, beside what it is most like: a price list from before does not give it away."""
_ENTRY = re.compile(r"(?P<kind>[a-z_]+)=(?P<task>\d{1,9}(\.\d{1,3})?)(\+(?P<minute>\d{1,9}(\.\d{1,3})?)/min)?")


@dataclass(frozen=True, slots=True)
class Price:
    """Of one kind of task, in thousandths of a credit: for the task, and for each minute of its audio."""

    task: int
    per_minute: int = 0

    def of(self, audio_s: float | None) -> int:
        """The price of a task, as far as it is known: without its length, the task's own part."""
        return self.task + math.ceil(self.per_minute * (audio_s or 0.0) / 60)


def parse_prices(text: str) -> Mapping[TaskKind, Price]:
    """Read a price list such as ``separation=10+2/min, midi=5``.

    What it does not name costs what the kind does that it is most like (:data:`LIKE`), or nothing.

    Raises:
        ValueError: an entry is not of that form, or names no kind of task.
    """
    prices: dict[TaskKind, Price] = dict.fromkeys(PRICED, Price(0))
    named: set[TaskKind] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        match = _ENTRY.fullmatch(entry)
        if match is None or match["kind"] not in PRICED:
            raise ValueError(f"{entry!r} is not KIND=CREDITS or KIND=CREDITS+CREDITS/min of {', '.join(PRICED)}")
        prices[TaskKind(match["kind"])] = Price(_milli(match["task"]), _milli(match["minute"] or "0"))
        named.add(TaskKind(match["kind"]))
    return prices | {kind: prices[other] for kind, other in LIKE.items() if kind not in named}


def credits(milli: int) -> int | float:
    """Thousandths as the number the wire shows: whole where it is whole."""
    return milli // MILLI if milli % MILLI == 0 else milli / MILLI


def _milli(text: str) -> int:
    return round(float(text) * MILLI)
