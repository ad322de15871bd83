"""Everything the pipeline raises on purpose.

::

    PipelineError
    ├── AudioError                  the input cannot be used; trying again will not help
    │   ├── UnsupportedAudio        not a container or codec we read (text, playlist, picture, ...)
    │   ├── CorruptAudio            looks like audio, but decoding it failed or broke off
    │   ├── AudioLimitExceeded      longer, wider or larger than a limit; names the limit
    │   └── InvalidSpan             a part was asked for that is not in the audio; names its length
    ├── ModelError
    │   ├── UnknownModel            no such name in the catalogue
    │   ├── ModelMissing            not in the cache; says which command fetches it
    │   ├── SourceUnreachable       one source did not answer; the next one is tried
    │   ├── ModelUnavailable        every source failed (retryable)
    │   └── ChecksumMismatch        the bytes or tensors are not the pinned ones
    ├── UnsupportedTarget           no such format to convert to, or it cannot hold that; names field and limit
    ├── EncoderMissing              no ffmpeg here can write that format; says what to install
    ├── UnknownTranscriber          no such transcriber; names the choices
    ├── OutOfMemory                 the device has too little memory for the least there is to do (retryable)
    └── Cancelled                   the caller asked to stop (raised from a progress callback)

Each error carries a machine ``code`` (stable, snake_case), a message for a person, and whether trying
again may help (``retryable``).
"""

from typing import ClassVar


class PipelineError(Exception):
    """Base of everything raised on purpose by :mod:`pipeline`."""

    code: ClassVar[str] = "pipeline_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class AudioError(PipelineError):
    """The input audio cannot be used."""

    code = "audio_error"


class UnsupportedAudio(AudioError):
    """Not a container or codec that is read here."""

    code = "unsupported_audio"


class CorruptAudio(AudioError):
    """Looks like audio, but decoding failed or broke off."""

    code = "corrupt_audio"


class AudioLimitExceeded(AudioError):
    """Beyond a limit; the message names the limit and the value found."""

    code = "audio_limit_exceeded"


class InvalidSpan(AudioError):
    """A part was asked for that is not in the audio; the message names the audio's length."""

    code = "invalid_span"


class ModelError(PipelineError):
    """Weights could not be had."""

    code = "model_error"


class UnknownModel(ModelError):
    """No such name in the catalogue."""

    code = "unknown_model"


class ModelMissing(ModelError):
    """Not in the local cache; the message names the command that fetches it."""

    code = "model_missing"


class SourceUnreachable(ModelError):
    """One source did not answer; the next one is tried."""

    code = "source_unreachable"
    retryable = True


class ModelUnavailable(ModelError):
    """Every source failed; the message lists each with its reason."""

    code = "model_unavailable"
    retryable = True


class ChecksumMismatch(ModelError):
    """The file or its tensors are not the pinned ones; the message says what to do."""

    code = "checksum_mismatch"


class UnsupportedTarget(PipelineError):
    """Audio cannot be converted to that; the message names the field and the limit."""

    code = "unsupported_target"


class EncoderMissing(PipelineError):
    """There is no ffmpeg that can write the format; the message says what to install."""

    code = "encoder_missing"


class UnknownTranscriber(PipelineError):
    """No such transcriber; the message names the choices."""

    code = "unknown_transcriber"


class OutOfMemory(PipelineError):
    """The device has too little memory for the least there is to do; less may be in use when it is tried again."""

    code = "out_of_memory"
    retryable = True


class Cancelled(PipelineError):
    """The caller asked to stop; raised from inside a progress callback and passed through unchanged."""

    code = "cancelled"
