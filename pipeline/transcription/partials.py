"""How loud every semitone is, over time: where a note's partials are looked up.

Spectra of several resolutions, each used where it tells semitones apart and no finer: 0.37 s long windows for the
lowest octaves, 46 ms above 1.3 kHz, where partials are far apart and attacks are sharp.
"""

from functools import cache

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray

from pipeline.progress import OnProgress, unheard

FloatArray = NDArray[np.float32]

RATE_HZ = 22_050
HOP_SAMPLES = 256  # the same frames as Basic Pitch's network: 86.1 a second
LOWEST_BAND = 21  # MIDI pitch of band 0
N_BANDS = 104  # up to MIDI 124, 10.5 kHz
# First band, how many times slower the samples are taken, and the window's length in those.
RESOLUTIONS = ((21, 4, 2048), (40, 2, 2048), (64, 1, 2048), (88, 1, 1024))
HALF_WIDTH = 0.7  # semitones from a band's centre to where its filter ends: neighbours overlap a little
FRAMES_PER_BLOCK = 2048  # bounds memory: 24 s of spectra at a time
FLOOR_DB = -110.0


@cache
def _filters(first: int, last: int, rate_hz: float, window: int) -> FloatArray:
    """Weights of a spectrum's powers in each band [first, last), shape (window // 2 + 1, last - first).

    A band takes the bins within :data:`HALF_WIDTH` of its centre, the nearest ones most, and at least one bin.
    """
    bins = np.arange(1, window // 2 + 1)
    pitch = 69 + 12 * np.log2(bins * rate_hz / window / 440)
    distance = np.abs(pitch[:, None] - np.arange(first, last))
    weights = np.clip(1 - distance / HALF_WIDTH, 0, None)
    weights[distance.argmin(axis=0), np.arange(last - first)] += 1e-3
    taper = scipy.signal.get_window("hann", window)
    # A full-scale sine in the middle of a band reads 0 to 2 dB in every resolution.
    scale = 4 / (taper.sum() ** 2 * weights.max(axis=0))
    return np.concatenate([np.zeros((1, last - first)), weights * scale]).astype(np.float32)


def band_levels(samples: FloatArray, on_progress: OnProgress = unheard) -> FloatArray:
    """Level of every semitone band in every frame.

    Args:
        samples: float32 mono, shape (n_samples,), 22 050 Hz.
        on_progress: told of every block.

    Returns:
        float32, shape (n_frames, 104), dB (a full-scale sine: about 0), no less than -110; frame ``i`` is centred on
        sample ``256 * i``, and as many frames start inside the audio.
    """
    n_frames = -(-len(samples) // HOP_SAMPLES)
    levels = np.empty((n_frames, N_BANDS), dtype=np.float32)
    slower: dict[int, FloatArray] = {1: samples}
    ends = [first for first, _, _ in RESOLUTIONS[1:]] + [LOWEST_BAND + N_BANDS]
    for done, ((first, factor, window), last) in enumerate(zip(RESOLUTIONS, ends, strict=True)):
        if factor not in slower:
            slower[factor] = soxr.resample(samples, RATE_HZ, RATE_HZ / factor, quality="MQ")
        columns = slice(first - LOWEST_BAND, last - LOWEST_BAND)
        filters = _filters(first, last, RATE_HZ / factor, window)
        hop = HOP_SAMPLES // factor
        padded = np.zeros(n_frames * hop + 2 * window, dtype=np.float32)
        padded[window // 2 : window // 2 + len(slower[factor])] = slower[factor]
        taper = scipy.signal.get_window("hann", window).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
        for start in range(0, n_frames, FRAMES_PER_BLOCK):
            on_progress((done + start / n_frames) / len(RESOLUTIONS))
            stop = min(start + FRAMES_PER_BLOCK, n_frames)
            spectra = scipy.fft.rfft(frames[start:stop] * taper, axis=1)
            powers = (spectra.real**2 + spectra.imag**2) @ filters
            levels[start:stop, columns] = 10 * np.log10(np.maximum(powers, 10 ** (FLOOR_DB / 10)))
    on_progress(1.0)
    return levels
