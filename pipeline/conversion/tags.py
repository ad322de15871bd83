"""Tags and cover of a file, from it to the files made of it.

Both ways go through the head of a FLAC file, which holds them in plain binary (RFC 9639, section 8): ffmpeg writes one
of what it finds in the source, in a process of its own; what is good of it is put into another one, which the encoder
reads as its second input.  So text passes as it is, and no picture is decoded outside that process.
"""

import base64
import contextlib
import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.audio import ffmpeg
from pipeline.audio.child import Child
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.sniff import sniff
from pipeline.errors import AudioError
from pipeline.progress import OnProgress, unheard

MAX_COVER_BYTES = 8 << 20  # as text in an Ogg comment it is a third larger; a block of FLAC ends at 16 MiB
MAX_VALUE_BYTES = 1 << 16  # the longest songs' lyrics are a tenth of that
MAX_TAGS = 100

_MAX_HEAD_BYTES = 24 << 20
_BLOCK_BYTES = 1 << 16
_STREAMINFO, _VORBIS_COMMENT, _PICTURE = 0, 4, 6
# Ogg files have their tags at the stream, others at the file.
_ALL_TAGS = ("-map_metadata:g", "0:g", "-map_metadata:g", "0:s:a:0", "-map_chapters", "-1")
_A_FRAME_OF_FLAC = ("-c:a", "flac", "-frames:a", "1", "-bitexact", "-f", "flac", "pipe:1")
_FRONT_COVER = 3  # picture type, as in ID3v2.4 section 4.14
_MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}
# What speaks of the source file and would be wrong, or odd, of another.
_JUNK = frozenset(
    (
        *("encoder", "encoded_by", "encoded-by", "encoder_settings", "encoding_settings", "encoding", "tool"),
        *("software", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "language"),
        *("creation_time", "duration", "length", "tlen", "tsse", "tsiz", "tdly", "filesize", "bps", "isvbr"),
        *("number_of_frames", "number_of_bytes", "itunsmpb", "itunnorm", "itunpgap", "gapless_playback"),
        *("waveformatextensible_channel_mask", "metadata_block_picture", "coverart", "coverartmime", "cuesheet"),
        *("time_reference", "umid", "coding_history", "wm/encodingtime", "wmfsdkversion", "wmfsdkneeded"),
        "deviceconformancetemplate",
    )
)
_OF_TEMPO = ("bpm", "tbpm", "tmpo", "tempo")
_SPECIAL = re.compile(r"[=;#\\\n]")  # to ffmetadata
_JUNK_STARTS = ("_statistics", "id3v2_priv.", "wm/provider", "wm/uniquefile", "com.apple.", "bpm_detect")


@dataclass(frozen=True, slots=True)
class Cover:
    """A picture, JPEG or PNG.

    Attributes:
        mime_type: "image/jpeg" or "image/png".
        width: in pixels.
        height: in pixels.
        data: the picture file.
    """

    mime_type: str
    width: int
    height: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file says of its music: pairs of name and value (names as Vorbis comments have them), and its cover."""

    pairs: tuple[tuple[str, str], ...] = ()
    cover: Cover | None = None

    def __bool__(self) -> bool:
        return bool(self.pairs) or self.cover is not None

    def at(self, tempo: float) -> "Tags":
        """Those that are still true when it is played so many times faster."""
        kept = tuple(pair for pair in self.pairs if tempo == 1.0 or pair[0].lower() not in _OF_TEMPO)
        return Tags(kept, self.cover)


class TagReader:
    """Reads a file's tags while something else is done; made by :func:`reading_tags`."""

    def __init__(self, path: Path, limits: DecodeLimits, on_progress: OnProgress) -> None:
        self._path, self._limits, self._on_progress = path, limits, on_progress
        self._child = self._start(with_cover=True)

    def read(self) -> Tags:
        """Wait for them; none if they cannot be read, or not soon: a file is not refused for its tags."""
        for with_cover in (True, False):  # a picture of a kind that FLAC cannot hold is an error to ffmpeg
            if not with_cover:
                self.close()
                self._child = self._start(with_cover=False)
            with contextlib.suppress(AudioError):
                self._child.allow(self._limits.header_timeout_s)
                head = bytearray()
                while len(head) < _MAX_HEAD_BYTES and (more := self._child.read(_BLOCK_BYTES)):
                    head += more
                if head and not more and self._child.finish() == 0:
                    return parse_head(bytes(head))
        return Tags()

    def close(self) -> None:
        """End the process."""
        self._child.__exit__(None, None, None)

    def _start(self, *, with_cover: bool) -> Child:
        pictures = ["-map", "0:v?", "-map", "-0:V?", "-c:v", "copy"] if with_cover else []
        output = [*_ALL_TAGS, "-map", "0:a:0", *pictures, *_A_FRAME_OF_FLAC]
        return Child(ffmpeg.tag_command(self._path, sniff(self._path), output), self._limits, self._on_progress)


@contextlib.contextmanager
def reading_tags(path: Path, limits: DecodeLimits, on_progress: OnProgress = unheard) -> Iterator[TagReader]:
    """Start to read the tags of a file that has been let in; the process ends with the context.

    Args:
        path: the file.
        limits: bounds on the process.
        on_progress: told while the tags are waited for.
    """
    reader = TagReader(path, limits, on_progress)
    try:
        yield reader
    finally:
        reader.close()


def parse_head(data: bytes) -> Tags:
    """The tags worth keeping in a FLAC file's head: junk is left out, as are empty, huge and unreadable ones."""
    pairs: list[tuple[str, str]] = []
    covers: list[tuple[bool, Cover]] = []
    at, is_last = 4, not data.startswith(b"fLaC")
    try:
        while not is_last:
            header, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
            is_last, kind = bool(header & 0x80), header & 0x7F
            block = data[at + 4 : at + 4 + size]
            at += 4 + size
            if kind == _VORBIS_COMMENT:
                pairs += itertools.islice(_parse_comments(block), MAX_TAGS)
            elif kind == _PICTURE and (found := _parse_picture(block)):
                covers.append(found)
    except (IndexError, struct.error):
        pass  # cut off
    covers.sort(key=lambda found: not found[0])
    return Tags(tuple(pairs[:MAX_TAGS]), covers[0][1] if covers else None)


def build_head(tags: Tags) -> bytes:
    """A FLAC file of no audio that holds tags and cover."""
    entries = [f"{name}={value}".encode() for name, value in tags.pairs]
    comment_block = struct.pack("<II", 0, len(entries)) + b"".join(struct.pack("<I", len(e)) + e for e in entries)
    # 4096 samples a block, 44.1 kHz, 2 channels, 16 bits, no length, no digest
    info = struct.pack(">HH6sQ16s", 4096, 4096, bytes(6), 44_100 << 44 | 1 << 41 | 15 << 36, bytes(16))
    blocks = [(_STREAMINFO, info), (_VORBIS_COMMENT, comment_block)]
    if tags.cover is not None:
        blocks.append((_PICTURE, _build_picture(tags.cover)))
    last = len(blocks) - 1
    return b"fLaC" + b"".join(
        bytes([kind | (0x80 if i == last else 0)]) + len(block).to_bytes(3, "big") + block
        for i, (kind, block) in enumerate(blocks)
    )


def build_comments(tags: Tags) -> bytes:
    """The same for Ogg, which has its cover in a comment: a file of ffmpeg's ffmetadata format.

    From a FLAC ffmpeg would not take that comment for one.
    """
    pairs = list(tags.pairs)
    if tags.cover is not None:
        pairs.append(("METADATA_BLOCK_PICTURE", base64.b64encode(_build_picture(tags.cover)).decode()))
    lines = [f"{_escaped(name)}={_escaped(value)}\n" for name, value in pairs]
    return "".join([";FFMETADATA1\n", *lines]).encode()


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


def _parse_comments(block: bytes) -> Iterator[tuple[str, str]]:
    (vendor_bytes,) = struct.unpack_from("<I", block)
    at = 4 + vendor_bytes
    (count,) = struct.unpack_from("<I", block, at)
    at += 4
    for _ in range(count):
        (size,) = struct.unpack_from("<I", block, at)
        name, _, value = block[at + 4 : at + 4 + size].partition(b"=")
        at += 4 + size
        if (good := _good_name(name)) and (text := _good_value(value)):
            yield good, text


def _good_name(name: bytes) -> str | None:
    if not name or len(name) > 80 or any(not 0x20 <= byte <= 0x7D for byte in name):
        return None
    text = name.decode("ascii")
    lower = text.lower()
    return None if lower in _JUNK or lower.startswith(_JUNK_STARTS) else text


def _good_value(value: bytes) -> str | None:
    if len(value) > MAX_VALUE_BYTES:
        return None
    lines = value.decode("utf-8", "replace").replace("\0", " ").replace("\r\n", "\n").replace("\r", "\n")
    return lines.strip() or None


def _parse_picture(block: bytes) -> tuple[bool, Cover] | None:
    """Whether it is the front, and the cover; None where it is no JPEG or PNG, or too large."""
    kind, mime_bytes = struct.unpack_from(">II", block)
    at = 8 + mime_bytes
    mime_type = block[8:at].decode("latin-1")
    (text_bytes,) = struct.unpack_from(">I", block, at)
    at += 4 + text_bytes
    width, height, _, _, size = struct.unpack_from(">5I", block, at)
    data = block[at + 20 : at + 20 + size]
    magic = _MAGIC.get(mime_type)
    if magic is None or not data.startswith(magic) or not (0 < width < 1 << 16 and 0 < height < 1 << 16):
        return None
    return (kind == _FRONT_COVER, Cover(mime_type, width, height, data)) if len(data) <= MAX_COVER_BYTES else None


def _build_picture(cover: Cover) -> bytes:
    mime = cover.mime_type.encode()
    numbers = struct.pack(">5I", cover.width, cover.height, 24, 0, len(cover.data))
    return struct.pack(">II", _FRONT_COVER, len(mime)) + mime + struct.pack(">I", 0) + numbers + cover.data
