"""What the drum transcriber looks at: levels in bands, 100 times a second, relative to the recording's own loudness.

Of low bands a 46 ms window tells a kick from a low tom; of high ones a 23 ms window keeps hits apart in time.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from pipeline.progress import OnProgress, unheard

FloatArray = npt.NDArray[np.float32]

RATE_HZ = 44_100
HOP = 441
FRAMES_PER_S = RATE_HZ // HOP
LOW_WINDOW = 2048
HIGH_WINDOW = 1024


@dataclass(frozen=True)
class Bands:
    """Centres of triangular bands in Hz: even steps where a window's bins are wider than a tone, then equal ratios.

    Attributes:
        low_hz: those measured through the long window.
        high_hz: those measured through the short one.
        lowest_hz: where the lowest band begins.
        highest_hz: where the highest band ends.
    """

    low_hz: tuple[float, ...]
    high_hz: tuple[float, ...]
    lowest_hz: float
    highest_hz: float

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.low_hz) + len(self.high_hz)


# 80 bands for drums, 36 for basses.
FINE = Bands(
    low_hz=tuple(np.linspace(30.0, 605.0, 24).tolist()),
    high_hz=tuple(np.geomspace(645.0, 17_500.0, 56).tolist()),
    lowest_hz=5.0,
    highest_hz=20_500.0,
)
COARSE = Bands(
    low_hz=(32.0, 54.0, 76.0, 98.0, 120.0, 145.0, 172.0, 205.0, 245.0, 290.0, 345.0, 405.0),
    high_hz=tuple(np.geomspace(470.0, 17_000.0, 24).tolist()),
    lowest_hz=10.0,
    highest_hz=20_000.0,
)
FLOOR_DB = -70.0  # quieter than this below the recording's loudness counts as silence
CEILING_DB = 20.0
DB_PER_UNIT = 20.0  # scales levels to about -3.5 .. 1, what the network was fitted on
FLOOR = FLOOR_DB / DB_PER_UNIT
FRAMES_PER_BLOCK = 3000  # bounds memory: half a minute of spectra at a time
TINY_POWER = 1e-14


@cache
def _filterbank(window: int, centres_hz: tuple[float, ...], low_hz: float, high_hz: float) -> FloatArray:
    """Triangular filters, shape (window // 2 + 1, n_bands), scaled so that full-scale white noise reads alike."""
    edges = np.array((low_hz, *centres_hz, high_hz))
    bins_hz = np.arange(window // 2 + 1) * RATE_HZ / window
    rising = (bins_hz[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins_hz[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.clip(np.minimum(rising, falling), 0.0, None)
    taper = scipy.signal.get_window("hann", window)
    return np.asarray(weights / (taper.sum() ** 2), dtype=np.float32)


def _window_powers(padded: FloatArray, first: int, n_frames: int, window: int, filters: FloatArray) -> FloatArray:
    """Powers of ``n_frames`` frames; ``first`` is where the first one starts in ``padded``."""
    taper = scipy.signal.get_window("hann", window).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded[first:], window)[::HOP][:n_frames]
    spectra = scipy.fft.rfft(frames * taper, axis=1)
    powers: FloatArray = (spectra.real**2 + spectra.imag**2) @ filters
    return powers


def resample(samples: FloatArray, rate_hz: int) -> FloatArray:
    """Samples (n,) at 44.1 kHz."""
    if rate_hz == RATE_HZ:
        return samples
    divisor = int(np.gcd(rate_hz, RATE_HZ))
    converted = scipy.signal.resample_poly(samples, RATE_HZ // divisor, rate_hz // divisor)
    return np.asarray(converted, dtype=np.float32)


def band_powers(samples: FloatArray, bands: Bands, on_progress: OnProgress = unheard) -> FloatArray:
    """Band powers of 44.1 kHz mono samples, float32, shape (n // 441 + 1, n_bands); frame t is centred on t * 10 ms.

    Before every half minute ``on_progress`` is told how much is done.
    """
    n_frames, n_low = len(samples) // HOP + 1, len(bands.low_hz)
    half = LOW_WINDOW // 2
    padded = np.pad(samples, (half, half + HOP))
    low = _filterbank(LOW_WINDOW, bands.low_hz, bands.lowest_hz, bands.high_hz[0])
    high = _filterbank(HIGH_WINDOW, bands.high_hz, bands.low_hz[-1], bands.highest_hz)
    powers = np.empty((n_frames, bands.count), dtype=np.float32)
    for start in range(0, n_frames, FRAMES_PER_BLOCK):
        on_progress(start / n_frames)
        count = min(FRAMES_PER_BLOCK, n_frames - start)
        at = start * HOP
        block = powers[start : start + count]
        block[:, :n_low] = _window_powers(padded, at, count, LOW_WINDOW, low)
        later = at + half - HIGH_WINDOW // 2
        block[:, n_low:] = _window_powers(padded, later, count, HIGH_WINDOW, high)
    return powers


def loudness_db(powers: FloatArray) -> float:
    """Level of the loud parts in dB: the power-weighted mean power, so that silence between hits does not count."""
    total = powers.sum(axis=1, dtype=np.float64)
    return float(10 * np.log10(max((total**2).sum() / max(total.sum(), TINY_POWER), TINY_POWER)))


def relative_levels(powers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Levels relative to the recording's loudness, in units of 20 dB, and its profile.

    Returns levels (n_frames, n_bands) and the loudness of each band (n_bands,), on the same scale: what the kit, the
    room and the mixing desk made of the drums, which lets the network hear hits relative to it.
    """
    reference_db = loudness_db(powers)
    levels_db = 10 * np.log10(powers + TINY_POWER) - reference_db
    levels = np.clip(levels_db, FLOOR_DB, CEILING_DB) / DB_PER_UNIT
    squares = np.square(powers, dtype=np.float64).sum(axis=0)
    means = squares / np.maximum(powers.sum(axis=0, dtype=np.float64), TINY_POWER)
    profile_db = 10 * np.log10(means + TINY_POWER) - reference_db
    profile = np.clip(profile_db, FLOOR_DB, CEILING_DB) / DB_PER_UNIT
    return levels.astype(np.float32), profile.astype(np.float32)
