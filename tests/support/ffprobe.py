"""ffprobe, which says what a file is to somebody who did not make it: older than the ffmpeg that we write with."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGES = Path(sys.prefix) / "node" / "node_modules" / "@ffprobe-installer"  # made by the Makefile


@dataclass(frozen=True, slots=True)
class Seen:
    """An audio file as ffprobe sees it.

    Attributes:
        container: its names of the format, joined by commas.
        codec: its name of the audio's coding.
        rate_hz: sample rate.
        channels: number of channels.
        bits: bits per sample; 0 where the coding has none.
        duration_s: from the first sample that is to be heard to the last.
        n_packets: of audio.
        tags: of the file and its audio, names in lower case.
        pictures: codings of the pictures in it.
    """

    container: str
    codec: str
    rate_hz: int
    channels: int
    bits: int
    duration_s: float
    n_packets: int
    tags: dict[str, str]
    pictures: tuple[str, ...]


def ffprobe(path: Path) -> Seen:
    """Open a file; it must open without a complaint."""
    wanted = ("-show_format", "-show_streams", "-count_packets", "-of", "json", str(path))
    run = subprocess.run([_program(), "-v", "error", *wanted], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    said: dict[str, Any] = json.loads(run.stdout)
    (audio,) = [stream for stream in said["streams"] if stream["codec_type"] == "audio"]
    tags = said["format"].get("tags", {}) | audio.get("tags", {})
    return Seen(
        container=said["format"]["format_name"],
        codec=audio["codec_name"],
        rate_hz=int(audio["sample_rate"]),
        channels=audio["channels"],
        bits=int(audio.get("bits_per_raw_sample") or audio["bits_per_sample"]),
        # An MP3's encoder delay is before its start; a WebM's is before 0, and not in its duration.
        duration_s=float(said["format"]["duration"]) - max(0.0, float(said["format"].get("start_time", 0))),
        n_packets=int(audio["nb_read_packets"]),
        tags={name.lower(): value for name, value in tags.items()},
        pictures=tuple(stream["codec_name"] for stream in said["streams"] if stream["codec_type"] == "video"),
    )


@cache
def _program() -> str:
    (path,) = _PACKAGES.glob("*-*/ffprobe")
    path.chmod(0o755)  # its package sets that by a script, which is not run
    return str(path)
