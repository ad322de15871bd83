"""Performances of real drummers, from the Groove MIDI dataset (Gillick et al. 2019, CC BY 4.0).

Of it no ``eval_session`` is read: the grooves that every drummer played, some of which a bench plays.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pretty_midi

from pipeline.training.drums.grooves import Hit, Voices
from pipeline.training.drums.kits import Kit

# What the keys of a Roland TD-11 mean; toms by their place, 0 the lowest.
_KINDS = {
    36: "kick",
    38: "snare",
    40: "snare",
    37: "stick",
    22: "closed",
    42: "closed",
    44: "pedal",
    26: "open",
    46: "open",
    43: "tom 0",
    58: "tom 0",
    45: "tom 1",
    47: "tom 1",
    48: "tom 2",
    50: "tom 2",
    49: "crash",
    55: "crash",
    52: "crash",
    57: "crash",
    51: "ride",
    53: "ride",
    59: "ride",
}
_SHORTEST_S = 6.0
_SWAPS: tuple[dict[str, str], ...] = (
    {"closed": "ride", "ride": "closed"},
    {"closed": "open", "open": "closed"},
    {"closed": "crash"},
    {},
)
_SWAP_ODDS = (0.15, 0.04, 0.03, 0.78)

Stroke = tuple[float, str, float]  # time, kind with a tom's place, velocity 0-1


def performances(folder: Path, split: str) -> list[Path]:
    """MIDI files of the dataset's ``train`` or ``validation`` part that last a while, in order of their names."""
    with (folder / "info.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split and float(row["duration"]) > _SHORTEST_S]
    return sorted(folder / row["midi_filename"] for row in rows if "eval_session" not in row["session"])


@cache
def strokes(path: Path) -> tuple[Stroke, ...]:
    """What was played, in order of time."""
    played = [note for part in pretty_midi.PrettyMIDI(str(path)).instruments for note in part.notes]
    return tuple(
        sorted((note.start, _KINDS[note.pitch], note.velocity / 127) for note in played if note.pitch in _KINDS)
    )


def _tom(kit: Kit, place: int) -> int:
    """The kit's tom at that place of three, by pitch."""
    order = np.argsort([voice.pitch_hz for voice in kit["tom"]])
    return int(order[round(place / 2 * (len(order) - 1))])


def perform(rng: np.random.Generator, kit: Kit, path: Path, duration_s: float) -> list[Hit]:
    """Some seconds of a performance on a kit, a little faster or slower than it was.

    Sometimes hats become the ride or another cymbal, and one kind of drum is left out: a network shall not take a
    drummer's habits for the sound of his drums.
    """
    speed = rng.uniform(0.85, 1.2)
    played = strokes(path)
    first_s = rng.uniform(0, max(played[-1][0] - duration_s * speed, 0.0))
    swap = _SWAPS[rng.choice(len(_SWAPS), p=_SWAP_ODDS)]
    missing = str(rng.choice(["kick", "snare", "closed", ""], p=[0.03, 0.03, 0.06, 0.88]))
    voices = Voices(rng, kit)
    hits = []
    for time_s, name, velocity in played:
        at = (time_s - first_s) / speed + 0.05
        kind, _, place = name.partition(" ")
        kind = swap.get(kind, kind)
        if kind in kit and kind != missing and 0.01 < at < duration_s - 0.1:
            voice = _tom(kit, int(place)) if place else voices.choose(kind)
            hits.append(Hit(at, kind, voice, velocity))
    return hits
