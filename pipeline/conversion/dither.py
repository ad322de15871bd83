"""Samples as the integers that a lossless file holds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SEED = 0x5EED
_SILENT_LSB = 2.0**-8  # far below what 16 bits with dither can tell (-144 dB), far above a resampler's rounding errors


class Quantiser:
    """Rounds samples to integers, block after block; beyond full scale they saturate.

    With dither, noise of triangular distribution between -1 and 1 of the last bit is added before rounding, which makes
    the mean and the power of the error independent of the signal (Lipshitz, Wannamaker and Vanderkooy, "Quantization
    and Dither", JAES 40, 1992).  The noise is the same at every run.  Silence stays silence: nothing is added to
    samples of less than 2**-8 of the last bit, so that of a signal of a few steps of 24 bits the error is a little
    smaller.

    Args:
        bits: 16, 24 or 32.
        dithered: add noise; for samples that are not integers of as many bits already.
    """

    def __init__(self, bits: int, *, dithered: bool) -> None:
        self._bits = bits
        self._random = np.random.SFC64(_SEED) if dithered else None  # its raw output is promised to stay as it is

    def push(self, samples: NDArray[Any]) -> NDArray[np.int16] | NDArray[np.int32]:
        """Take the next samples: float32 or float64, any shape, full scale 1.0.

        Returns:
            int16 for 16 bits; else int32, 24 bits in its upper three bytes.
        """
        full_scale = float(1 << (self._bits - 1))
        # A power of two times a float32 is exact, and so are its integers up to 24 bits; what is added to them is not.
        in_float32 = samples.dtype == np.float32 and (self._bits == 16 or (self._bits == 24 and self._random is None))
        scaled = np.multiply(samples, full_scale, dtype=np.float32 if in_float32 else np.float64)
        if self._random is not None:
            noise = self._noise(scaled.size).reshape(scaled.shape)
            noise *= np.abs(scaled) >= _SILENT_LSB
            scaled += noise
        np.rint(scaled, out=scaled)
        np.clip(scaled, -full_scale, full_scale - 1, out=scaled)
        if self._bits == 16:
            short: NDArray[np.int16] = scaled.astype(np.int16)
            return short
        integers: NDArray[np.int32] = scaled.astype(np.int32)
        integers <<= 32 - self._bits
        return integers

    def _noise(self, n: int) -> NDArray[np.float32]:
        """The difference of two uniform numbers of 16 bits each."""
        assert self._random is not None  # noqa: S101  (dithered)
        drawn = self._random.random_raw(-(-n // 2)).view(np.uint16)
        noise = drawn[:n].astype(np.float32)
        noise -= drawn[n : 2 * n]
        noise *= 2.0**-16
        return noise
