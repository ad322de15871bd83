"""What is known of an audio file without decoding it."""

from dataclasses import dataclass

from pipeline.audio.sniff import Container


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """An audio file's header.

    Attributes:
        container: the kind of file.
        codec: its coding as the library that reads it calls it, e.g. "pcm_16", "aac".
        rate_hz: sample rate in Hz.
        channels: number of channels, before any mixing down.
        duration_s: length in seconds as the file declares it; None where it does not.
        is_lossless: the coding keeps every bit.
        bits: 24 if it holds more than 16 bits per sample, as 24-bit and float files do; else 16.
        is_wide: it holds even more than float32 does: integers of 32 bits, or float64.
        layout: what more than two channels are, as ffmpeg calls it (``5.1(side)``); None where that is not known.
        has_video: a film, whose declared length may be that of its picture.
    """

    container: Container
    codec: str
    rate_hz: int
    channels: int
    duration_s: float | None
    is_lossless: bool
    bits: int
    has_video: bool = False
    is_wide: bool = False
    layout: str | None = None
