"""Another speed at the same pitch: a phase vocoder that keeps phases together and attacks whole."""

from collections import deque
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.conversion.attacks import AttackFinder

Samples = NDArray[np.float32]
Spectra = NDArray[np.complex128]

MIN_TEMPO, MAX_TEMPO = 0.25, 4.0
_WINDOW_S = 4096 / 44_100
_OVERLAP = 4
_NEW_POWER = 4.0
_RUN = 64  # frames whose spectra are computed at once


class Stretcher:
    """Changes the speed of audio that comes in blocks, and not its pitch.

    Args:
        rate_hz: sample rate in Hz.
        channels: number of channels; they stay in phase with each other.
        tempo: how many times faster, 0.25-4.0.
    """

    def __init__(self, rate_hz: int, channels: int, tempo: float) -> None:
        if not MIN_TEMPO <= tempo <= MAX_TEMPO:
            raise ValueError(f"tempo is {tempo:g}; it must be from {MIN_TEMPO:g} to {MAX_TEMPO:g}")
        self._tempo = tempo
        self._size = 1 << round(np.log2(_WINDOW_S * rate_hz))
        self._hop = self._size // _OVERLAP
        self._window = np.hanning(self._size + 1)[:-1]
        self._attacks = AttackFinder(rate_hz)
        self._anchors: deque[int] = deque()
        self._last_anchor: int | None = None
        self._before: Spectra | None = None
        self._new: NDArray[np.bool_] | None = None
        self._n_in = 0
        self._n_out = 0
        self._frame = 0
        self._start = -2 * self._size
        self._input = np.zeros((channels, 2 * self._size), dtype=np.float32)
        self._sum = np.zeros((channels, self._size))

    def push(self, block: Samples) -> Samples:
        self._n_in += block.shape[1]
        self._input = np.concatenate([self._input, block], axis=1)
        self._add_anchors(self._attacks.push(block))
        return self._play(None)

    def finish(self) -> Samples:
        n_out = round(self._n_in / self._tempo)
        self._add_anchors(self._attacks.finish())
        pad = 4 * self._size
        self._input = np.pad(self._input, ((0, 0), (0, pad)))
        return self._play(n_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    def _add_anchors(self, found: list[int]) -> None:
        for at in found:
            last = self._last_anchor
            if last is None or min(at - last, (at - last) / self._tempo) >= self._size:
                self._anchors.append(at)
                self._last_anchor = at

    def _position(self, at: int) -> tuple[int, int | None]:
        half = self._size // 2
        steady = at * self._tempo
        while self._anchors and at > self._anchors[0] / self._tempo + half:
            # past it
            anchor = self._anchors[0]
            nxt = self._anchors[1] if len(self._anchors) > 1 else None
            if steady < anchor + half and not (nxt is not None and at >= nxt / self._tempo - half):
                return anchor + half, None
            self._anchors.popleft()
        if self._anchors:
            anchor = self._anchors[0]
            there = anchor / self._tempo
            if at >= there - half:
                return round(anchor + at - there), anchor
            return round(min(steady, anchor - half)), None
        return round(steady), None

    def _play(self, n_out: int | None) -> Samples:
        ready = []
        end = self._start + self._input.shape[1]
        horizon = self._attacks.known if n_out is None else None
        while True:
            at = self._frame * self._hop
            if n_out is not None:
                if at - self._size // 2 >= n_out:
                    break
            elif at * self._tempo + 2 * self._size > min(end, horizon):
                break
            ready.append(self._step(at))
            self._frame += 1
        keep = int(min(self._frame * self._hop * self._tempo, end)) - 2 * self._size
        if keep > self._start:
            self._input = self._input[:, keep - self._start :]
            self._start = keep
        out = np.concatenate(ready, axis=1) if ready else np.zeros((self._input.shape[0], 0))
        skip = 0
        if self._n_out == 0 and ready:
            pass
        first = (self._frame - len(ready)) * self._hop - self._size // 2
        if first < 0:
            out = out[:, -first:]
        if n_out is not None:
            out = out[:, : n_out - self._n_out]
        self._n_out += out.shape[1]
        return out.astype(np.float32)

    def _spectrum(self, centre: int) -> Spectra:
        first = centre - self._size // 2 - self._start
        return np.fft.rfft(self._input[:, first : first + self._size] * self._window)

    def _step(self, at: int) -> NDArray[np.float64]:
        centre, anchor = self._position(at)
        now = self._spectrum(centre)
        if self._before is not None:
            earlier = self._spectrum(centre - self._hop)
            turn = np.sum(self._before * earlier.conj(), axis=0)
            power = np.sum(now.real**2 + now.imag**2, axis=0)
            turn = turn[_nearest_peak(power)]
            size = np.abs(turn)
            turn = np.where(size > 1e-20, turn / np.maximum(size, 1e-20), 1.0)
            if anchor is not None:
                if self._new is None:
                    struck = np.sum(np.abs(self._spectrum(anchor + self._size // 8)) ** 2, axis=0)
                    before = np.sum(np.abs(self._spectrum(anchor - self._size // 2)) ** 2, axis=0)
                    self._new = struck > _NEW_POWER * before
                turn[self._new] = 1.0
            else:
                self._new = None
            now = now * turn
        self._before = now
        self._sum[:, :] += np.fft.irfft(now, self._size) * self._window / (0.375 * _OVERLAP)
        done = self._sum[:, : self._hop].copy()
        self._sum[:, : -self._hop] = self._sum[:, self._hop :]
        self._sum[:, -self._hop :] = 0
        return done


def _nearest_peak(power: NDArray[np.float64]) -> NDArray[np.intp]:
    padded = np.pad(power, 2, constant_values=-1.0)
    n = len(power)
    is_peak = np.ones(n, dtype=bool)
    for shift in (0, 1, 3, 4):
        is_peak &= power >= padded[shift : shift + n]
    peaks = np.flatnonzero(is_peak)
    if len(peaks) == 0:
        return np.arange(n)
    borders = (peaks[1:] + peaks[:-1] + 1) // 2
    return peaks[np.searchsorted(borders, np.arange(n), side="right")]
