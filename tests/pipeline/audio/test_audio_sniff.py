"""The kind of a file is told by its contents, and what is no audio is named."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.sniff import sniff
from pipeline.errors import UnsupportedAudio

RANDOM = np.random.default_rng(7).bytes(200_000)
ID3 = b"ID3\x04\0\0\0\0\x02\0" + bytes(256)


def adts_frame(payload: bytes) -> bytes:
    length = 7 + len(payload)
    return bytes([0xFF, 0xF1, 0x50, 0x80 | length >> 11, length >> 3 & 0xFF, (length & 7) << 5 | 0x1F, 0xFC]) + payload


def mp3_frame(header: bytes, length: int) -> bytes:
    return header.ljust(length, b"\x15")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "WAV"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "RF64"),
        (b"BW64\xff\xff\xff\xffWAVEds64", "RF64"),
        (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", "Wave64"),
        (b"FORM\0\0\0\x10AIFFCOMM", "AIFF"),
        (b"FORM\0\0\0\x10AIFCFVER", "AIFF"),
        (b"caff\0\x01\0\0", "CAF"),
        (b".snd\0\0\0\x18", "AU"),
        (b"fLaC\0\0\0\x22", "FLAC"),
        (ID3 + b"fLaC\0\0\0\x22", "FLAC"),
        (b"OggS\0\x02\0\0", "Ogg"),
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"\0\0\x10\0moov\0\0\0\x6cmvhd", "MP4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "Matroska or WebM"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "WMA"),
        (b"wvpk\xd0\x10\0\0", "WavPack"),
        (mp3_frame(b"\xff\xfb\x90\x00", 417) * 4, "MP3"),  # 128 kbit/s at 44.1 kHz
        (ID3 + mp3_frame(b"\xff\xfb\x90\x00", 417) * 4, "MP3"),
        (ID3 + ID3 + bytes(5000) + mp3_frame(b"\xff\xfb\x90\x00", 417) * 4, "MP3"),  # a padded tag
        (RANDOM[:3000] + mp3_frame(b"\xff\xfb\x90\x00", 417) * 4, "MP3"),  # a stream that was joined midway
        (mp3_frame(b"\xff\xf3\x48\xc0", 144), "MP3"),  # one frame of MPEG-2, 32 kbit/s at 16 kHz, and the end
        (mp3_frame(b"\xff\xfd\x80\x00", 417) * 4, "MP3"),  # layer II
        (adts_frame(b"\x05" * 300) + adts_frame(b"\x05" * 280) + adts_frame(b"\x05" * 310), "AAC"),
        (ID3 + adts_frame(b"\x05" * 300) * 3, "AAC"),
    ],
)
def test_containers_are_known_by_their_contents(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "song.txt"
    path.write_bytes(content)
    assert sniff(path).name == name


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "The file is empty (0 bytes)."),
        (b"Dear all,\nplease find the song attached.\n", "This is text, not audio."),
        ("Träume, naïvely\r\n".encode("latin-1"), "This is text, not audio."),
        ("Notes".encode("utf-16"), "This is text, not audio."),
        (b"The wide river flows", "This is text, not audio."),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "This is a playlist, not audio."),
        (b"\xef\xbb\xbf\n#EXTM3U\r\n", "This is a playlist, not audio."),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "This is a playlist, not audio."),
        (b"[playlist]\nFile1=http://10.0.0.1/\n", "This is a playlist, not audio."),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "This is a playlist, not audio."),
        (b'<?xml version="1.0"?>\n<playlist version="1">', "This is a playlist, not audio."),
        (b"v=0\r\no=- 0 0 IN IP4 10.0.0.1\r\n", "This is a playlist, not audio."),
        (b'FILE "/etc/passwd" WAVE\n  TRACK 01 AUDIO\n', "This is a playlist, not audio."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "This is a PNG picture, not audio."),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "This is a JPEG picture, not audio."),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "This is a WebP picture, not audio."),
        (b"RIFF\x24\0\0\0AVI LIST", "This is an AVI video, not audio."),
        (b"MThd\0\0\0\x06\0\x01", "This is a MIDI file, which holds notes and no sound, not audio."),
        (b"PK\x03\x04\x14\0", "This is a ZIP archive, not audio."),
        (RANDOM, "This is not a kind of audio file that is read here."),
        (ID3 + RANDOM, "This is not a kind of audio file that is read here."),
        (ID3 + b"#EXTM3U\nfile:///etc/passwd\n", "This is not a kind of audio file that is read here."),
        (ID3, "The file holds a tag but no audio."),
        (b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "The file holds a tag but no audio."),
        (bytes(10_000), "This is not a kind of audio file that is read here."),
    ],
)
def test_what_is_no_audio_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(UnsupportedAudio) as caught:
        sniff(path)
    assert caught.value.message.startswith(says)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedAudio, match=r"There is no such file\."):
        sniff(tmp_path / "missing.wav")
    with pytest.raises(UnsupportedAudio, match="This is a folder"):
        sniff(tmp_path)
    with pytest.raises(UnsupportedAudio, match="not a regular file"):
        sniff(Path("/dev/zero"))
