"""Stems as files: of exactly the input's rate, length and number of channels, and adding up to it."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.resample import StreamResampler, resample
from pipeline.audio.source import AudioSource
from pipeline.errors import ModelError
from pipeline.separation.separator import OnProgress, Separator

VOCALS = "vocals"
INSTRUMENTAL = "instrumental"
RESIDUAL = "residual"

Samples = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class StemFile:
    """One stem on disk.

    Attributes:
        name: the model's name of it, or ``instrumental`` or ``residual``.
        path: a FLAC file.
        n_samples: per channel; the input's.
        rate_hz: the input's.
        peak: largest absolute sample, 1.0 = full scale.  1.0 says that the stem was cut off there.
        rms: root mean square over all channels.
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
    """What a separation gives: its stems, in the model's order, then what was made from them."""

    stems: tuple[StemFile, ...]


class _StemWriter:
    """Writes one stem under a temporary name and measures it on the way."""

    def __init__(self, name: str, out_dir: Path, mix: AudioSource) -> None:
        self._name, self._mix = name, mix
        self._final = out_dir / f"{name}.flac"
        self._partial = out_dir / f".{name}.partial.flac"
        self._writer = AudioWriter(self._partial, mix.rate_hz, mix.channels, mix.bits)
        self._peak = self._squares = 0.0

    def write(self, samples: Samples) -> None:
        self._writer.write(samples)
        scaled = samples / float(1 << (self._mix.bits - 1))
        self._peak = max(self._peak, float(np.abs(scaled).max(initial=0.0)))
        self._squares += float(np.square(scaled).sum())

    def close(self) -> None:
        self._writer.close()

    def keep(self) -> StemFile:
        self._partial.replace(self._final)
        n_values = self._mix.n_samples * self._mix.channels
        rms = math.sqrt(self._squares / n_values) if n_values else 0.0
        return StemFile(self._name, self._final, self._mix.n_samples, self._mix.rate_hz, self._peak, rms)

    def discard(self) -> None:
        self._partial.unlink(missing_ok=True)


def separate(
    mix: AudioSource,
    separator: Separator,
    out_dir: Path,
    *,
    two_stems: bool,
    residual: bool,
    scratch: Path,
    on_progress: OnProgress | None = None,
) -> Separation:
    """Separate audio into FLAC files.

    Args:
        mix: the audio, at any rate, mono or stereo.
        separator: the resident separator.
        out_dir: existing folder for the files.
        two_stems: only ``vocals`` and ``instrumental``, which is the input minus the vocals as integers: the two
            files add up to the input exactly, except where a sum is beyond full scale.
        residual: also ``residual``, the input minus all written stems.
        scratch: existing folder for the resampled input.
        on_progress: told after every segment; what it raises ends the separation, and no file stays.

    Raises:
        ModelError: two stems are wanted of a model that does not know vocals.

    Samples beyond full scale are cut off there.
    """
    if two_stems and VOCALS not in separator.stems:
        raise ModelError(
            f"The model {separator.model.name} has no stem named {VOCALS}; it has {', '.join(separator.stems)}."
        )
    names = [VOCALS, INSTRUMENTAL] if two_stems else list(separator.stems)
    if residual:
        names.append(RESIDUAL)
    with contextlib.ExitStack() as stack:
        writers = {}
        for name in names:
            writers[name] = _StemWriter(name, out_dir, mix)
            stack.callback(writers[name].discard)
            stack.callback(writers[name].close)
        start = 0
        for block in _blocks(mix, separator, scratch, on_progress):
            n_samples = block.shape[-1]
            original = quantise(mix.read(start, n_samples), mix.bits)
            start += n_samples
            for name, samples in _parts(block, original, separator.stems, mix.bits, names):
                writers[name].write(samples)
        for writer in writers.values():
            writer.close()
        return Separation(tuple(writer.keep() for writer in writers.values()))


def _parts(
    block: NDArray[np.float32], original: Samples, stems: tuple[str, ...], bits: int, names: list[str]
) -> Iterator[tuple[str, Samples]]:
    """The samples of every file, in order; what is left over is computed from what is written."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rest = original.astype(np.int64)
    for name, samples in zip(stems, block, strict=True):
        if name in names:
            written = quantise(samples, bits)
            rest -= written
            yield name, written
    for name in (INSTRUMENTAL, RESIDUAL):
        if name in names:
            written = np.clip(rest, low, high).astype(np.int32)
            rest -= written
            yield name, written


def _blocks(
    mix: AudioSource, separator: Separator, scratch: Path, on_progress: OnProgress | None
) -> Iterator[NDArray[np.float32]]:
    """Stems at the mix's own rate and channels: float32, shape (n_stems, channels, n)."""
    model = separator.model
    at_model_rate = resample(mix, model.rate_hz, scratch)
    n_stems = len(separator.stems)
    back = StreamResampler(model.rate_hz, mix.rate_hz, n_stems * mix.channels, mix.n_samples)
    for stems in separator.stream(at_model_rate, on_progress):
        kept = stems.mean(axis=1, keepdims=True) if mix.channels == 1 else stems
        ready = back.push(kept.reshape(n_stems * mix.channels, -1))
        yield ready.reshape(n_stems, mix.channels, -1)
    yield back.finish().reshape(n_stems, mix.channels, -1)
