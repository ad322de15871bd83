"""Audio to convert, and what a conversion of it is checked with."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from pipeline.conversion.encoder import Coding, encoding_ffmpeg
from pipeline.conversion.formats import FORMATS


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg that has every encoder; it must succeed."""
    path = encoding_ffmpeg(Coding(FORMATS["mp3"], 44_100, 2, 16))
    command = [str(path), "-nostdin", "-y", "-loglevel", "error", "-bitexact", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def music(n_samples: int, rate_hz: int = 44_100, channels: int = 2) -> NDArray[np.float64]:
    """Tones and noise with a quiet end: float64, shape (n_samples, channels), below full scale."""
    t = np.arange(n_samples) / rate_hz
    tones = [np.sin(2 * np.pi * (220 + 110 * channel + 200 * t) * t) for channel in range(channels)]
    noise = np.random.default_rng(n_samples).standard_normal((n_samples, channels))
    fade = np.linspace(1.0, 0.01, n_samples)[:, None]
    samples: NDArray[np.float64] = fade * (0.5 * np.stack(tones, axis=1) + 0.05 * noise)
    return samples


def integers(n_samples: int, bits: int, channels: int = 2) -> NDArray[np.int32]:
    """Random integers of the whole range of ``bits``, in the upper bits of int32: shape (n_samples, channels)."""
    full = 1 << (bits - 1)
    drawn = np.random.default_rng(bits).integers(-full, full, (n_samples, channels))
    drawn[0], drawn[1] = full - 1, -full
    return (drawn << (32 - bits)).astype(np.int32)


def write_wav(
    path: Path, samples: NDArray[np.float64] | NDArray[np.int32], bits: int = 16, rate_hz: int = 44_100
) -> Path:
    """A WAV file."""
    sf.write(path, samples, rate_hz, subtype=f"PCM_{bits}")
    return path


def read_integers(path: Path, folder: Path, channels: int = 2) -> NDArray[np.int32]:
    """The samples of a lossless file as ffmpeg decodes them, in the upper bits of int32: shape (n, channels)."""
    raw = folder / "as-read.s32"
    ffmpeg("-i", path, "-map", "0:a", "-f", "s32le", raw)
    return np.fromfile(raw, dtype="<i4").reshape(-1, channels)


def make(path: Path, wav: Path, options: Sequence[str] = ()) -> Path:
    """The audio of a WAV file in another format, by ffmpeg."""
    ffmpeg("-i", wav, *options, path)
    return path
