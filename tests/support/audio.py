"""Small audio made on the spot."""

import io
import subprocess

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from pipeline.audio.ffmpeg import ffmpeg_path


def tone(duration_s: float = 1.0, rate_hz: int = 44_100, channels: int = 2, hz: float = 440.0) -> NDArray[np.float32]:
    """A sine at half of full scale: float32, shape (n_samples, channels)."""
    at = np.arange(round(duration_s * rate_hz)) / rate_hz
    return np.repeat((0.5 * np.sin(2 * np.pi * hz * at)).astype(np.float32)[:, None], channels, axis=1)


def wav_bytes(duration_s: float = 1.0, rate_hz: int = 44_100, channels: int = 2, container: str = "WAV") -> bytes:
    """A tone as a file."""
    buffer = io.BytesIO()
    sf.write(buffer, tone(duration_s, rate_hz, channels), rate_hz, format=container)
    return buffer.getvalue()


def aac_bytes(duration_s: float = 1.0, rate_hz: int = 8000) -> bytes:
    """A tone as bare AAC frames (ADTS): no header says how long it is."""
    command = [str(ffmpeg_path()), "-loglevel", "error", "-i", "pipe:0", "-f", "adts", "pipe:1"]
    return subprocess.run(command, check=True, capture_output=True, input=wav_bytes(duration_s, rate_hz, 1)).stdout
