"""Where something is struck or plucked, to the millisecond, in audio that comes in blocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Power of the samples' steps (which lets the highs of an attack count more than the bass that goes on beneath it) in
# blocks of 0.75 ms; an attack is where 6 ms have eight times (9 dB) the power of the 24 ms before.
_BLOCK_S = 0.00075
_BEFORE = 32
_AFTER = 8
_RISE = 8.0
_SILENCE = 1e-9  # power of a block, some 100 dB below full scale: fainter sounds have no attacks


@dataclass(frozen=True, slots=True)
class Attack:
    """A sudden rise of power.

    Attributes:
        at: sample in which it is.
        rise: how many times the power before it.
    """

    at: int
    rise: float


class AttackFinder:
    """Finds attacks in audio of any number of channels.

    Args:
        rate_hz: sample rate in Hz.
        channels: number of channels; their powers are added.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._block = max(3, round(_BLOCK_S * rate_hz))
        self._latest = np.zeros((channels, 1), dtype=np.float32)
        self._rest: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._levels: NDArray[np.float64] = np.full(_BEFORE, _SILENCE)
        self._done = 0  # blocks; before this one all attacks have been told
        self._previous_rise = 0.0

    @property
    def known(self) -> int:
        """All attacks before this sample have been told."""
        return self._done * self._block

    def push(self, audio: NDArray[np.float32]) -> list[Attack]:
        """Take the next samples, float32 of shape (channels, n), and tell the attacks found, in order."""
        steps = np.diff(audio, axis=1, prepend=self._latest)
        self._latest = audio[:, -1:] if audio.shape[1] else self._latest
        power = np.concatenate([self._rest, np.einsum("cn,cn->n", steps, steps)])
        n_blocks = len(power) // self._block
        self._rest = power[n_blocks * self._block :]
        blocks = power[: n_blocks * self._block].reshape(n_blocks, self._block)
        self._levels = np.concatenate([self._levels, blocks.sum(axis=1, dtype=np.float64) + _SILENCE])
        return self._found()

    def finish(self) -> list[Attack]:
        """The attacks not told yet.  Call it once, after the last :meth:`push`."""
        self._levels = np.concatenate([self._levels, np.full(_AFTER + 1, _SILENCE)])
        return self._found()

    def _found(self) -> list[Attack]:
        levels = self._levels
        n = len(levels) - _BEFORE - _AFTER  # blocks whose next one can be looked at too
        if n <= 0:
            return []
        sums = np.concatenate([[0.0], np.cumsum(levels)])
        at = np.arange(_BEFORE, _BEFORE + n + 1)
        rise = ((sums[at + _AFTER] - sums[at]) * _BEFORE) / ((sums[at] - sums[at - _BEFORE]) * _AFTER)
        earlier = np.concatenate([[self._previous_rise], rise[:-2]])
        peaks = np.flatnonzero((rise[:-1] > _RISE) & (rise[:-1] > earlier) & (rise[:-1] >= rise[1:]))
        found = []
        for peak in peaks.tolist():
            after = levels[_BEFORE + peak : _BEFORE + peak + _AFTER]
            first_loud = int(np.argmax(after >= after.max() / 4))
            at = (self._done + peak + first_loud) * self._block + self._block // 2
            found.append(Attack(at, float(rise[peak])))
        self._previous_rise = float(rise[-2])
        self._levels = levels[n:]
        self._done += n
        return found
