"""What kind of file this is, by its first bytes: an allow-list of audio containers, and a name for the rest.

The name and the suffix of a file are never looked at.  Playlists must not get through: a demuxer that follows
them would open any file or address they name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.audio.mpeg_frames import find_frames
from pipeline.errors import UnsupportedAudio

_HEAD_BYTES = 4096
_FRAME_SEARCH_BYTES = 1 << 16  # tags are padded, and recordings of streams begin within a frame
_MAX_TAGS = 4  # some taggers put a second ID3v2 tag before the first


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of audio file.

    Attributes:
        name: for people, as in "WAV".
        suffix: the usual file name suffix, with its dot.
        demuxer: ffmpeg's name of its demuxer (``-f``), so that ffmpeg never guesses.
        by_libsndfile: read by libsndfile where it can; see :mod:`pipeline.audio.decode` for why not all are.
    """

    name: str
    suffix: str
    demuxer: str
    by_libsndfile: bool = False


WAV = Container("WAV", ".wav", "wav", by_libsndfile=True)
RF64 = Container("RF64", ".wav", "wav", by_libsndfile=True)
W64 = Container("Wave64", ".w64", "w64", by_libsndfile=True)
AIFF = Container("AIFF", ".aiff", "aiff", by_libsndfile=True)
CAF = Container("CAF", ".caf", "caf", by_libsndfile=True)
AU = Container("AU", ".au", "au", by_libsndfile=True)
FLAC = Container("FLAC", ".flac", "flac", by_libsndfile=True)
MP3 = Container("MP3", ".mp3", "mp3")
AAC = Container("AAC", ".aac", "aac")
OGG = Container("Ogg", ".ogg", "ogg")
MP4 = Container("MP4", ".m4a", "mov")
MATROSKA = Container("Matroska or WebM", ".mka", "matroska")
ASF = Container("WMA", ".wma", "asf")
WAVPACK = Container("WavPack", ".wv", "wv")

_W64_GUID = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_ASF_GUID = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_MAGIC: tuple[tuple[int, bytes, Container], ...] = (
    (0, b"fLaC", FLAC),
    (0, b"OggS", OGG),
    (0, b"caff", CAF),
    (0, b".snd", AU),
    (0, b"wvpk", WAVPACK),
    (0, b"\x1a\x45\xdf\xa3", MATROSKA),
    (0, _W64_GUID, W64),
    (0, _ASF_GUID, ASF),
    (4, b"ftyp", MP4),
    (4, b"moov", MP4),  # QuickTime files from before ftyp
    (4, b"mdat", MP4),
    (4, b"wide", MP4),
)
_FORMS = {  # (bytes 0-3, bytes 8-11)
    (b"RIFF", b"WAVE"): WAV,
    (b"RF64", b"WAVE"): RF64,
    (b"BW64", b"WAVE"): RF64,
    (b"FORM", b"AIFF"): AIFF,
    (b"FORM", b"AIFC"): AIFF,
}
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (8, b"AVI ", "an AVI video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
)
_PLAYLIST_STARTS = (b"#extm3u", b"#ext-x-", b"ffconcat", b"[playlist]", b"v=0\r\no=", b"v=0\no=")
_PLAYLIST_TAGS = (b"<mpd", b"<smil", b"<asx", b"<playlist", b"<smoothstreamingmedia")
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")


def sniff(path: Path) -> Container:
    """The container of an audio file, from its contents alone.

    Raises:
        UnsupportedAudio: there is no such file, it is empty, or it is not audio that is read here; says what it is.
    """
    if path.is_dir():
        raise UnsupportedAudio("This is a folder, not an audio file.")
    if path.exists() and not path.is_file():
        raise UnsupportedAudio("This is not a regular file.")
    try:
        with path.open("rb") as file:
            return _sniff(file)
    except FileNotFoundError:
        raise UnsupportedAudio("There is no such file.") from None
    except OSError as error:
        raise UnsupportedAudio(f"The file cannot be opened: {error.strerror}.") from error


def _sniff(file: BinaryIO) -> Container:
    start = _skip_id3(file)
    head = file.read(_HEAD_BYTES)
    if not head:
        raise UnsupportedAudio("The file holds a tag but no audio." if start else "The file is empty (0 bytes).")
    is_text = not start and _is_text(head)
    for at, magic, container in _MAGIC:
        if head.startswith(magic, at) and not (at and is_text):  # text may well have "wide" there
            return container
    if form := _FORMS.get((head[:4], head[8:12])):
        return form
    for at, magic, kind in _OTHERS:
        if head.startswith(magic, at):
            raise UnsupportedAudio(f"This is {kind}, not audio.")
    if is_text:
        raise UnsupportedAudio(_describe_text(head))
    data = head + file.read(_FRAME_SEARCH_BYTES - len(head))
    codec = find_frames(data, whole=len(data) < _FRAME_SEARCH_BYTES)
    if codec is None:
        raise UnsupportedAudio(
            "This is not a kind of audio file that is read here. Use WAV, AIFF, CAF, FLAC, MP3, Ogg, Opus, M4A, "
            "AAC, WMA, WavPack, or the sound of an MP4, MOV, MKV or WebM video."
        )
    return MP3 if codec == "mp3" else AAC


def _skip_id3(file: BinaryIO) -> int:
    """Leave the file after its ID3v2 tags and return that place (ID3v2.4, section 3.1)."""
    start = 0
    for _ in range(_MAX_TAGS):
        file.seek(start)
        header = file.read(10)
        if len(header) < 10 or not header.startswith(b"ID3"):
            break
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        start += 10 + size + (10 if header[5] & 0x10 else 0)
    file.seek(start)
    return start


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return b"\0" in head[2:4]  # a UTF-16 byte order mark; MPEG frames can begin alike
    return not any(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)


def _describe_text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").strip().lower()
    is_cue_sheet = b'file "' in text and b"track " in text
    if text.startswith(_PLAYLIST_STARTS) or is_cue_sheet or any(tag in text for tag in _PLAYLIST_TAGS):
        return "This is a playlist, not audio. Give the audio file itself."
    return "This is text, not audio."
