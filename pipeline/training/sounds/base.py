"""What a sound is, whatever plays it: notes in, audio out, with the onsets and ends that are really heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 22_050
# Where a note is heard to begin and to end, relative to its own peak.  The beginning is early in a slow attack:
# listeners and MIDI files put it there too.
ONSET_LEVEL = 0.05
END_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class Played:
    """A key that is held.

    Attributes:
        start_s: when the note shall be heard to begin.
        end_s: when the key is let go.
        pitch: MIDI number.
        velocity: 1-127.
    """

    start_s: float
    end_s: float
    pitch: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Performance:
    """What came out.

    Attributes:
        samples: float32 mono at :data:`RATE_HZ`, shape (n_samples,); any level, not clipped.
        ends_s: for every note that was asked for, when it is heard to end: the key's release, or earlier where the
            sound has died away by itself (40 dB below its peak).
    """

    samples: NDArray[np.float32]
    ends_s: tuple[float, ...]


class Sound(Protocol):
    """An instrument that can be asked to play."""

    @property
    def name(self) -> str:
        """Unique and stable, such as ``fluid:048``."""

    @property
    def family(self) -> str:
        """One of :data:`pipeline.instrument_families.FAMILIES`."""

    @property
    def keys(self) -> tuple[int, int]:
        """Lowest and highest MIDI pitch that it plays well."""

    @property
    def held(self) -> bool:
        """Whether it sounds for as long as a key is held (a violin, not a piano)."""

    def play(self, notes: Sequence[Played], length_s: float, rng: np.random.Generator) -> Performance:
        """Play notes from silence.

        The audible onset of every note (the first moment at :data:`ONSET_LEVEL` of its attack's peak) is at its
        ``start_s`` within 5 ms.  Articulation that notes do not say (vibrato, brightness, detuning under 10 cents) may
        be drawn from ``rng``.
        """
