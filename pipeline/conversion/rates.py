"""Changing the sample rate as exactly as 24 bits can tell.

By itself soxr's "VHQ" is exact (150 dB) only where the two rates are in a simple ratio.  Else its passband droops: near
nine tenths of it, by 0.002 dB, which is an error of -73 dB (44.1 to 48 kHz).  Done at twice the rates, where all of the
band lies in the lower half of what there is, the same step is right to 119 dB or better for every pair of the
documented rates, most to 148 dB (nine tones up to nine tenths of the band; tests/quality/resampling.py).  It takes two
and a half times as long: 1.0 s instead of 0.4 s for a song of three minutes.
"""

import math
from itertools import pairwise

from pipeline.audio.resample import StreamResampler

_SIMPLE = 12  # the largest term of a ratio that soxr does in one exact step; 1:24 it does not


def resamplers(in_rate_hz: int, out_rate_hz: int, channels: int, *, exact: bool, dtype: str) -> list[StreamResampler]:
    """What samples go through, one after the other, to change their rate; nothing where it stays.

    The last gives :func:`pipeline.audio.resample.resampled_length` of what was pushed into the first.

    Args:
        in_rate_hz: sample rate of what is pushed.
        out_rate_hz: sample rate of what comes out.
        channels: number of channels.
        exact: take the detour that makes it exact; what is coded with loss is not worth it.
        dtype: of the samples, "float32" or "float64".
    """
    rates_hz = _detour(in_rate_hz, out_rate_hz) if exact else [in_rate_hz, out_rate_hz]
    return [
        StreamResampler(from_hz, to_hz, channels, None, quality="VHQ", dtype=dtype)
        for from_hz, to_hz in pairwise(rates_hz)
        if from_hz != to_hz
    ]


def _detour(in_rate_hz: int, out_rate_hz: int) -> list[int]:
    if max(in_rate_hz, out_rate_hz) // math.gcd(in_rate_hz, out_rate_hz) <= _SIMPLE:
        return [in_rate_hz, out_rate_hz]
    enough_hz = 2 * min(in_rate_hz, out_rate_hz)
    up = [2 * in_rate_hz] if in_rate_hz < enough_hz else []
    down = [2 * out_rate_hz] if out_rate_hz < enough_hz else []
    return [in_rate_hz, *up, *down, out_rate_hz]
