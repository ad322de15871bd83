"""What a decoder may be given and may use."""

import math
from dataclasses import dataclass, replace

from pipeline.errors import AudioLimitExceeded

MIN_RATE_HZ = 4_000  # nothing that could be called music is stored below; telephone speech has 8 000


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds on an audio file and on the process that decodes it.

    Attributes:
        max_duration_s: longest audio, counted in decoded samples and, where a header declares one, beforehand.
        max_channels: most channels; more than two are mixed down to stereo.
        max_rate_hz: highest sample rate.
        max_file_bytes: largest file.
        cpu_s: processor time of one decoding process.
        memory_bytes: address space of one decoding process.
        timeout_s: wall time of one decoding process.
        header_timeout_s: wall time until it has made sense of the file's header; some make libsndfile go in circles.
    """

    max_duration_s: float = 1800.0
    max_channels: int = 8
    max_rate_hz: int = 192_000
    max_file_bytes: int = 2 << 30  # half an hour of stereo at 192 kHz and 24 bits is 2.07e9 bytes
    cpu_s: int = 300  # half an hour at 192 kHz decodes in 10-20 s of one core
    memory_bytes: int = 1 << 30  # Python with libsndfile takes 0.15 GB of addresses, ffmpeg less than 0.4
    timeout_s: float = 600.0
    header_timeout_s: float = 20.0  # it takes 0.1 s, on a busy machine up to 1 s

    def check_size(self, size_bytes: int) -> None:
        """Refuse a file that is too large.

        Raises:
            AudioLimitExceeded: names the limit and the size.
        """
        if size_bytes > self.max_file_bytes:
            raise AudioLimitExceeded(f"The file has {size_bytes} bytes; the limit is {self.max_file_bytes} bytes.")

    def check_audio(self, *, rate_hz: int, channels: int, duration_s: float | None) -> None:
        """Refuse audio that is too long, too wide or of an impossible rate, by what its header says.

        Raises:
            AudioLimitExceeded: names the limit and the value.
        """
        if channels > self.max_channels:
            raise AudioLimitExceeded(f"The audio has {channels} channels; the limit is {self.max_channels} channels.")
        if rate_hz > self.max_rate_hz:
            raise AudioLimitExceeded(f"The sample rate is {rate_hz} Hz; the limit is {self.max_rate_hz} Hz.")
        if rate_hz < MIN_RATE_HZ:
            raise AudioLimitExceeded(f"The sample rate is {rate_hz} Hz; the lowest that is read is {MIN_RATE_HZ} Hz.")
        if duration_s is not None and duration_s > self.max_duration_s:
            raise AudioLimitExceeded(
                f"The audio lasts {duration_s:.1f} s by its header; the limit is {self.max_duration_s:g} s."
            )

    def with_time_for_length(self) -> "DecodeLimits":
        """The same, with the time that audio of :attr:`max_duration_s` takes, if that is more.

        In proportion to the defaults, which are for half an hour.
        """
        default = DecodeLimits()
        times = self.max_duration_s / default.max_duration_s
        cpu_s, timeout_s = math.ceil(times * default.cpu_s), times * default.timeout_s
        return replace(self, cpu_s=max(self.cpu_s, cpu_s), timeout_s=max(self.timeout_s, timeout_s))

    def max_samples(self, rate_hz: int) -> int:
        """The most samples per channel that may be decoded at a rate."""
        return int(self.max_duration_s * rate_hz)
