"""Audio files that lie, and files that are no audio, made on the spot."""

import io
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile as sf

from pipeline.audio.ffmpeg import ffmpeg_path
from support.audio import tone, wav_bytes

_BOMB_SIDE = 30_000  # pixels of a picture that would take 3.6 GB as samples of 32 bits


@dataclass(frozen=True, slots=True)
class HostileFile:
    """A file and what is wrong with it."""

    what: str
    name: str
    make: Callable[[], bytes]


def _wav(data_bytes: int) -> bytes:
    """One second of sound under a header that promises ``data_bytes``."""
    content = bytearray(wav_bytes(1.0))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", data_bytes)
    return bytes(content)


def _rf64() -> bytes:
    """One second of sound under a header with 64 bits for its length, which promises an exabyte."""
    content = bytearray(wav_bytes(1.0, container="RF64"))
    at = content.index(b"ds64") + 8
    content[at : at + 16] = struct.pack("<QQ", 10**18, 10**18)
    return bytes(content)


def _silent_flac(hours: int, declared_samples: int | None = None) -> bytes:
    """Hours of silence at 8 kHz in a file of some 100 kB; with another length in its header, where one is given."""
    buffer = io.BytesIO()
    with sf.SoundFile(buffer, "w", 8000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(60 * hours):
            file.write(np.zeros(8000 * 60, dtype=np.int16))
    flac = bytearray(buffer.getvalue())
    if declared_samples is not None:
        fields = int.from_bytes(flac[18:26], "big") >> 36 << 36 | declared_samples  # STREAMINFO's last 36 bits here
        flac[18:26] = fields.to_bytes(8, "big")
    return bytes(flac)


def _noise_flac() -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.random.default_rng(1).standard_normal(10 * 44_100) / 8, 44_100, format="FLAC")
    return buffer.getvalue()


def _ogg(rate_hz: int, channels: int, duration_s: float = 0.5) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, tone(duration_s, rate_hz, channels), rate_hz, format="OGG")
    return buffer.getvalue()


def _png_bomb() -> bytes:
    """A small file that is a picture of 30 000 by 30 000 points."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 8, 6, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _mp3_with_cover() -> bytes:
    """A good MP3 behind an ID3v2.3 tag whose picture (APIC) is :func:`_png_bomb`."""
    picture = b"\0image/png\0\x03\0" + _png_bomb()
    frame = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    buffer = io.BytesIO()
    sf.write(buffer, tone(2.0), 44_100, format="MP3")
    return b"ID3\x03\0\0" + size + frame + buffer.getvalue()


def _film_without_sound() -> bytes:
    command = [str(ffmpeg_path()), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=duration=1:size=64x64"]
    made = subprocess.run(
        [*command, "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "pipe:1"], capture_output=True, check=True
    )
    return made.stdout


REFUSED: Sequence[HostileFile] = (
    HostileFile("text renamed .mp3", "song.mp3", lambda: b"Just words, no music.\n" * 100),
    HostileFile("0 bytes", "song.mp3", bytes),
    HostileFile(
        "an HLS playlist with a file:// segment", "a.mp3", lambda: b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n"
    ),
    HostileFile("an ffconcat list of /etc/passwd", "a.wav", lambda: b"ffconcat version 1.0\nfile /etc/passwd\n"),
    HostileFile("a DASH manifest", "a.m4a", lambda: b'<?xml version="1.0"?>\n<MPD><BaseURL>file:///</BaseURL></MPD>'),
    HostileFile("a picture renamed .wav", "song.wav", _png_bomb),
    HostileFile("a gzip bomb", "song.wav", lambda: zlib.compress(bytes(100_000_000), wbits=31)),
    HostileFile("a film without sound", "song.mp4", _film_without_sound),
    HostileFile("100 channels", "song.wav", lambda: wav_bytes(0.1, channels=100)),
    HostileFile("a sample rate of 4 GHz", "song.wav", lambda: _rate(4_000_000_000)),
    HostileFile("a WAV header that promises 3 hours over 1 s", "song.wav", lambda: _wav(3 * 3600 * 44_100 * 4)),
    HostileFile("a WAV header that promises 2 GB over 1 s", "song.wav", lambda: _wav(2_000_000_000)),
    HostileFile("an RF64 header that promises an exabyte over 1 s", "song.wav", _rf64),
    HostileFile("a FLAC of 3 hours of silence (0.2 MB)", "song.flac", lambda: _silent_flac(3)),
)
# Taken as uploads, which are not decoded; what they are shows when they are.
TAKEN: Sequence[HostileFile] = (
    HostileFile("the same FLAC, its header says 1 s", "song.flac", lambda: _silent_flac(3, 8000)),
    HostileFile("the same FLAC, its header says nothing", "song.flac", lambda: _silent_flac(3, 0)),
    HostileFile("half a FLAC", "song.flac", lambda: (flac := _noise_flac())[: len(flac) // 2]),
    HostileFile("a WAV header that promises 4 GB over 1 s", "song.wav", lambda: _wav(4_000_000_000)),
    HostileFile("Ogg streams joined, of other rates and channels", "a.ogg", lambda: _ogg(44_100, 2) + _ogg(8000, 1)),
    HostileFile("400 Ogg streams joined", "song.ogg", lambda: _ogg(44_100, 1, 0.05) * 400),
    HostileFile("an MP3 whose cover inflates to 3.6 GB", "song.mp3", _mp3_with_cover),
)


def _rate(rate_hz: int) -> bytes:
    content = bytearray(wav_bytes(0.1))
    at = content.index(b"fmt ") + 12
    content[at : at + 4] = struct.pack("<I", rate_hz)
    return bytes(content)
