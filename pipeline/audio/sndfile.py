"""Reading files with libsndfile, in a process of its own."""

import json
from pathlib import Path

from pipeline.audio.child import Child
from pipeline.audio.decode_worker import NOT_READABLE
from pipeline.audio.info import AudioInfo
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.sniff import FLAC, Container
from pipeline.progress import OnProgress, unheard

_LOSSLESS = ("PCM_", "FLOAT", "DOUBLE", "ALAC_")
_WIDE_SUBTYPES = ("PCM_32", "DOUBLE", "ALAC_32")
_SUBTYPES_24 = ("PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32")


def start(path: Path, limits: DecodeLimits, on_progress: OnProgress = unheard, *, keep_wide: bool = False) -> Child:
    """A process that writes a header and then the samples, interleaved, of a file that libsndfile reads.

    They are float32; with ``keep_wide`` float64 where the file is :attr:`~pipeline.audio.info.AudioInfo.is_wide`.
    """
    float64_for = _WIDE_SUBTYPES if keep_wide else ()
    return Child(["libsndfile", str(path.absolute()), *float64_for], limits, on_progress)


def read_header(child: Child, container: Container, limits: DecodeLimits) -> AudioInfo | None:
    """The header from a process of :func:`start`; None where libsndfile does not read the file, or not all of it.

    Raises:
        AudioLimitExceeded: the process took too long.
        CorruptAudio: it crashed on the file.
    """
    child.allow(limits.header_timeout_s)
    line = child.read_line()
    if not line:
        status = child.finish()
        if status != NOT_READABLE:
            raise RuntimeError(f"the libsndfile process ended with status {status}: {child.errors()}")
        return None
    child.allow(limits.timeout_s)
    header = json.loads(line)
    frames, subtype = header["frames"], header["subtype"]
    return AudioInfo(
        container=container,
        codec="flac" if container == FLAC else subtype.lower(),
        rate_hz=header["rate_hz"],
        channels=header["channels"],
        duration_s=None if frames is None else frames / header["rate_hz"],
        is_lossless=subtype.startswith(_LOSSLESS),
        bits=24 if subtype in _SUBTYPES_24 else 16,
        is_wide=subtype in _WIDE_SUBTYPES,
    )
