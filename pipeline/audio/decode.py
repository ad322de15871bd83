"""Any audio file to raw samples on disk, however hostile the file.

Decoding happens in another process (:mod:`pipeline.audio.child`); this one only counts and copies what comes
out of its pipe, and stops it at the duration limit whatever a header said.

libsndfile reads PCM files and FLAC: it is small, exact, and notices a damaged FLAC frame, which ffmpeg plays
over.  ffmpeg reads everything else, and more than two channels.  MP3 and Ogg are left to ffmpeg although
libsndfile knows them: of a variable-bitrate MP3 without an index libsndfile 1.2.2 reports and reads a part
(4.0 s of 10.0 s in our test file), of Ogg streams joined end to end the first.  Where both read an MP3 they
agree to 2e-6 and on its length: both drop the samples that the encoder's tag calls delay and padding.

The first sample of the file's audio is the first sample of the result: encoder delay that a file declares
(MP3 tags, MP4 edit lists, Opus pre-skip) is dropped, gaps and late starts of a film's sound are not filled.
WMA declares none: ffmpeg drops the two frames that Microsoft's encoder adds.

A file that ends before its declared length is refused rather than cut short in silence: with no tolerance for
what libsndfile reads, 0.05 s for other lossless coding (ffmpeg tells lengths in hundredths), and for lossy
coding 1 % or half a second, since those files are commonly ragged.  Streams that declare no length (AAC
and MP3 without an index, Ogg) are taken for what they hold.
"""

import math
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import ffmpeg, sndfile
from pipeline.audio.child import Child
from pipeline.audio.info import AudioInfo
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.probe import check_file
from pipeline.audio.source import AudioSource
from pipeline.errors import AudioLimitExceeded, CorruptAudio
from pipeline.progress import OnProgress, unheard

__all__ = ["DecodeLimits", "decode"]

MAX_AMPLITUDE = 1000.0  # 60 dB over full scale: no mix-down, but what a plugin that blew up leaves behind
_BLOCK_BYTES = 1 << 20
_LOSSLESS_SLACK_S = 0.05
_LOSSY_SLACK_S = 0.5
_LOSSY_SLACK = 0.01


def decode(
    path: Path, scratch: Path, limits: DecodeLimits | None = None, on_progress: OnProgress = unheard
) -> AudioSource:
    """Decode an audio file.

    Args:
        path: any file.
        scratch: existing folder for the raw samples, 8 bytes per sample of stereo.
        limits: the defaults of :class:`~pipeline.audio.limits.DecodeLimits` if not given.
        on_progress: told at least four times a second; 0 until the end of a stream that declares no length.

    Returns:
        The samples at the file's own rate, mono or stereo (more channels are mixed down).  Values that are not
        finite, or beyond 1000 times full scale, are zero; other values beyond full scale are kept.

    Raises:
        UnsupportedAudio: not audio that is read here; says what it is.
        AudioLimitExceeded: beyond a limit; names it.
        CorruptAudio: damaged or incomplete, empty, or crashes the decoder.
    """
    limits = limits or DecodeLimits()
    container = check_file(path, limits)
    info = None
    if container.by_libsndfile:
        with sndfile.start(path, limits, on_progress) as child:
            info = sndfile.read_header(child, container, limits)
            if info is not None:
                limits.check_audio(rate_hz=info.rate_hz, channels=info.channels, duration_s=info.duration_s)
                if info.channels <= 2:
                    return _store(child, info, scratch, limits, slack_s=0.0)
    if info is None:
        info = ffmpeg.inspect(path, container, limits, on_progress)
        limits.check_audio(rate_hz=info.rate_hz, channels=info.channels, duration_s=info.duration_s)
    with ffmpeg.start(path, info, limits, on_progress) as child:
        return _store(child, info, scratch, limits, slack_s=_slack_s(info))


def _slack_s(info: AudioInfo) -> float:
    """How much may be missing at the end of what ffmpeg reads."""
    if info.is_lossless:
        return _LOSSLESS_SLACK_S
    return max(_LOSSY_SLACK_S, _LOSSY_SLACK * (info.duration_s or 0.0))


def _store(child: Child, info: AudioInfo, scratch: Path, limits: DecodeLimits, *, slack_s: float) -> AudioSource:
    """Copy a decoder's samples to a new file in ``scratch``, which is deleted again if they are refused."""
    descriptor, name = tempfile.mkstemp(dir=scratch, prefix="decoded-", suffix=".f32")
    channels = min(info.channels, 2)
    try:
        n_samples = _copy(child, descriptor, info, limits)
        status = child.finish()
        complaints = ffmpeg.complaints(child)
        ffmpeg.check_read_on(complaints, info.container)
        _check_whole(info, n_samples, failed=status != 0, complained=bool(complaints), slack_s=slack_s)
    except BaseException:
        Path(name).unlink()
        raise
    return AudioSource(Path(name), info.rate_hz, channels, n_samples, info.bits)


def _copy(child: Child, descriptor: int, info: AudioInfo, limits: DecodeLimits) -> int:
    """Write the samples to an open file, which is closed; returns how many there are per channel."""
    channels = min(info.channels, 2)
    frame_bytes = 4 * channels
    max_samples = limits.max_samples(info.rate_hz)
    declared = (info.duration_s or math.inf) * info.rate_hz
    n_samples = n_replaced = 0
    with os.fdopen(descriptor, "wb") as out:
        while block := child.read(_BLOCK_BYTES):
            flat = np.frombuffer(block[: len(block) // frame_bytes * frame_bytes], dtype="<f4")
            n_samples += flat.size // channels
            if n_samples > max_samples:
                raise AudioLimitExceeded(f"The audio is longer than the limit, which is {limits.max_duration_s:g} s.")
            flat, replaced = _sanitise(flat)
            n_replaced += replaced
            out.write(flat.data)
            child.done = min(1.0, n_samples / declared)
    if 2 * n_replaced > n_samples * channels:
        raise CorruptAudio(
            f"More than half of the samples are not numbers, or beyond {MAX_AMPLITUDE:g} times full scale. "
            "If these are floating point samples, scale them to between -1 and 1."
        )
    return n_samples


def _sanitise(flat: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Zero for what is no number or absurdly large, and how many of those there were."""
    with np.errstate(invalid="ignore"):
        good = np.abs(flat) <= MAX_AMPLITUDE
    n_bad = flat.size - int(np.count_nonzero(good))
    return (np.where(good, flat, np.float32(0.0)), n_bad) if n_bad else (flat, 0)


def _check_whole(info: AudioInfo, n_samples: int, *, failed: bool, complained: bool, slack_s: float) -> None:
    """Refuse what is empty or ends too early; a film's sound may be shorter than its picture without complaint."""
    name = info.container.name
    if n_samples == 0:
        if failed or complained or info.duration_s:
            raise CorruptAudio(f"The {name} file is damaged: no audio could be decoded from it.")
        raise CorruptAudio("The file holds no audio.")
    decoded_s, declared_s = n_samples / info.rate_hz, info.duration_s
    missing = declared_s is not None and declared_s - decoded_s > slack_s + 0.5 / info.rate_hz
    if failed or (missing and (complained or not info.has_video)):
        of = "" if declared_s is None else f" of {declared_s:.1f} s"
        raise CorruptAudio(
            f"The {name} file is damaged or incomplete: only {decoded_s:.1f} s{of} could be decoded. Export it anew."
        )
