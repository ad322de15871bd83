"""Changing the sample rate, a block at a time, without shifting time.

soxr at its "HQ" setting: linear phase, so that nothing moves.  From 48 kHz to 44.1 kHz a sine of 1 kHz comes
out right to 6e-7, one of 18 kHz to 2.5e-4 (0.002 dB), both far below a separator's own error.  "VHQ" is right to
6e-8 and 5e-5 and takes 1.4 times as long, which counts once a GPU separates a song in less time than its stems
take to resample.
"""

import tempfile
from pathlib import Path

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
        n_out: samples per channel to give in total: more are cut off, missing ones are zero.

    Output sample ``k`` stands for the time ``k / out_rate_hz``; blocks come back with some delay, the rest by
    :meth:`finish`.
    """

    def __init__(self, in_rate_hz: int, out_rate_hz: int, channels: int, n_out: int) -> None:
        self._channels = channels
        self._left = n_out
        self._stream = None
        if in_rate_hz != out_rate_hz:
            self._stream = soxr.ResampleStream(in_rate_hz, out_rate_hz, channels, dtype="float32", quality=_QUALITY)

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next samples and return those that are ready.

        Args:
            block: float32, shape (channels, n).

        Returns:
            float32, shape (channels, m); m may be 0.
        """
        return self._take(block, last=False)

    def finish(self) -> NDArray[np.float32]:
        """The samples still to come: float32, shape (channels, m). Call it once, after the last :meth:`push`."""
        rest = self._take(np.zeros((self._channels, 0), dtype=np.float32), last=True)
        missing, self._left = self._left, 0
        return np.pad(rest, ((0, 0), (0, missing)))

    def _take(self, block: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._stream is not None:
            block = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T
        block = np.ascontiguousarray(block[:, : self._left])
        self._left -= block.shape[1]
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
