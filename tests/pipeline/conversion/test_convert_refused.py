"""Conversions that are refused, stopped or fail: no file and no process is left, and the reason is told."""

import contextlib
import errno
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.audio.limits import DecodeLimits
from pipeline.conversion import encoder
from pipeline.conversion.convert import convert
from pipeline.conversion.formats import FORMATS, Target
from pipeline.errors import AudioLimitExceeded, Cancelled, CorruptAudio, EncoderMissing, UnsupportedAudio
from support.conversion import make, music, write_wav

LeftRunning = Callable[[], list[psutil.Process]]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of stereo: seven blocks, and more than the pipes hold."""
    return write_wav(tmp_path_factory.mktemp("song") / "song.wav", music(20 * 44_100))


@pytest.fixture
def folder(tmp_path: Path, left_running: LeftRunning) -> Iterator[Path]:
    """Where the new file would be: empty when all is over, and no process is left."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "scratch").mkdir()
    yield out
    assert list(out.iterdir()) == []
    assert list((tmp_path / "scratch").iterdir()) == []
    assert left_running() == []


@pytest.mark.parametrize("name", ["wav", "mp3"])
@pytest.mark.parametrize(("least", "times"), [(0.0, 1), (0.0, 2), (0.0, 3), (0.1, 1), (0.5, 1), (1.0, 1), (1.0, 2)])
def test_stopped_wherever_it_is(folder: Path, song: Path, name: str, least: float, times: int) -> None:
    """Before it is decoded, in the middle, and when only the encoder has something left to do, or nothing has."""
    told: list[float] = []

    def stop(stage: str, done: float) -> None:
        told.append(done)
        if sum(each >= least for each in told) == times:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled, match="Enough"):
        convert(song, folder / "a", Target(name), scratch=folder.parent / "scratch", on_progress=stop)
    assert told == sorted(told)


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path: Path, song: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"old")

    def stop(stage: str, done: float) -> None:
        if done > 0.5:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        convert(song, tmp_path / "a.wav", Target("wav"), on_progress=stop)
    assert (tmp_path / "a.wav").read_bytes() == b"old"
    assert convert(song, tmp_path / "a.wav", Target("wav")).path.stat().st_size > 3


@contextlib.contextmanager
def largest_file(max_bytes: int) -> Iterator[None]:
    """Let this process and its children write no file beyond a size: it fails as on a full disk, at the same places."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", FORMATS)
def test_no_room(folder: Path, song: Path, name: str) -> None:
    with largest_file(150_000), pytest.raises(OSError, match="File too large") as told:
        convert(song, folder / f"a.{name}", Target(name))
    assert told.value.errno == errno.EFBIG


def test_a_file_that_becomes_too_large(folder: Path, song: Path) -> None:
    with pytest.raises(AudioLimitExceeded, match=r"would be larger than the limit, which is 0\.5 MB"):
        convert(song, folder / "a", Target("wav"), max_bytes=500_000)


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_told_by_its_number(tmp_path: Path, name: str) -> None:
    """What is written to this device fails as on a full disk."""
    (tmp_path / "full").symlink_to("/dev/full")

    def write() -> None:
        coding = encoder.Coding(FORMATS[name], 48_000, 2, 16)
        with encoder.Encoder(coding, tmp_path / "full", None, lambda: None, sys.maxsize) as process:
            process.write(memoryview(bytes(1 << 18)))
            process.finish()

    with pytest.raises(OSError, match="No space left on device") as told:
        write()
    assert told.value.errno == errno.ENOSPC


def test_no_folder_to_write_to(tmp_path: Path, song: Path, left_running: LeftRunning) -> None:
    with pytest.raises(FileNotFoundError):
        convert(song, tmp_path / "nowhere" / "a.wav", Target("wav"))
    assert left_running() == []


def test_sources_that_cannot_be_used(folder: Path, song: Path) -> None:
    cut = folder.parent / "cut.flac"
    whole = make(folder.parent / "whole.flac", song)
    cut.write_bytes(whole.read_bytes()[:-100_000])
    with pytest.raises(CorruptAudio):
        convert(cut, folder / "a.mp3", Target("mp3"))
    text = folder.parent / "text.wav"
    text.write_text("#EXTM3U\nhttp://127.0.0.1/")
    with pytest.raises(UnsupportedAudio, match="playlist"):
        convert(text, folder / "a.mp3", Target("mp3"))
    with pytest.raises(AudioLimitExceeded, match="the limit is 19 s"):
        convert(song, folder / "a.mp3", Target("mp3"), limits=DecodeLimits(max_duration_s=19))


def test_time_grows_with_the_length_that_is_allowed() -> None:
    long = DecodeLimits(max_duration_s=7200).with_time_for_length()
    assert (long.cpu_s, long.timeout_s) == (1200, 2400)
    short = DecodeLimits(max_duration_s=60)
    assert short.with_time_for_length() == short


def test_an_encoder_that_dies_is_told_with_what_it_said(
    folder: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = _program(folder.parent / "dies", 'echo "Something broke" >&2; exit 3')
    monkeypatch.setattr(encoder, "encoding_ffmpeg", lambda coding: dies)
    with pytest.raises(OSError, match=r"audio\.wav cannot be written: ffmpeg ended with 3: Something broke"):
        convert(song, folder / "a", Target("wav"))


def test_an_old_ffmpeg_is_not_asked_for_what_it_cannot_do(
    folder: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = 'case $1 in -version) echo "ffmpeg version 4.4.2-0ubuntu";; *) echo " A....D flac  FLAC";; esac'
    old = _program(folder.parent / "ffmpeg", says)
    monkeypatch.setattr(encoder, "_candidates", lambda: [old])
    for target in (Target("flac"), Target("mp3")):
        with pytest.raises(EncoderMissing, match=r"imageio-ffmpeg, or an ffmpeg of version 6 or newer"):
            convert(song, folder / "a", target)


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
