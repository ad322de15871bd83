"""Reading files with ffmpeg, in a process of its own.

ffmpeg is told the demuxer, may open nothing but files and pipes, may use only the decoders listed here (so a
film's picture is not even looked at), and gets the audio alone.
"""

import re
import shutil
import struct
from pathlib import Path

from pipeline.audio.child import Child
from pipeline.audio.info import AudioInfo
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.sniff import Container
from pipeline.errors import CorruptAudio, UnsupportedAudio
from pipeline.progress import OnProgress, unheard

_DECODERS = (
    *("aac", "aac_latm", "ac3", "alac", "amrnb", "amrwb", "ape", "dca", "eac3", "flac", "libopus", "libvorbis"),
    *("mlp", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "truehd", "tta", "vorbis", "wavpack"),
    *("wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "gsm_ms", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd"),
    *(f"pcm_{kind}{size}{end}" for kind, sizes in (("s", (16, 24, 32)), ("f", (32, 64))) for size in sizes
      for end in ("le", "be")),
    *("pcm_s8", "pcm_u8", "pcm_s16le_planar", "pcm_s16be_planar"),
)  # fmt: skip
_PICTURE_DECODERS = ("mjpeg", "png")  # for the size of a cover
_LOSSLESS = ("pcm_", "alac", "ape", "flac", "mlp", "truehd", "tta", "wavpack", "wmalossless")
_AU_HEADER = struct.Struct(">4sIIIII")  # magic, data offset, data size, encoding, rate, channels

# ffmpeg describes its input on stderr.  Values of tags stand there too, but never at this indentation.
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_AUDIO = re.compile(r"^  Stream #0:\d+\S*: Audio: (\w+)(.*)$", re.MULTILINE)
_VIDEO = re.compile(r"^  Stream #0:\d+\S*: Video: (?!.*\(attached pic\))", re.MULTILINE)
_OVER_16_BITS = re.compile(r", (?:s32p?|s64p?|fltp?|dblp?)\b")
_OVER_24_BITS = re.compile(r", (?:s32p?(?! \(2\d bit\))|s64p?|dblp?)\b")
_NOT_LISTED = re.compile(r"not on whitelist|Failed to open codec in avformat_find_stream_info")
_UNLIKE = re.compile(r"(?:Channel|Sample rate) change is not supported")
_LAYOUT = re.compile(r", \d+ Hz, (\d\.\d(?:\.\d)?(?:\([a-z]+\))?|quad(?:\([a-z]+\))?|hexagonal|octagonal|cube)[,\n]")
_GUESSED_LAYOUT = "Guessed Channel Layout"
_GUESSED_DURATION = "Estimating duration from bitrate"


def ffmpeg_path() -> Path:
    """The ffmpeg on ``PATH``, else the one in the imageio-ffmpeg package.

    Raises:
        UnsupportedAudio: there is neither; says what to install.
    """
    if found := shutil.which("ffmpeg"):
        return Path(found).absolute()
    try:
        import imageio_ffmpeg

        return Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute()
    except (ImportError, RuntimeError) as error:
        raise UnsupportedAudio(
            "This kind of file is read with ffmpeg, which was not found. "
            "Install ffmpeg, or the Python package imageio-ffmpeg."
        ) from error


def inspect(path: Path, container: Container, limits: DecodeLimits, on_progress: OnProgress = unheard) -> AudioInfo:
    """What ffmpeg finds in a file; decodes its first moment, since only that shows the true rate and channels.

    Raises:
        UnsupportedAudio: there is no audio in it, or of a coding that is not read.
        CorruptAudio: it cannot be decoded, or crashes ffmpeg.
        AudioLimitExceeded: ffmpeg took too long.
    """
    output = ["-frames:a", "1", "-c:a", "pcm_s16be", "-f", "au", "pipe:1"]
    with Child(_command(path, container, "info", output), limits, on_progress) as child:
        child.allow(limits.header_timeout_s)
        header = child.read(_AU_HEADER.size)
        while child.read(1 << 16):
            pass
        child.finish()
        said = child.errors().partition("\nOutput #0")[0]
    audio = _AUDIO.search(said)
    if audio is None:
        if "Input #0" in said:
            raise UnsupportedAudio(f"There is no sound in this {container.name} file.")
        raise CorruptAudio(f"The {container.name} file is damaged or incomplete: it cannot be opened.")
    codec, details = audio.groups()
    if len(header) < _AU_HEADER.size:
        if codec in _DECODERS:
            raise CorruptAudio(f"The {container.name} file is damaged: no audio could be decoded from it.")
        coding = "in an unknown way" if codec == "none" else f"as {codec}"
        raise UnsupportedAudio(f"The sound in this {container.name} file is coded {coding}, which is not read here.")
    *_, rate_hz, channels = _AU_HEADER.unpack(header)
    is_lossless = codec.startswith(_LOSSLESS)
    return AudioInfo(
        container=container,
        codec=codec,
        rate_hz=rate_hz,
        channels=channels,
        duration_s=_declared_duration_s(said),
        is_lossless=is_lossless,
        bits=24 if is_lossless and _OVER_16_BITS.search(details) else 16,
        is_wide=is_lossless and _OVER_24_BITS.search(details) is not None,
        has_video=_VIDEO.search(said) is not None,
        layout=_layout(details) if channels > 2 and _GUESSED_LAYOUT not in said else None,
    )


def start(
    path: Path,
    info: AudioInfo,
    limits: DecodeLimits,
    on_progress: OnProgress = unheard,
    *,
    channels: int,
    is_wide: bool = False,
) -> Child:
    """A process that writes samples, interleaved float32 (float64 if ``is_wide``), at the file's rate.

    ``channels`` is the file's own number, or 2 to mix down.  Mixing down is scaled so that channels at full scale
    cannot exceed it: ffmpeg's own default when it writes integers, but not when it writes float.
    """
    # Asked for a number of channels, ffmpeg moves them to that number's usual places, which would mix some.
    mixed = ["-ac", str(channels)] if channels <= 2 else []
    kind = "f64le" if is_wide else "f32le"
    output = [*mixed, "-ar", str(info.rate_hz), "-rematrix_maxval", "1.0", "-f", kind, "pipe:1"]
    return Child(_command(path, info.container, "repeat+error", output), limits, on_progress)


def complaints(child: Child) -> list[str]:
    """The errors that a process of :func:`start` reported, but for the pictures it was kept from looking at."""
    return real_errors(child.errors())


def real_errors(said: str) -> list[str]:
    """The lines of what an ffmpeg reported that are not about decoders which it was kept from using."""
    return [line for line in said.splitlines() if not _NOT_LISTED.search(line)]


def check_read_on(complaints: list[str], container: Container) -> None:
    """Refuse Ogg streams that are joined but not alike: of these ffmpeg reads the first, and says it succeeded.

    Raises:
        UnsupportedAudio: says so.
    """
    if any(_UNLIKE.search(line) for line in complaints):
        raise UnsupportedAudio(
            f"This {container.name} file is several streams of different sample rates or channels, joined end to end. "
            "Only the first could be read; export it as one."
        )


def tag_command(path: Path, container: Container, output: list[str]) -> list[str]:
    """What a :class:`Child` runs to look at a file's tags and attached pictures; ``output`` says what to map where."""
    return _reading(path, container, "error", (*_DECODERS, *_PICTURE_DECODERS), output)


def _command(path: Path, container: Container, log_level: str, output: list[str]) -> list[str]:
    return _reading(path, container, log_level, _DECODERS, ["-map", "0:a:0", "-vn", "-sn", "-dn", *output])


def _reading(
    path: Path, container: Container, log_level: str, decoders: tuple[str, ...], output: list[str]
) -> list[str]:
    source = ["-protocol_whitelist", "file,pipe", "-codec_whitelist", ",".join(decoders), "-f", container.demuxer]
    return [
        *("exec", str(ffmpeg_path()), "-hide_banner", "-nostdin", "-nostats", "-loglevel", log_level),
        *(*source, "-threads", "1", "-i", f"file:{path.absolute()}", *output),
    ]


def _layout(details: str) -> str | None:
    found = _LAYOUT.search(details)
    return found[1] if found else None


def _declared_duration_s(said: str) -> float | None:
    duration = _DURATION.search(said)
    if duration is None or _GUESSED_DURATION in said:
        return None
    hours, minutes, seconds = duration.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
