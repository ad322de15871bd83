"""Tags and cover, kept where the new file can hold them, and harmless whatever they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.limits import DecodeLimits
from pipeline.conversion.convert import convert
from pipeline.conversion.formats import FORMATS, Target
from pipeline.conversion.tags import (
    MAX_COVER_BYTES,
    MAX_TAGS,
    MAX_VALUE_BYTES,
    Cover,
    Tags,
    build_comments,
    build_head,
    parse_head,
    reading_tags,
)
from support.conversion import ffmpeg, make, music, write_wav
from support.ffprobe import ffprobe

TAGS = {"title": "Ein Lied; a=b #1 \\ Ж", "artist": "Die Sänger", "album": "No. 1", "track": "3/12", "genre": "Folk"}
KEPT = {"aac": TAGS, "flac": TAGS, "mp3": TAGS, "ogg": TAGS, "wav": TAGS, "webm": TAGS}
WITH_COVER = ("mp3", "flac", "ogg")
Source = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Makes a tagged file with a cover, of the given suffix."""

    def make_source(suffix: str, tags: dict[str, str] = TAGS, picture: str | None = "jpg") -> Path:
        wav = write_wav(tmp_path / "plain.wav", music(22_050))
        options = [part for name, value in tags.items() for part in ("-metadata", f"{name}={value}")]
        path = tmp_path / f"source{suffix}"
        if picture is None:
            return make(path, wav, options)
        cover = tmp_path / f"cover.{picture}"
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=96x80", "-frames:v", "1", cover)
        attached = ("-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic")
        ffmpeg("-i", wav, "-i", cover, *attached, *options, path)
        return path

    return make_source


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("suffix", "picture"), [(".mp3", "jpg"), (".flac", "png"), (".m4a", "jpg")])
def test_tags_and_cover_are_kept(tmp_path: Path, source: Source, name: str, suffix: str, picture: str) -> None:
    made = ffprobe(convert(source(suffix, picture=picture), tmp_path / "out", Target(name)).path)
    assert made.tags.items() >= TAGS.items()
    assert made.pictures == (({"jpg": "mjpeg", "png": "png"}[picture],) if name in WITH_COVER else ())


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".webm", ".wav", ".wma", ".aiff", ".mka"])
def test_tags_are_read_of(tmp_path: Path, source: Source, suffix: str) -> None:
    tags = {name: value for name, value in TAGS.items() if suffix != ".aiff" or name == "title"}
    made = ffprobe(convert(source(suffix, tags, picture=None), tmp_path / "out.flac", Target("flac")).path)
    assert made.tags.items() >= tags.items()


def test_the_cover_is_the_same_file_all_the_way(tmp_path: Path, source: Source) -> None:
    path = source(".mp3", picture="png")
    for name in ("ogg", "flac", "mp3"):
        path = convert(path, tmp_path / f"next{FORMATS[name].suffix}", Target(name)).path
        with reading_tags(path, DecodeLimits()) as reader:
            cover = reader.read().cover
        assert cover == Cover("image/png", 96, 80, (tmp_path / "cover.png").read_bytes())


def test_what_speaks_of_the_old_file_is_dropped(tmp_path: Path, source: Source) -> None:
    junk = {
        "encoder": "Old 1.0",
        "iTunSMPB": "00000000 00000840",
        "TLEN": "99999",
        "_STATISTICS_TAGS": "x",
        "title": "New",
    }
    made = ffprobe(convert(source(".mp3", junk, picture=None), tmp_path / "out.flac", Target("flac")).path)
    assert made.tags == {"title": "New"}


def test_a_cover_that_is_no_jpeg_or_png_is_left_and_the_tags_are_kept(tmp_path: Path, source: Source) -> None:
    made = ffprobe(convert(source(".mp3", picture="gif"), tmp_path / "out.flac", Target("flac")).path)
    assert made.tags.items() >= TAGS.items()
    assert made.pictures == ()


HOSTILE = {
    "lines": "one\ntwo\r\nthree\n\n[STREAM]\ntitle=other",
    "escapes": "\\=;#\\\\\n;FFMETADATA1",
    "nothing": "a\0b",
    "broken": "\ufffd\u202e\x1b[31m",
    "option": "-i /etc/passwd",
}


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_values_arrive_as_text(tmp_path: Path, name: str) -> None:
    source = tmp_path / "a.flac"
    plain = make(tmp_path / "plain.flac", write_wav(tmp_path / "a.wav", music(4410)))
    head = build_head(Tags(tuple(HOSTILE.items())))
    frames = plain.read_bytes()[_frames_at(plain.read_bytes()) :]
    source.write_bytes(_with_info_of(plain.read_bytes(), head) + frames)
    made = convert(source, tmp_path / "out", Target(name))
    with reading_tags(made.path, DecodeLimits()) as reader:
        read = {key.lower(): value for key, value in reader.read().pairs}
    if name != "wav":  # whose chunks have a fixed set of names
        assert read == HOSTILE | {"nothing": "a", "lines": HOSTILE["lines"].replace("\r\n", "\n")}
    assert made.n_samples == 4410


def test_huge_and_countless_tags_are_left_out() -> None:
    pairs = [(f"name{i}", "v") for i in range(MAX_TAGS + 1)]
    huge = Cover("image/png", 1, 1, b"\x89PNG\r\n\x1a\n" + bytes(MAX_COVER_BYTES))
    tags = parse_head(build_head(Tags((("lyrics", "x" * (MAX_VALUE_BYTES + 1)), *pairs), huge)))
    assert tags == Tags(tuple(pairs[:MAX_TAGS]))


@pytest.mark.parametrize(
    "cover",
    [
        Cover("image/png", 1, 1, b"\xff\xd8\xff not what it says"),
        Cover("image/svg+xml", 1, 1, b"<svg/>"),
        Cover("-->", 1, 1, b"http://127.0.0.1/"),
        Cover("image/jpeg", 0, 1, b"\xff\xd8\xff"),
        Cover("image/jpeg", 1 << 31, 1, b"\xff\xd8\xff"),
    ],
)
def test_false_covers_are_left_out(cover: Cover) -> None:
    assert parse_head(build_head(Tags((("title", "x"),), cover))) == Tags((("title", "x"),))


def test_a_head_that_is_cut_off_or_garbage_gives_what_is_there() -> None:
    head = build_head(Tags((("title", "x"), ("artist", "y")), Cover("image/jpeg", 1, 1, b"\xff\xd8\xff")))
    for end in range(len(head)):
        assert parse_head(head[:end]).pairs in ((), (("title", "x"),), (("title", "x"), ("artist", "y")))
    assert parse_head(b"RIFF" + bytes(100)) == Tags()


def test_names_with_control_characters_are_left_out() -> None:
    assert (
        parse_head(build_head(Tags((("a\nb", "1"), ("ä", "2"), ("c" * 100, "3"), ("", "4"), ("d", " \n"))))) == Tags()
    )


def test_ogg_comments_escape_what_their_format_would_read() -> None:
    assert build_comments(Tags((("a", "b=c;d#e\\f\ng"),))) == b";FFMETADATA1\na=b\\=c\\;d\\#e\\\\f\\\ng\n"


def _frames_at(flac: bytes) -> int:
    at, last = 4, False
    while not last:
        last = bool(flac[at] & 0x80)
        at += 4 + int.from_bytes(flac[at + 1 : at + 4], "big")
    return at


def _with_info_of(flac: bytes, head: bytes) -> bytes:
    """The head, but for the first block, which describes the audio: 34 bytes after magic and block header."""
    return head[:8] + flac[8:42] + head[42:]
