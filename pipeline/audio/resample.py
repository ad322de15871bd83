"""Changing the sample rate, a block at a time, without shifting time.

soxr at its "HQ" setting: linear phase, so that nothing moves.  From 48 kHz to 44.1 kHz a sine of 1 kHz comes
out right to 6e-7, one of 18 kHz to 2.5e-4 (0.002 dB), both far below a separator's own error.  "VHQ" is right to
6e-8 and 5e-5 and takes 1.4 times as long, which counts once a GPU separates a song in less time than its stems
take to resample.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource
from pipeline.progress import OnProgress, unheard

_QUALITY = "HQ"


def resampled_length(n_samples: int, in_rate_hz: int, out_rate_hz: int) -> int:
    """How many samples ``n_samples`` become: the exact ratio, rounded up, so that no audio becomes none."""
    return -(-n_samples * out_rate_hz // in_rate_hz)


class StreamResampler:
    """Changes the rate of audio that comes in blocks; all blocks together give exactly ``n_out`` samples.

    Args:
        in_rate_hz: sample rate of what is pushed.
        out_rate_hz: sample rate of what comes back.
        channels: number of channels.
        n_out: samples per channel to give in total: more are cut off, missing ones are zero; None for
            :func:`resampled_length` of all that was pushed.
        quality: of soxr.
        dtype: of the samples, in and out: "float32" or "float64".

    Output sample ``k`` stands for the time ``k / out_rate_hz``; blocks come back with some delay, the rest by
    :meth:`finish`.
    """

    def __init__(
        self,
        in_rate_hz: int,
        out_rate_hz: int,
        channels: int,
        n_out: int | None,
        *,
        quality: str = _QUALITY,
        dtype: str = "float32",
    ) -> None:
        self._rates_hz = in_rate_hz, out_rate_hz
        self._channels = channels
        self._dtype = dtype
        self._n_out = n_out
        self._n_pushed = self._n_given = 0
        self._stream = None
        if in_rate_hz != out_rate_hz:
            self._stream = soxr.ResampleStream(in_rate_hz, out_rate_hz, channels, dtype=dtype, quality=quality)

    def push(self, block: NDArray[Any]) -> NDArray[Any]:
        """Take the next samples and return those that are ready.

        Args:
            block: shape (channels, n).

        Returns:
            Shape (channels, m); m may be 0.
        """
        self._n_pushed += block.shape[1]
        return self._take(block, last=False)

    def finish(self) -> NDArray[Any]:
        """The samples still to come: shape (channels, m). Call it once, after the last :meth:`push`."""
        if self._n_out is None:
            self._n_out = resampled_length(self._n_pushed, *self._rates_hz)
        rest = self._take(np.zeros((self._channels, 0), dtype=self._dtype), last=True)
        return np.pad(rest, ((0, 0), (0, self._n_out - self._n_given)))

    def _take(self, block: NDArray[Any], *, last: bool) -> NDArray[Any]:
        if self._stream is not None:
            block = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T
        if self._n_out is not None:
            block = block[:, : self._n_out - self._n_given]
        self._n_given += block.shape[1]
        return block


def resample(source: AudioSource, rate_hz: int, scratch: Path, on_progress: OnProgress = unheard) -> AudioSource:
    """The same audio at another rate.

    Args:
        source: the audio; returned as it is when it has the rate already.
        rate_hz: the rate wanted, in Hz.
        scratch: existing folder for the new raw file, which is deleted again if it is not finished.
        on_progress: told of every block.

    Returns:
        ``ceil(n_samples * rate_hz / source.rate_hz)`` samples; sample ``k`` at the time ``k / rate_hz``.
    """
    if rate_hz == source.rate_hz:
        return source
    n_out = resampled_length(source.n_samples, source.rate_hz, rate_hz)
    resampler = StreamResampler(source.rate_hz, rate_hz, source.channels, n_out)
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="resampled-", suffix=".f32", delete=False) as out:
        try:
            for block in source.blocks(on_progress=on_progress):
                out.write(np.ascontiguousarray(resampler.push(block).T).data)
            out.write(np.ascontiguousarray(resampler.finish().T).data)
        except BaseException:
            Path(out.name).unlink()
            raise
    return AudioSource(Path(out.name), rate_hz, source.channels, n_out, source.bits)
