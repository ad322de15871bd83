"""Where something is struck or plucked, to the millisecond."""

import numpy as np
from numpy.typing import NDArray

_BLOCK_S = 0.0015
_BEFORE = 16
_AFTER = 4
_RISE = 8.0


class AttackFinder:
    def __init__(self, rate_hz: int) -> None:
        self._block = max(4, round(_BLOCK_S * rate_hz))
        self._last: NDArray[np.float32] | None = None
        self._rest: NDArray[np.float64] = np.zeros(0)
        self._levels = np.full(_BEFORE, 1e-9)
        self._first = -_BEFORE
        self._last_rise = 0.0

    @property
    def known(self) -> int:
        """Up to which sample all attacks have been told."""
        return (self._first + _BEFORE) * self._block

    def push(self, block: NDArray[np.float32]) -> list[int]:
        if block.shape[1] == 0:
            return []
        x = block.astype(np.float64)
        if self._last is None:
            self._last = np.zeros((block.shape[0], 1))
        steps = np.diff(x, axis=1, prepend=self._last)
        self._last = x[:, -1:]
        power = np.concatenate([self._rest, (steps**2).sum(axis=0)])
        n = len(power) // self._block
        self._rest = power[n * self._block :]
        self._levels = np.concatenate(
            [self._levels, power[: n * self._block].reshape(n, self._block).sum(axis=1) + 1e-9]
        )
        return self._find()

    def finish(self) -> list[int]:
        self._levels = np.concatenate([self._levels, np.full(_AFTER + 2, 1e-9)])
        return self._find()

    def _find(self) -> list[int]:
        levels = self._levels
        n = len(levels) - _BEFORE - _AFTER - 1  # candidates with a successor
        if n <= 0:
            return []
        sums = np.concatenate([[0.0], np.cumsum(levels)])
        i = np.arange(_BEFORE, _BEFORE + n + 1)
        after = (sums[i + _AFTER] - sums[i]) / _AFTER
        before = (sums[i] - sums[i - _BEFORE]) / _BEFORE
        rise = after / before
        prev = np.concatenate([[self._last_rise], rise[:-2]])
        is_at = (rise[:-1] > _RISE) & (rise[:-1] > prev) & (rise[:-1] >= rise[1:])
        found = []
        for at in i[:-1][is_at]:
            steepest = int(at) + int(np.argmax(levels[at : at + _AFTER]))
            found.append((self._first + steepest) * self._block)
        self._last_rise = float(rise[-2])
        self._levels = levels[n:]
        self._first += n
        return found
