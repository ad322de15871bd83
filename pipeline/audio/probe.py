"""What an audio file is, before it is decoded."""

from pathlib import Path

from pipeline.audio import ffmpeg, sndfile
from pipeline.audio.chunks import check_complete
from pipeline.audio.info import AudioInfo
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.sniff import Container, sniff

__all__ = ["AudioInfo", "Container", "check_file", "probe", "sniff"]


def check_file(path: Path, limits: DecodeLimits) -> Container:
    """What can be refused by looking at a file: its kind, its size, and whether its end is missing.

    Raises:
        UnsupportedAudio: not audio that is read here.
        AudioLimitExceeded: too large.
        CorruptAudio: the header promises more than is there.
    """
    container = sniff(path)
    limits.check_size(path.stat().st_size)
    check_complete(path, container)
    return container


def probe(path: Path, limits: DecodeLimits | None = None) -> AudioInfo:
    """The header of an audio file, read in a process of its own, and checked against the limits.

    Args:
        path: any file.
        limits: the defaults of :class:`~pipeline.audio.limits.DecodeLimits` if not given.

    Raises:
        UnsupportedAudio: not audio that is read here; says what it is.
        AudioLimitExceeded: beyond a limit; names it.
        CorruptAudio: damaged or incomplete.
    """
    limits = limits or DecodeLimits()
    container = check_file(path, limits)
    info = None
    if container.by_libsndfile:
        with sndfile.start(path, limits) as child:
            info = sndfile.read_header(child, container, limits)
    info = info or ffmpeg.inspect(path, container, limits)
    limits.check_audio(rate_hz=info.rate_hz, channels=info.channels, duration_s=info.duration_s)
    return info
