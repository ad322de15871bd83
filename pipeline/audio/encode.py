"""Writing audio files from streamed blocks, with the integer samples in our own hands.

Quantising here rather than inside the encoder is what lets stems sum to the mix exactly: what one stem's
file holds is known, so the next can be computed from it as integers.
"""

import contextlib
from collections.abc import Iterator
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

    Raises:
        OSError: it cannot be written, as on a full disk; from every method, and the file is of no use then.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int, bits: int) -> None:
        self._shift = 32 - bits
        self._path = path
        self._disk = _Disk(path)
        kind = path.suffix[1:].upper()
        try:
            self._file = sf.SoundFile(
                self._disk, "w", samplerate=rate_hz, channels=channels, subtype=f"PCM_{bits}", format=kind
            )
        except sf.LibsndfileError as error:
            self._disk.close()
            raise self._reason(error) from error

    def write(self, samples: NDArray[np.int32]) -> None:
        """Append samples: int32, shape (channels, n), as :func:`quantise` gives them."""
        with self._telling():
            self._file.write(np.ascontiguousarray((samples << self._shift).T))  # libsndfile: int32, left-justified

    def close(self) -> None:
        """Finish the file; safe to call twice."""
        if self._file.closed:
            return
        try:
            with self._telling():
                self._file.close()
        finally:
            self._disk.close()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Raise what went wrong with the file, whatever libsndfile says of it, or does not."""
        try:
            yield
        except sf.LibsndfileError as error:
            raise self._reason(error) from error
        if self._disk.error is not None:
            raise self._disk.error

    def _reason(self, error: sf.LibsndfileError) -> OSError:
        return self._disk.error or OSError(f"{self._path} cannot be written: {error.error_string}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class _Disk:
    """What libsndfile writes through, so that the reason of a failure is known.

    By itself libsndfile says "System error", and nothing at all where the end of a FLAC, which it writes when it closes
    the file, finds no room: the file would be short by up to a tenth of a second of audio.

    Attributes:
        error: why something could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None
        self.seek, self.tell, self.read, self.close = (
            self._file.seek,
            self._file.tell,
            self._file.read,
            self._file.close,
        )

    def write(self, data: bytes) -> int:
        """Write all of it; 0 if that fails."""
        left = memoryview(data)
        try:
            while left:  # a disk that becomes full takes a part of it first, and then says so
                left = left[self._file.write(left) :]
        except OSError as error:
            error.filename = self._file.name
            self.error = error
            return 0
        return len(data)
