"""What audio can be converted to: formats, with the sample rates and bit depths that each can hold.

Light: who only checks a request imports no more than this.
"""

from dataclasses import dataclass

from pipeline.errors import UnsupportedTarget

RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
"""The sample rates that may be asked for."""

BITS = (16, 24, 32)
"""The bit depths that may be asked for; lossy formats have none, and take each without effect."""

OPUS_RATE_HZ = 48_000  # what every Opus stream declares (RFC 7845, section 4.2)


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that audio is converted to.

    Attributes:
        name: as a request names it.
        suffix: of its files, with the dot.
        mime_type: of its files.
        is_lossless: holds integers of one of :data:`BITS`, exactly.
        rates_hz: those of :data:`RATES_HZ` that it can hold.
        odd_rates_hz: further rates that it can hold, for sources that have them; None: any from 8 kHz to its highest.
        max_channels: more are mixed down to stereo.
        least_samples: audio that is shorter cannot be held.
    """

    name: str
    suffix: str
    mime_type: str
    is_lossless: bool
    rates_hz: tuple[int, ...]
    odd_rates_hz: tuple[int, ...] | None
    max_channels: int = 8
    least_samples: int = 1

    def holds(self, rate_hz: int) -> bool:
        """Whether a file of this format can have this sample rate."""
        if rate_hz in self.rates_hz:
            return True
        if self.odd_rates_hz is None:
            return self.rates_hz[0] <= rate_hz <= self.rates_hz[-1]
        return rate_hz in self.odd_rates_hz

    def rate_for(self, source_rate_hz: int) -> int:
        """The sample rate of a file made of a source when none is asked for.

        The source's own where the format can hold it.  Else the lowest that is not below it, so that nothing of its
        band is lost; and for a source beyond the format's highest rate 44.1 kHz where that divides the source's
        (88.2 kHz to MP3), else the highest (192 kHz to MP3: 48 kHz).
        """
        if self.holds(source_rate_hz):
            return source_rate_hz
        if source_rate_hz < self.rates_hz[-1]:
            return min(rate_hz for rate_hz in self.rates_hz if rate_hz > source_rate_hz)
        return 44_100 if source_rate_hz % 44_100 == 0 else self.rates_hz[-1]


# MP3 and AAC: the rates of MPEG-1, MPEG-2 and MPEG-2.5 layer III, and of ISO/IEC 14496-3 table 1.18.  A block of FLAC
# has 16 samples at least (RFC 9639, section 8.2).  ffmpeg writes no ADTS of eight channels.
FORMATS = {
    each.name: each
    for each in (
        Format("mp3", ".mp3", "audio/mpeg", False, RATES_HZ[:7], (11_025, 12_000), max_channels=2),
        Format("wav", ".wav", "audio/wav", True, RATES_HZ, None),
        Format("flac", ".flac", "audio/flac", True, RATES_HZ, None, least_samples=16),
        Format("ogg", ".ogg", "audio/ogg", False, RATES_HZ, None),
        Format("aac", ".aac", "audio/aac", False, RATES_HZ[:8], (11_025, 12_000, 64_000, 88_200), max_channels=6),
        Format("webm", ".webm", "audio/webm", False, RATES_HZ, None),
    )
}
"""By name.  ``ogg`` is Vorbis in Ogg, ``aac`` bare ADTS frames, ``webm`` Opus at 48 kHz (what every Opus stream
declares) and Vorbis at other rates, so that the file says the rate that was asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a conversion is to make; :func:`check_target` makes them.

    Attributes:
        format: a name in :data:`FORMATS`.
        rate_hz: sample rate; None for the source's, see :meth:`Format.rate_for`.
        bits: 16, 24 or 32 bits per sample where the format is lossless; None for the source's own, which are 16 where
            the source is lossy, and 24 where it is float32.
    """

    format: str
    rate_hz: int | None = None
    bits: int | None = None

    @property
    def spec(self) -> Format:
        """Its format."""
        return FORMATS[self.format]


def check_target(format_name: str, rate_hz: int | None = None, bits: int | None = None) -> Target:
    """The target that a request names.

    Args:
        format_name: a name in :data:`FORMATS`, in any case, with or without a dot before it.
        rate_hz: one of :data:`RATES_HZ`; None for the source's.
        bits: one of :data:`BITS`; None for the source's.

    Raises:
        UnsupportedTarget: names what was wrong and what there is.
    """
    found = FORMATS.get(format_name.strip().lower().removeprefix("."))
    if found is None:
        raise UnsupportedTarget(f"Audio is not converted to {format_name[:40]!r}; there is {', '.join(FORMATS)}.")
    if rate_hz is not None and rate_hz not in RATES_HZ:
        rates = ", ".join(map(str, RATES_HZ))
        raise UnsupportedTarget(f"The sample rate cannot be {rate_hz} Hz; there is {rates} Hz.")
    if rate_hz is not None and rate_hz not in found.rates_hz:
        raise UnsupportedTarget(f"{found.name} holds at most {found.rates_hz[-1]} Hz, not {rate_hz}.")
    if bits is not None and bits not in BITS:
        raise UnsupportedTarget(f"The bit depth cannot be {bits}; there is {', '.join(map(str, BITS))}.")
    return Target(found.name, rate_hz, bits)
