"""Any audio file as a stream of blocks of samples, with every check that a hostile file calls for.

:mod:`pipeline.audio.decode` says which library reads what and what is refused; this is where it happens.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import ffmpeg, sndfile
from pipeline.audio.child import Child
from pipeline.audio.info import AudioInfo
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.probe import check_file
from pipeline.errors import AudioLimitExceeded, CorruptAudio
from pipeline.progress import OnProgress, unheard

Samples = NDArray[np.float32] | NDArray[np.float64]

MAX_AMPLITUDE = 1000.0  # 60 dB over full scale: no mix-down, but what a plugin that blew up leaves behind
_BLOCK_BYTES = 1 << 20
_LOSSLESS_SLACK_S = 0.05
_LOSSY_SLACK_S = 0.5
_LOSSY_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The samples of a file that is being decoded.

    Attributes:
        info: its header.
        channels: of the samples: those of the file, or 2 where it has more than were wanted.
        is_wide: samples are float64, since float32 does not hold all of the file's bits.
    """

    info: AudioInfo
    channels: int
    is_wide: bool
    _child: Child
    _limits: DecodeLimits
    _slack_s: float

    def blocks(self) -> Iterator[Samples]:
        """All samples in order, once: float32 or (:attr:`is_wide`) float64, shape (n, channels), of 1 MiB each.

        Values that are not finite, or beyond :data:`MAX_AMPLITUDE`, are zero; others beyond full scale are kept.

        Raises:
            AudioLimitExceeded: longer than allowed, or too much time or memory was used.
            CorruptAudio: damaged or incomplete, empty, or crashes the decoder; not before the last block was given.
            UnsupportedAudio: streams that are not alike, joined end to end.
        """
        child, info = self._child, self.info
        dtype = np.dtype("<f8" if self.is_wide else "<f4")
        frame_bytes = dtype.itemsize * self.channels
        max_samples = self._limits.max_samples(info.rate_hz)
        declared = (info.duration_s or math.inf) * info.rate_hz
        n_samples = n_replaced = 0
        while block := child.read(_BLOCK_BYTES // frame_bytes * frame_bytes):
            flat = np.frombuffer(block[: len(block) // frame_bytes * frame_bytes], dtype=dtype)
            n_samples += flat.size // self.channels
            if n_samples > max_samples:
                limit_s = self._limits.max_duration_s
                raise AudioLimitExceeded(f"The audio is longer than the limit, which is {limit_s:g} s.")
            flat, replaced = _sanitise(flat)
            n_replaced += replaced
            child.done = min(1.0, n_samples / declared)
            yield flat.reshape(-1, self.channels)
        if 2 * n_replaced > n_samples * self.channels:
            raise CorruptAudio(
                f"More than half of the samples are not numbers, or beyond {MAX_AMPLITUDE:g} times full scale. "
                "If these are floating point samples, scale them to between -1 and 1."
            )
        status = child.finish()
        complaints = ffmpeg.complaints(child)
        ffmpeg.check_read_on(complaints, info.container)
        _check_whole(info, n_samples, failed=status != 0, complained=bool(complaints), slack_s=self._slack_s)


@contextlib.contextmanager
def open_audio(
    path: Path,
    limits: DecodeLimits,
    on_progress: OnProgress = unheard,
    *,
    max_channels: int = 2,
    keep_wide: bool = False,
) -> Iterator[AudioStream]:
    """Start decoding a file; the process ends with the context.

    Args:
        path: any file.
        limits: bounds on the file and the process.
        on_progress: told at least four times a second while samples are waited for; 0 until the end of a stream that
            declares no length.
        max_channels: a file with more is mixed down to stereo.
        keep_wide: give float64 of files with integers of 32 bits or with float64, else float32 of all.

    Raises:
        UnsupportedAudio: not audio that is read here; says what it is.
        AudioLimitExceeded: beyond a limit; names it.
        CorruptAudio: damaged or incomplete.
    """
    container = check_file(path, limits)
    info = None
    if container.by_libsndfile:
        with sndfile.start(path, limits, on_progress, keep_wide=keep_wide) as child:
            info = sndfile.read_header(child, container, limits)
            if info is not None:
                limits.check_audio(rate_hz=info.rate_hz, channels=info.channels, duration_s=info.duration_s)
                if info.channels <= 2:
                    yield _stream(child, info, limits, slack_s=0.0, channels=info.channels, keep_wide=keep_wide)
                    return
    if info is not None:  # which channels these are, only ffmpeg says
        info = replace(info, layout=ffmpeg.inspect(path, container, limits, on_progress).layout)
    else:
        info = ffmpeg.inspect(path, container, limits, on_progress)
        limits.check_audio(rate_hz=info.rate_hz, channels=info.channels, duration_s=info.duration_s)
    channels = info.channels if info.channels <= max_channels else 2
    is_wide = keep_wide and info.is_wide
    with ffmpeg.start(path, info, limits, on_progress, channels=channels, is_wide=is_wide) as child:
        yield _stream(child, info, limits, slack_s=_slack_s(info), channels=channels, keep_wide=keep_wide)


def _stream(
    child: Child, info: AudioInfo, limits: DecodeLimits, *, slack_s: float, channels: int, keep_wide: bool
) -> AudioStream:
    return AudioStream(info, channels, keep_wide and info.is_wide, child, limits, slack_s)


def _slack_s(info: AudioInfo) -> float:
    """How much may be missing at the end of what ffmpeg reads."""
    if info.is_lossless:
        return _LOSSLESS_SLACK_S
    return max(_LOSSY_SLACK_S, _LOSSY_SLACK * (info.duration_s or 0.0))


def _sanitise(flat: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Zero for what is no number or absurdly large, and how many of those there were."""
    with np.errstate(invalid="ignore"):
        good = np.abs(flat) <= MAX_AMPLITUDE
    n_bad = flat.size - int(np.count_nonzero(good))
    return (np.where(good, flat, flat.dtype.type(0.0)), n_bad) if n_bad else (flat, 0)


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
