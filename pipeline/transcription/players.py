"""Who plays the notes of a stem: the families really present in it, and the notes of each.

The network says of each note by itself which family plays it, and is often wrong.  But the notes of a song are played
by few instruments: how much of a stem is whose is estimated together with whose each note is, by expectation
maximisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.special
from numpy.typing import NDArray

from pipeline.instrument_families import FAMILIES

if TYPE_CHECKING:  # imports torch
    from pipeline.transcription.note_reading import ReadNote

Floats = NDArray[np.float64]

# The General MIDI name and program that stand for each family
INSTRUMENTS = {
    "piano": ("Acoustic Grand Piano", 0),
    "mallets": ("Marimba", 12),
    "organ": ("Drawbar Organ", 16),
    "guitar": ("Electric Guitar (clean)", 27),
    "distorted guitar": ("Distortion Guitar", 30),
    "bass": ("Electric Bass (finger)", 33),
    "strings": ("String Ensemble 1", 48),
    "voice": ("Voice Oohs", 53),
    "brass": ("Brass Section", 61),
    "reeds and pipes": ("Alto Sax", 65),
    "synth lead": ("Lead 2 (sawtooth)", 81),
    "synth pad": ("Pad 1 (new age)", 88),
}

_ROUNDS = 10
_LONGEST_SAY_S = 1.0  # a note says no more of who is there than one of this length
_SHORTEST_SAY_S = 0.1
_EACH_S = 1.0  # what every family is thought to have played before anything is heard


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Who may play a stem, and when a family is an instrument of it and not just mistaken notes of others.

    Attributes:
        families: those that may.
        most: how many may at once; the default leaves room for the other stems of a song on fifteen MIDI channels.
        least_notes: a family that plays has so many notes, where there are several.
        least_share: and this share of what all play, by the time that notes sound.
    """

    families: tuple[str, ...] = FAMILIES
    most: int = 8
    least_notes: int = 5
    least_share: float = 0.06


def players(notes: "Sequence[ReadNote]", ensemble: Ensemble) -> "dict[str, list[ReadNote]]":
    """The notes of each family that plays, the family that sounds for longest first; notes keep their order.

    Families with too few notes are left out one by one, the least first, and their notes go to the likeliest of the
    others; the last one stays.  No notes, no families.
    """
    if not notes:
        return {}
    likely = np.array([note.family for note in notes])
    lengths_s = np.array([note.note.end_s - note.note.start_s for note in notes])
    says = np.clip(lengths_s, _SHORTEST_SAY_S, _LONGEST_SAY_S)
    present = [FAMILIES.index(family) for family in ensemble.families]
    while True:
        owners, shares = _owners(likely[:, present], says)
        counts = np.bincount(owners, minlength=len(present))
        said = np.bincount(owners, says, minlength=len(present))
        few = (counts < ensemble.least_notes) | (said < ensemble.least_share * says.sum())
        if not few.any() and len(present) > ensemble.most:
            few[:] = True
        if len(present) == 1 or not few.any():
            break
        silent = said == 0
        gone = silent if silent.any() else np.arange(len(present)) == np.where(few, shares, np.inf).argmin()
        present = [family for family, is_gone in zip(present, gone.tolist(), strict=True) if not is_gone]
    sounding_s = np.bincount(owners, lengths_s, minlength=len(present))
    return {
        FAMILIES[present[player]]: [note for note, owner in zip(notes, owners.tolist(), strict=True) if owner == player]
        for player in np.argsort(-sounding_s, kind="stable").tolist()
    }


def _owners(likely: Floats, says: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Whose each note is, as columns of ``likely``, (n_notes, n_families), and how much of it all is whose.

    ``likely`` are log-probabilities, ``says`` how much each note counts.
    """
    shares = np.full(likely.shape[1], 1 / likely.shape[1])
    for _ in range(_ROUNDS):
        chances = scipy.special.softmax(likely + np.log(shares), axis=1)
        played = _EACH_S / likely.shape[1] + says @ chances
        shares = played / played.sum()
    return (likely + np.log(shares)).argmax(axis=1), shares
