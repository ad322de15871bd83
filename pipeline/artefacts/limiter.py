"""Levels of what is played from notes: the same for every player, loud enough to be heard and never clipped."""

import numpy as np
from numpy.typing import NDArray

# The loudest sample is brought 4 dB above where it may be; what passes the knee is bent towards the ceiling, -1.2 dBFS,
# which leaves an encoder room.
_DRIVE = 1.38
_KNEE = 0.55
_CEILING = 0.87


def gain(loudest: float) -> np.float32:
    """What to multiply sound by whose loudest sample is this."""
    return np.float32(_DRIVE / loudest if loudest > 0 else 0.0)


def limit(sound: NDArray[np.float32]) -> None:
    """Bend what passes the knee towards the ceiling, in place."""
    loud = np.abs(sound) > _KNEE
    over = sound[loud]
    room = np.float32(_CEILING - _KNEE)
    sound[loud] = np.sign(over) * (_KNEE + room * np.tanh((np.abs(over) - _KNEE) / room))
