"""Audio files made on the spot, by libsndfile and by ffmpeg."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pipeline.audio.ffmpeg import ffmpeg_path

FloatArray = NDArray[np.float32]
Encode = Callable[..., Path]


@pytest.fixture
def sweep() -> Callable[..., FloatArray]:
    """Makes float32 (n, channels): a different rising tone and some noise in each channel, starting in full swing."""

    def make(rate_hz: int = 44_100, channels: int = 2, duration_s: float = 2.0) -> FloatArray:
        t = np.arange(round(rate_hz * duration_s)) / rate_hz
        tones = [np.cos(2 * np.pi * (300 + 200 * channel + 300 * t) * t) for channel in range(channels)]
        noise = np.random.default_rng(channels).standard_normal((len(t), channels))
        return (0.4 * np.stack(tones, axis=1) + 0.02 * noise).astype(np.float32)

    return make


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """Writes samples (n, channels) to ``name`` in ``tmp_path`` by ffmpeg with the given output options."""

    def run(name: str, samples: FloatArray, rate_hz: int, *options: str) -> Path:
        wav, path = tmp_path / "as-made.wav", tmp_path / name
        sf.write(wav, samples, rate_hz, subtype="FLOAT")
        ffmpeg("-i", str(wav), *options, str(path))
        return path

    return run


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg, which must succeed."""
    command = [str(ffmpeg_path()), "-nostdin", "-y", "-loglevel", "error", "-bitexact", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(name="ffmpeg")
def ffmpeg_fixture() -> Callable[..., None]:
    """Runs ffmpeg with the given arguments."""
    return ffmpeg
