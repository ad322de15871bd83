"""Decoded audio on disk, read a piece at a time, so that memory never grows with a song's length."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.progress import OnProgress, unheard

BLOCK_SAMPLES = 1 << 18  # 6 s at 44.1 kHz, 2 MB of stereo float32: large enough that per-block costs vanish
_BYTES_PER_SAMPLE = 4


@dataclass(frozen=True, slots=True)
class AudioSource:
    """A raw file of interleaved little-endian float32 samples, as :func:`pipeline.audio.decode.decode` writes it.

    Attributes:
        path: the raw file; it belongs to the scratch folder it was made in.
        rate_hz: sample rate in Hz.
        channels: 1 or 2.
        n_samples: samples per channel; may be 0.
        bits: 16 or 24, the resolution that files made from this audio are stored with
            (24 when the input held more than 16 bits, as 24-bit and float files do).

    Every sample is finite; full scale is 1.0, and values beyond it are kept.
    """

    path: Path
    rate_hz: int
    channels: int
    n_samples: int
    bits: int = 16

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate_hz

    def read(self, start: int, n: int) -> NDArray[np.float32]:
        """Samples ``[start, start + n)``, cut off at the end of the audio.

        Args:
            start: first sample, 0 or more.
            n: how many samples per channel.

        Returns:
            float32, shape (channels, at most n).
        """
        n = max(0, min(n, self.n_samples - start))
        with self.path.open("rb") as file:
            file.seek(start * self.channels * _BYTES_PER_SAMPLE)
            flat = np.fromfile(file, dtype="<f4", count=n * self.channels)
        return np.ascontiguousarray(flat.reshape(-1, self.channels).T)

    def blocks(
        self, block_samples: int = BLOCK_SAMPLES, on_progress: OnProgress = unheard
    ) -> Iterator[NDArray[np.float32]]:
        """The whole audio in order, as float32 arrays of shape (channels, at most ``block_samples``).

        Before every block, and after the last, ``on_progress`` is told how much of the audio came before.
        """
        for start in range(0, self.n_samples, block_samples):
            on_progress(start / self.n_samples)
            yield self.read(start, block_samples)
        on_progress(1.0)

    def mono(self, on_progress: OnProgress = unheard) -> NDArray[np.float32]:
        """The whole audio as the mean of its channels: float32, shape (n_samples,)."""
        out = np.empty(self.n_samples, dtype=np.float32)
        at = 0
        for block in self.blocks(on_progress=on_progress):
            out[at : at + block.shape[1]] = block.mean(axis=0)
            at += block.shape[1]
        return out
