"""Writing audio files from streamed blocks, with the integer samples in our own hands.

Quantising here rather than inside the encoder is what lets stems sum to the mix exactly: what one stem's
file holds is known, so the next can be computed from it as integers.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile as sf
from numpy.typing import NDArray


def quantise(samples: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Round float samples to integers of ``bits`` bits, saturating at full scale; no dither, so that it is repeatable.

    Args:
        samples: float32, any shape, full scale 1.0.
        bits: 16 or 24.

    Returns:
        int32, same shape, in [-2**(bits-1), 2**(bits-1) - 1].
    """
    full_scale = float(1 << (bits - 1))
    scaled = np.rint(samples.astype(np.float64) * full_scale)
    return np.clip(scaled, -full_scale, full_scale - 1).astype(np.int32)


class AudioWriter:
    """Streams integer samples to a FLAC or WAV file (by the suffix of ``path``); a context manager.

    Args:
        path: file to write; ``.flac`` or ``.wav``.
        rate_hz: sample rate in Hz.
        channels: number of channels, 1-8.
        bits: 16 or 24.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int, bits: int) -> None:
        self._shift = 32 - bits
        self._file = sf.SoundFile(
            path, "w", samplerate=rate_hz, channels=channels, subtype=f"PCM_{bits}", format=path.suffix[1:].upper()
        )

    def write(self, samples: NDArray[np.int32]) -> None:
        """Append samples: int32, shape (channels, n), as :func:`quantise` gives them.

        Raises:
            OSError: they cannot be written, as on a full disk.
        """
        try:
            self._file.write(np.ascontiguousarray((samples << self._shift).T))  # libsndfile: int32, left-justified
        except sf.LibsndfileError as error:
            raise OSError(f"{self._file.name} cannot be written: {error.error_string}") from error

    def close(self) -> None:
        """Finish the file; safe to call twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
