"""Stems as files: of exactly the input's rate, length and number of channels, and adding up to it."""

import math
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.resample import StreamResampler, resample
from pipeline.audio.source import AudioSource
from pipeline.progress import OnProgress, part, unheard
from pipeline.separation.separator import Separator
from pipeline.stem_names import RESIDUAL, rest_of

_RESAMPLING_SHARE = (
    0.02  # of the time on a CPU: 0.3 s of a song of three minutes, which takes over a minute to separate
)


@dataclass(frozen=True, slots=True)
class StemFile:
    """One stem on disk.

    Attributes:
        name: the model's name of it, or that of the rest (:func:`rest_of`), or ``residual``.
        path: a FLAC file.
        n_samples: per channel; the input's.
        rate_hz: the input's.
        peak: largest absolute sample, 1.0 = full scale. A stem beyond it was cut off there in the file.
        rms: root mean square over all channels, 1.0 = full scale.
    """

    name: str
    path: Path
    n_samples: int
    rate_hz: int
    peak: float
    rms: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate_hz


@dataclass(frozen=True, slots=True)
class Separation:
    """What a separation gives: the model's stems in its order, then what was made from them."""

    stems: tuple[StemFile, ...]


def separate(
    mix: AudioSource,
    separator: Separator,
    out_dir: Path,
    *,
    only: str | None,
    residual: bool,
    scratch: Path,
    on_progress: OnProgress = unheard,
) -> Separation:
    """Separate audio into FLAC files of its own rate, length, channels and resolution.

    Samples beyond full scale are cut off there; :attr:`StemFile.peak` tells. The files appear when all are complete:
    after an error, or an exception raised by ``on_progress``, there are none.

    Args:
        mix: the audio, at any rate, mono or stereo.
        separator: the resident separator.
        out_dir: existing folder for the files, ``<stem>.flac``; those of the same name are replaced.
        only: one stem's name, for it and the rest (:func:`rest_of`): the input minus it.  All stems if None.
        residual: also ``residual``, the input minus all the others. As what was subtracted are the integers in the
            other files, all files together are the input exactly, but where the difference is beyond full scale.
        scratch: existing folder for the input at the model's rate.
        on_progress: told of every block that is resampled and of every batch of segments.

    Raises:
        ModelError: the model does not know the one stem that is wanted, or its weights are damaged.
    """
    wanted = separator.stems if only is None else (only,)
    rest = (() if only is None else (rest_of(only),)) + (RESIDUAL,) * residual
    blocks = _blocks(mix, separator, wanted, scratch, on_progress)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out_dir) as folder, ExitStack() as open_files:
        files = [open_files.enter_context(_StemWriter(name, Path(folder), mix)) for name in (*wanted, *rest)]
        open_files.enter_context(closing(blocks))
        start = 0
        for block in blocks:
            left = quantise(mix.read(start, block.shape[2]), mix.bits)
            start += block.shape[2]
            for file, samples in zip(files, block, strict=False):
                left = left - file.write(samples)
            for file in files[len(wanted) :]:
                left = left - file.write(left / np.float64(1 << (mix.bits - 1)))
        open_files.close()
        return Separation(tuple(file.move_to(out_dir) for file in files))


def _blocks(
    mix: AudioSource, separator: Separator, wanted: tuple[str, ...], scratch: Path, on_progress: OnProgress
) -> Generator[NDArray[np.float32]]:
    """The stems at the rate and with the channels of the mix: float32, shape (n_stems, channels, n)."""
    shape = (len(wanted), mix.channels, -1)
    resampler = StreamResampler(separator.rate_hz, mix.rate_hz, len(wanted) * mix.channels, mix.n_samples)
    share = 0.0 if mix.rate_hz == separator.rate_hz else _RESAMPLING_SHARE
    heard = resample(mix, separator.rate_hz, scratch, part(on_progress, 0.0, share))
    with closing(separator.stream(heard, part(on_progress, share, 1.0), stems=wanted)) as stream:
        for block in stream:
            # A mono mix was heard in every channel; its stems are the mean of what came back.
            stems = block if mix.channels == block.shape[1] else block.mean(axis=1)
            yield resampler.push(stems.reshape(-1, block.shape[2])).reshape(shape)
    yield resampler.finish().reshape(shape)


class _StemWriter:
    """Writes a stem into a folder and measures it on the way."""

    def __init__(self, name: str, folder: Path, mix: AudioSource) -> None:
        self._name = name
        self._mix = mix
        self._path = folder / f"{name}.flac"
        self._file = AudioWriter(self._path, mix.rate_hz, mix.channels, mix.bits)
        self._peak = self._squares = 0.0

    def write(self, samples: NDArray[np.floating]) -> NDArray[np.int32]:
        """Append samples, shape (channels, n), 1.0 = full scale; returns them as the integers that are in the file."""
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))
        self._squares += float(np.square(samples, dtype=np.float64).sum())
        written = quantise(samples, self._mix.bits)
        self._file.write(written)
        return written

    def move_to(self, folder: Path) -> StemFile:
        """Give the finished file its place."""
        mix = self._mix
        rms = math.sqrt(self._squares / max(mix.n_samples * mix.channels, 1))
        path = self._path.replace(folder / self._path.name)
        return StemFile(self._name, path, mix.n_samples, mix.rate_hz, self._peak, rms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._file.close()
