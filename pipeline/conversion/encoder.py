"""The ffmpeg that writes a converted file, fed with our own samples through a pipe.

It writes to the file itself and not to a pipe, so that it can go back and fill in what is known at the end: lengths, an
MP3's Xing and LAME tag, a FLAC's digest, a WebM's cues.
"""

import contextlib
import errno
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.audio import ffmpeg
from pipeline.audio.child import widen_pipe
from pipeline.conversion.formats import OPUS_RATE_HZ, Format
from pipeline.errors import AudioLimitExceeded, EncoderMissing

_MAX_WAIT_S = 0.25  # who asks to stop is heard this soon
_MAX_COMPLAINT_BYTES = 4000
_LEAST_VERSION = 6  # of ffmpeg: 5.1 learned to name layouts, 6 to write FLAC of 32 bits (before, it wrote 24 for them)
# Of its own accord ffmpeg makes them longer at high rates, and then cannot read them when there are eight channels; a
# song of 96 kHz is a tenth larger, too.
_FLAC_FRAMES = ("-frame_size", "4096")
_PCM_DECODERS = "pcm_s16le,pcm_s32le,pcm_f32le"
_VERSION = re.compile(r"^ffmpeg version n?(\d+)\.")
# What a number of channels means: the order of FLAC (RFC 9639, section 9.1.3), which is that of Vorbis up to 2 and the
# usual one of files that do not say.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class Coding:
    """How a file is written.

    Attributes:
        format: its format.
        rate_hz: sample rate.
        channels: 1 to the format's most.
        bits: 16, 24 or 32; of no meaning for lossy formats.
        layout: what the channels are, as ffmpeg calls it; None where the source does not say.
    """

    format: Format
    rate_hz: int
    channels: int
    bits: int
    layout: str | None = None

    @property
    def codec(self) -> str:
        """ffmpeg's name of the encoder."""
        if self.format.name == "webm":
            return "libopus" if self.rate_hz == OPUS_RATE_HZ else "libvorbis"
        named = {"mp3": "libmp3lame", "flac": "flac", "ogg": "libvorbis", "aac": "aac"}
        return named.get(self.format.name, f"pcm_s{self.bits}le")

    def input_options(self) -> list[str]:
        """What ffmpeg has to know of the samples that it gets: interleaved, as :attr:`sample_format` says."""
        layout = self.layout or _LAYOUTS[self.channels]
        return ["-f", self.sample_format, "-ar", str(self.rate_hz), "-ch_layout", layout]

    @property
    def sample_format(self) -> str:
        """Integers of 16 bits, or of 32 with fewer bits in their upper part; float32 for lossy formats."""
        if not self.format.is_lossless:
            return "f32le"
        return "s16le" if self.bits == 16 else "s32le"

    def output_options(self) -> list[str]:
        """Codec, quality and container.

        Quality is where listeners stop to hear a difference: LAME's V0, Vorbis at 6 (190 kbit/s), Opus at 192 and AAC
        at 256 kbit/s of stereo.  AAC at low rates gets 3 bits a sample, half of what its frames can hold.
        """
        options = {
            "libmp3lame": ["-q:a", "0", "-id3v2_version", "3"],
            "libvorbis": ["-q:a", "6"],
            # Of 5 and 7 channels ffmpeg's default mapping puts some where others belong.
            "libopus": ["-b:a", str(96_000 * self.channels), *(["-mapping_family", "1"] if self.channels > 2 else [])],
            "aac": ["-b:a", str(min(128_000, 3 * self.rate_hz) * self.channels)],
            "flac": ["-sample_fmt", self.sample_format[:3], "-bits_per_raw_sample", str(self.bits), *_FLAC_FRAMES],
        }.get(self.codec, [])
        if self.codec == "flac" and self.bits == 32:
            options += ["-strict", "experimental"]
        container = {"aac": ["-f", "adts", "-write_id3v2", "1"], "wav": ["-f", "wav", "-rf64", "auto"]}
        # Vorbis and Opus know one layout for each number of channels: what is another one is mixed to that.
        if self.codec in ("libvorbis", "libopus") and self.layout is not None:
            options += ["-ch_layout", _LAYOUTS[self.channels]]
        return ["-c:a", self.codec, *options, *container.get(self.format.name, ["-f", self.format.name])]


@dataclass(frozen=True, slots=True)
class Head:
    """A file with nothing but tags and a cover, see :mod:`pipeline.conversion.tags`.

    Attributes:
        path: where it is.
        demuxer: ffmpeg's name of its format.
        has_picture: it has the cover as a stream of its own.
    """

    path: Path
    demuxer: str
    has_picture: bool


def encoding_ffmpeg(coding: Coding) -> Path:
    """The ffmpeg of the imageio-ffmpeg package, which can write everything; else the one on ``PATH``, if it can.

    Raises:
        EncoderMissing: says what to install.
    """
    for path in _candidates():
        version, encoders = _abilities(path)
        if coding.codec in encoders and version >= _LEAST_VERSION:
            return path
    raise EncoderMissing(
        f"No ffmpeg was found that writes {coding.format.name} ({coding.codec}, {coding.bits} bits). "
        "Install the Python package imageio-ffmpeg, or an ffmpeg of version 6 or newer with that encoder."
    )


def _candidates() -> list[Path]:
    found = []
    with contextlib.suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        found.append(Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute())
    if on_path := shutil.which("ffmpeg"):
        found.append(Path(on_path).absolute())
    return found


@cache
def _abilities(path: Path) -> tuple[int, frozenset[str]]:
    """The release of an ffmpeg (a build from between releases counts as the newest), and its encoders."""

    def say(option: str) -> str:
        return subprocess.run([path, option], capture_output=True, text=True, check=False).stdout

    version = _VERSION.match(say("-version"))
    encoders = frozenset(line.split()[1] for line in say("-encoders").splitlines() if line.startswith(" A"))
    return int(version[1]) if version else sys.maxsize, encoders


class Encoder:
    """A process that writes one audio file; a context manager that leaves no process behind.

    Args:
        coding: how to write it.
        path: the file; it is there, and whole, after :meth:`finish`.
        head: tags and cover; None for neither.
        tick: called four times a second while the process is waited for; may raise to stop.
        max_bytes: the most that the file may have.

    Raises:
        EncoderMissing: there is no ffmpeg that can.
    """

    def __init__(self, coding: Coding, path: Path, head: Head | None, tick: Callable[[], None], max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._path = path
        self._tick = tick
        command = [str(encoding_ffmpeg(coding)), *_arguments(coding, path, head)]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the context ends)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101  (stdin=PIPE)
        self._pipe = self._process.stdin
        os.set_blocking(self._pipe.fileno(), False)
        widen_pipe(self._pipe.fileno())
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_WRITE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._selector.close()
        self._pipe.close()
        self._stderr.close()

    def write(self, samples: memoryview) -> None:
        """Hand over interleaved samples, as :meth:`Coding.input_options` describes them.

        Raises:
            AudioLimitExceeded: the file has become too large.
            OSError: the file cannot be written, as on a full disk.
        """
        self._check_size()
        left = samples.cast("B")
        while left:
            if not self._selector.select(_MAX_WAIT_S):
                self._tick()
                continue
            try:
                left = left[os.write(self._pipe.fileno(), left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self._wait()
                raise self._failure() from None

    def finish(self) -> None:
        """Wait until the file is complete.

        Raises:
            AudioLimitExceeded: the file is too large.
        OSError: the file cannot be written, as on a full disk.
        """
        self._selector.unregister(self._pipe)
        self._pipe.close()
        self._wait()
        if self._process.returncode != 0:
            raise self._failure()
        self._check_size()

    def _check_size(self) -> None:
        """Between writes so that a disk is not filled, and at the end, since some of it is on its way until then."""
        if self._path.exists() and self._path.stat().st_size > self._max_bytes:
            raise AudioLimitExceeded(
                f"The new file would be larger than the limit, which is {self._max_bytes / 1e6:g} MB. Choose a lower "
                "sample rate or bit depth, a shorter part, or a smaller format."
            )

    def _wait(self) -> None:
        while True:
            try:
                self._process.wait(_MAX_WAIT_S)
                return
            except subprocess.TimeoutExpired:
                self._tick()

    def _said(self) -> str:
        said = os.pread(self._stderr.fileno(), _MAX_COMPLAINT_BYTES, 0).decode("utf-8", "replace")
        return "; ".join(ffmpeg.real_errors(said))

    def _failure(self) -> OSError:
        said = self._said()
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            killed = number == errno.EFBIG and self._process.returncode == -signal.SIGXFSZ
            if killed or os.strerror(number) in said:
                return OSError(number, os.strerror(number), str(self._path))
        return OSError(f"{self._path.name} cannot be written: ffmpeg ended with {self._process.returncode}: {said}")


def _arguments(coding: Coding, path: Path, head: Head | None) -> list[str]:
    """ffmpeg's command line; it may open pipes and files only, and decode nothing but samples."""
    guard = ["-protocol_whitelist", "file,pipe", "-codec_whitelist", _PCM_DECODERS]
    tags = [*guard, "-f", head.demuxer, "-i", f"file:{head.path.absolute()}"] if head else []
    picture = ["-map", "1:v:0", "-c:v", "copy", "-disposition:v:0", "attached_pic"] if head and head.has_picture else []
    return [
        *("-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "repeat+error"),
        *(*guard, *coding.input_options(), "-i", "pipe:0", *tags),
        *("-map", "0:a", *picture, "-map_metadata", "1" if head else "-1", "-map_chapters", "-1"),
        *(*coding.output_options(), "-fflags", "+bitexact", "-flags:a", "+bitexact", f"file:{path.absolute()}"),
    ]
