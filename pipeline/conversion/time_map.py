"""Which moment of the input is heard at a moment of the output, when the speed is changed and attacks stay whole."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from pipeline.conversion.attacks import Attack, AttackFinder


class TimeMap:
    """Where the windows of the output are to be taken from the input.

    On the whole a window at the output's sample ``at`` is taken from ``at * tempo``.  Windows that an attack falls into
    are taken from where the attack lies in them as it did in the input, so that together they play it as it was, at its
    time divided by the tempo; those between attacks make up for it.  An attack that comes so soon after another that
    windows would hold both is left to itself, unless it is the stronger.

    Args:
        tempo: how many times faster.
        size: length of a window in samples.
        rate_hz: sample rate in Hz.
        channels: number of channels.
    """

    def __init__(self, tempo: float, size: int, rate_hz: int, channels: int) -> None:
        self._tempo = tempo
        self._half = size // 2
        # So far apart in the input that a window around one attack, a copy of the input, never reaches the next.
        self._apart = size if tempo < 1 else tempo * size / (2 * tempo - 1)
        self._finder = AttackFinder(rate_hz, channels)
        self._candidate: Attack | None = None
        self._coming: deque[Attack] = deque()
        self._latest: Attack | None = None  # that was added to those coming
        self._past: Attack | None = None
        self._known: float = 0  # before this sample of the input it is settled which attacks are kept

    def push(self, block: NDArray[np.float32]) -> None:
        """Hear the next samples of the input: float32, shape (channels, n)."""
        self._choose(self._finder.push(block), self._finder.known)

    def finish(self) -> None:
        """The input has ended."""
        self._choose(self._finder.finish(), np.inf)

    def is_known(self, at: int) -> bool:
        """Whether enough of the input was heard to :meth:`place` a window at this sample of the output."""
        return (at + self._half) * self._tempo < self._known

    def reach(self, at: int) -> float:
        """Before which sample of the input everything lies that a window at this sample of the output can need."""
        return (at + self._half) * self._tempo + 2 * self._half

    def place(self, at: int) -> tuple[int, Attack | None]:
        """The sample of the input around which to take the window at this sample of the output.

        Call it for one sample after the other.

        Returns:
            And the attack in the window, if it is a copy of the input around one.
        """
        while self._coming and self._coming[0].at / self._tempo <= at:
            self._past = self._coming.popleft()
        centre = at * self._tempo
        past, coming = self._past, self._coming[0] if self._coming else None
        since = np.inf if past is None else at - past.at / self._tempo
        until = np.inf if coming is None else coming.at / self._tempo - at
        if coming is not None and until <= self._half and until <= since:
            return round(coming.at - until), coming
        if past is not None and since <= self._half:
            return round(past.at + since), past
        if past is not None:
            centre = max(centre, past.at + self._half)
        if coming is not None:
            centre = min(centre, coming.at - self._half)
        return round(centre), None

    def _choose(self, found: list[Attack], known: float) -> None:
        """Keep attacks that are far enough apart, of two that are not the stronger."""
        for attack in found:
            if self._candidate is not None and attack.at - self._candidate.at >= self._apart:
                self._settle(self._candidate)
            if self._latest is not None and attack.at - self._latest.at < self._apart:
                continue
            if self._candidate is None or attack.power > self._candidate.power:
                self._candidate = attack
        if self._candidate is not None and self._candidate.at + self._apart <= known:
            self._settle(self._candidate)
        self._known = known if self._candidate is None else min(known, self._candidate.at)

    def _settle(self, attack: Attack) -> None:
        self._coming.append(attack)
        self._latest = attack
        self._candidate = None
