"""One audio file made into another: other format, rate or bit depth, a part of it, another speed.

Nothing but the new file is written, and memory does not grow with the song: a decoder's process, this one and an
encoder's process each hold a block at a time, and work at the same time.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.info import AudioInfo
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.probe import check_file
from pipeline.audio.stream import AudioStream, open_audio
from pipeline.conversion.dither import Quantiser
from pipeline.conversion.encoder import Coding, Encoder, Head
from pipeline.conversion.formats import Format, Target
from pipeline.conversion.rates import resamplers
from pipeline.conversion.stretch import MAX_TEMPO, MIN_TEMPO, Stretcher
from pipeline.conversion.tags import Tags, build_comments, build_head, reading_tags
from pipeline.errors import InvalidSpan, UnsupportedTarget

Samples = NDArray[Any]
STAGE = "converting"

_COVER_AS_PICTURE = ("mp3", "flac")
_COVER_IN_COMMENT = ("ogg",)


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted file.

    Attributes:
        path: where it is.
        format: a name in :data:`pipeline.conversion.formats.FORMATS`.
        rate_hz: sample rate in Hz.
        channels: number of channels.
        bits: bits per sample; None where the format is lossy.
        n_samples: samples per channel that went in; what a player gives back for lossless formats.
    """

    path: Path
    format: str
    rate_hz: int
    channels: int
    bits: int | None
    n_samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate_hz


def convert(
    source: Path,
    out: Path,
    target: Target,
    *,
    span_ms: tuple[int, int] | None = None,
    tempo: float = 1.0,
    scratch: Path | None = None,
    limits: DecodeLimits | None = None,
    max_bytes: int = sys.maxsize,
    on_progress: Callable[[str, float], None] | None = None,
) -> Converted:
    """Write a file's audio, or a part of it, as another file.

    Integers stay the same where only the format changes, and it is lossless and has the bits.  Samples rounded to fewer
    bits than they have, or to 16 after they were changed, get dither.  Tags and cover are kept where the format holds
    them: MP3, FLAC and Ogg both, WAV, AAC and WebM tags.  Lossy files say how much of them to play, but for bare AAC
    frames, which cannot: the encoder's delay, 1024 samples, comes first there, and the last frame is full.

    Args:
        source: any audio file that is read here, or a video's sound.
        out: the file to write, in an existing folder; appears when it is complete, in place of one of that name.
        target: what to make; its rate and bits are the source's where they are None.
        span_ms: first and last millisecond, counted in the source, of the part to keep: from sample
            ``round(start * rate / 1000)`` up to, not with, ``round(end * rate / 1000)``.  An end within the last
            millisecond of the audio is its end.
        tempo: how many times faster it is played, 0.25-4.0; pitch is kept.
        scratch: existing folder for a small temporary file; the system's own by default.
        limits: what the decoder accepts; the times are raised in proportion where ``max_duration_s`` is raised.
        max_bytes: the most that the new file may have.
        on_progress: told stage and fraction, several times a second; 0 until the end of a stream that declares
            no length.  An exception raised by it stops the work and passes through: no file and no process is left.

    Raises:
        AudioError: the source cannot be used, or what is made of it would be too large;
            :class:`~pipeline.errors.InvalidSpan` names its length.
        UnsupportedTarget: too few samples for FLAC, or no such tempo.
        EncoderMissing: there is no ffmpeg that writes the format.
        OSError: the file cannot be written, as on a full disk; nothing is left.
    """
    _check_span(span_ms)
    _check_tempo(tempo)
    spec = target.spec
    limits = (limits or DecodeLimits()).with_time_for_length()
    progress = _Progress(on_progress)
    check_file(source, limits)
    keep_wide = spec.is_lossless and tempo == 1.0
    with (
        reading_tags(source, limits, progress.tick) as tags,
        open_audio(source, limits, progress.heard, max_channels=spec.max_channels, keep_wide=keep_wide) as stream,
        tempfile.TemporaryDirectory(prefix="tags-", dir=scratch) as head_folder,
        tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out.parent) as folder,
    ):
        info = stream.info
        progress.expect(info, span_ms)
        rate_hz = target.rate_hz or spec.rate_for(info.rate_hz)
        layout = info.layout if stream.channels == info.channels else None
        coding = Coding(spec, rate_hz, stream.channels, target.bits or _bits(info), layout)
        head = _write_head(tags.read().at(tempo), spec.name, Path(head_folder, "tags"))
        unfinished = Path(folder, f"audio{spec.suffix}")
        with Encoder(coding, unfinished, head, progress.tick, max_bytes) as encoder:
            steps = _steps(stream, coding, tempo)
            n_samples = _feed(encoder, _processed(_cut(stream, span_ms), steps), _rounding(info, coding, bool(steps)))
            _check_length(spec, n_samples)
            encoder.finish()
        progress.heard(1.0)
        unfinished.replace(out)
    bits = coding.bits if spec.is_lossless else None
    return Converted(out, spec.name, rate_hz, coding.channels, bits, n_samples)


class _Step(Protocol):
    """Something that blocks of shape (channels, n) go through."""

    def push(self, block: Samples) -> Samples: ...

    def finish(self) -> Samples: ...


class _Progress:
    """What the caller is told: how much of the part that is wanted has been decoded."""

    def __init__(self, on_progress: Callable[[str, float], None] | None) -> None:
        self._on_progress = on_progress
        self._done = 0.0
        self._times = 1.0

    def expect(self, info: AudioInfo, span_ms: tuple[int, int] | None) -> None:
        """Decoding ends with the span."""
        if span_ms is not None and info.duration_s:
            self._times = max(1.0, info.duration_s * 1000 / span_ms[1])

    def heard(self, decoded: float) -> None:
        """So much of the file has been decoded."""
        self._done = max(self._done, min(1.0, decoded * self._times))
        self.tick()

    def tick(self, _fraction: float = 0.0) -> None:
        """Nothing new, but a chance to stop."""
        if self._on_progress is not None:
            self._on_progress(STAGE, self._done)


def _bits(info: AudioInfo) -> int:
    return 32 if info.is_wide else info.bits


def _check_span(span_ms: tuple[int, int] | None) -> None:
    if span_ms is not None and not 0 <= span_ms[0] < span_ms[1]:
        raise InvalidSpan(
            f"The part from {span_ms[0]} to {span_ms[1]} ms is none: it must start at 0 or later, and end after that."
        )


def _check_length(spec: Format, n_samples: int) -> None:
    if n_samples < spec.least_samples:
        raise UnsupportedTarget(
            f"{spec.name} files have at least {spec.least_samples} samples; this one would have {n_samples}."
        )


def _check_tempo(tempo: float) -> None:
    if not MIN_TEMPO <= tempo <= MAX_TEMPO:
        raise UnsupportedTarget(f"The tempo must be {MIN_TEMPO:g} to {MAX_TEMPO:g} times the source's, not {tempo:g}.")


def _write_head(tags: Tags, format_name: str, path: Path) -> Head | None:
    """Put the tags that the format can hold into a file."""
    if format_name not in _COVER_AS_PICTURE + _COVER_IN_COMMENT:
        tags = Tags(tags.pairs)
    if not tags:
        return None
    if format_name in _COVER_IN_COMMENT:
        path.write_bytes(build_comments(tags))
        return Head(path, "ffmetadata", has_picture=False)
    path.write_bytes(build_head(tags))
    return Head(path, "flac", has_picture=tags.cover is not None)


def _cut(stream: AudioStream, span_ms: tuple[int, int] | None) -> Iterator[Samples]:
    """The blocks of a stream, shape (channels, n), or of the part of it that is wanted."""
    if span_ms is None:
        yield from (block.T for block in stream.blocks())
        return
    rate_hz = stream.info.rate_hz
    first, last = ((ms * rate_hz + 500) // 1000 for ms in span_ms)
    at = 0
    for block in stream.blocks():
        wanted = block[max(0, first - at) : last - at]
        at += len(block)
        if len(wanted):
            yield wanted.T
        if at >= last:
            return
    length_ms = -(-at * 1000 // rate_hz)
    if span_ms[1] > length_ms or first >= at:
        raise InvalidSpan(
            f"The part from {span_ms[0]} to {span_ms[1]} ms is not in the audio, which lasts {length_ms} ms."
        )


def _steps(stream: AudioStream, coding: Coding, tempo: float) -> list[_Step]:
    """What changes the samples on their way; stretching, the slowest, at the lower of the two rates."""
    own_hz, rate_hz, channels = stream.info.rate_hz, coding.rate_hz, stream.channels
    dtype = "float64" if stream.is_wide else "float32"
    steps: list[_Step] = [*resamplers(own_hz, rate_hz, channels, exact=coding.format.is_lossless, dtype=dtype)]
    if tempo != 1.0:
        steps.insert(0 if own_hz < rate_hz else len(steps), Stretcher(min(own_hz, rate_hz), channels, tempo))
    return steps


def _processed(blocks: Iterator[Samples], steps: list[_Step]) -> Iterator[Samples]:
    """What comes out of the last step when the blocks go through all of them."""
    if not steps:
        yield from blocks
        return
    step, *rest = steps

    def through() -> Iterator[Samples]:
        for block in blocks:
            yield step.push(block)
        yield step.finish()

    yield from _processed(through(), rest)


def _rounding(info: AudioInfo, coding: Coding, is_changed: bool) -> Quantiser | None:
    """How samples become the integers of a lossless file; none for lossy files."""
    if not coding.format.is_lossless:
        return None
    if coding.bits == 16:
        dithered = is_changed or not info.is_lossless or _bits(info) > 16
    else:
        dithered = not is_changed and _bits(info) > coding.bits
    return Quantiser(coding.bits, dithered=dithered)


def _feed(encoder: Encoder, blocks: Iterator[Samples], quantiser: Quantiser | None) -> int:
    """Give everything to the encoder; returns the number of samples per channel."""
    n_samples = 0
    for block in blocks:
        if not block.shape[1]:
            continue
        n_samples += block.shape[1]
        interleaved = np.ascontiguousarray(block.T)
        if quantiser is not None:
            encoder.write(quantiser.push(interleaved).data)
        else:
            encoder.write(interleaved.astype(np.float32, copy=False).data)
    return n_samples
