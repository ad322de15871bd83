"""Damaged, lying and enormous files: a plain refusal, soon, with no memory and no file left behind."""

import re
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.audio.child import Child
from pipeline.audio.decode import DecodeLimits, decode
from pipeline.audio.probe import probe
from pipeline.audio.stream import AudioStream
from pipeline.errors import AudioError, AudioLimitExceeded, CorruptAudio, UnsupportedAudio


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder that a refused file must leave empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def refusal(path: Path, scratch: Path, limits: DecodeLimits | None = None) -> AudioError:
    started = time.monotonic()
    with pytest.raises(AudioError) as caught:
        decode(path, scratch, limits)
    assert time.monotonic() - started < 20
    assert str(path) not in caught.value.message  # shown to whoever sent the file
    return caught.value


def flac_header(rate_hz: int, channels: int, n_samples: int) -> bytes:
    """The magic number and STREAMINFO, of 16 bits per sample."""
    packed = rate_hz << 44 | (channels - 1) << 41 | 15 << 36 | n_samples
    return b"fLaC\x80\0\0\x22" + struct.pack(">HH6xQ16x", 4096, 4096, packed)


def set_flac_length(path: Path, n_samples: int) -> None:
    flac = bytearray(path.read_bytes())
    low = int.from_bytes(flac[18:26], "big") >> 36 << 36 | n_samples
    flac[18:26] = low.to_bytes(8, "big")
    path.write_bytes(flac)


def set_wav_length(path: Path, n_bytes: int) -> None:
    wav = bytearray(path.read_bytes())
    at = wav.index(b"data") + 4
    wav[at : at + 4] = struct.pack("<I", n_bytes)
    path.write_bytes(wav)


@pytest.mark.parametrize("content", [b"Just a text.\n", b"#EXTM3U\nfile:///etc/passwd\n", b"", b"\x89PNG\r\n\x1a\n"])
def test_no_audio_is_refused_before_anything_is_started(tmp_path: Path, scratch: Path, content: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    assert isinstance(refusal(path, scratch), UnsupportedAudio)
    with pytest.raises(UnsupportedAudio):
        probe(path)


def test_a_missing_file_and_a_folder(tmp_path: Path, scratch: Path) -> None:
    assert refusal(tmp_path / "none.wav", scratch).message == "There is no such file."
    assert refusal(tmp_path, scratch).message == "This is a folder, not an audio file."


@pytest.mark.parametrize(
    "magic",
    [
        b"RIFF\xff\xff\0\0WAVEfmt ",
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + b"\xff" * 24,
        b"FORM\0\xff\xff\xffAIFFCOMM",
        b"caff\0\x01\0\0desc",
        b".snd\0\0\0\x18\0\0\xff\xff\0\0\0\x03\0\0\xac\x44\0\0\0\x02"[:8],
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02" + bytes(20),
        b"\0\0\0\x20ftypM4A ",
        b"\x1a\x45\xdf\xa3\x9f",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
        b"wvpk\xd0\x10\0\0",
        b"\xff\xfb\x90\x00".ljust(417, b"\x55") * 4,
    ],
)
def test_rubbish_after_a_good_start(tmp_path: Path, scratch: Path, magic: bytes) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(magic + np.random.default_rng(3).bytes(50_000))
    refusal(path, scratch)


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("AIFF", "PCM_24"), ("W64", "PCM_16")])
@pytest.mark.parametrize("half", [0.5, 0.97])
def test_cut_off_files_with_a_size_in_the_header(
    tmp_path: Path, scratch: Path, sweep: Callable[..., np.ndarray], kind: str, subtype: str, half: float
) -> None:
    path = tmp_path / "a.bin"
    sf.write(path, sweep(), 44_100, format=kind, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: int(half * len(content))])
    error = refusal(path, scratch)
    assert isinstance(error, CorruptAudio)
    assert error.message.startswith("The file is incomplete: its header promises ")
    with pytest.raises(CorruptAudio):
        probe(path)


def test_rf64_caf_and_au_cut_off(tmp_path: Path, scratch: Path, sweep: Callable[..., np.ndarray]) -> None:
    for kind in ("RF64", "CAF", "AU"):
        path = tmp_path / "a.bin"
        sf.write(path, sweep(), 44_100, format=kind, subtype="PCM_16")
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert "header promises 352800 bytes" in refusal(path, scratch).message.replace("352804", "352800")


def test_chunk_sizes_that_lead_nowhere(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "a.bin"
    w64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + bytes(8) + b"wave" + bytes(12) + b"junk" * 4
    for size in (0, 1, (1 << 62) + 3, (1 << 63) - 1, (1 << 64) - 1):
        for start in (b"caff\0\x01\0\0desc" + size.to_bytes(8, "big"), w64 + size.to_bytes(8, "little")):
            path.write_bytes(start + bytes(5000))
            assert isinstance(refusal(path, scratch), CorruptAudio | UnsupportedAudio)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.flac", ("-c:a", "flac")),
        ("a.mka", ("-c:a", "flac")),
        ("a.wv", ("-c:a", "wavpack")),
        ("a.m4a", ("-c:a", "alac", "-movflags", "+faststart")),
        ("a.m4a", ("-c:a", "aac", "-movflags", "+faststart")),
        ("a.webm", ("-c:a", "libopus")),
        ("a.mp3", ("-c:a", "libmp3lame")),
    ],
)
def test_cut_off_files_say_where(
    tmp_path: Path,
    scratch: Path,
    encode: Callable[..., Path],
    sweep: Callable[..., np.ndarray],
    name: str,
    options: tuple[str, ...],
) -> None:
    path = encode(name, sweep(duration_s=6), 44_100, *options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    error = refusal(path, scratch)
    assert isinstance(error, CorruptAudio)
    said = re.search(r"is damaged or incomplete: only (\d\.\d) s of 6\.0 s could be decoded\.", error.message)
    assert said is not None
    assert 2.0 < float(said[1]) < 3.6


def test_a_cut_off_m4a_with_its_index_at_the_end(
    tmp_path: Path, scratch: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    path = encode("a.m4a", sweep(), 44_100, "-c:a", "aac")
    path.write_bytes(path.read_bytes()[:-3000])
    assert "MP4 file is damaged or incomplete" in refusal(path, scratch).message


def test_a_ragged_end_of_an_mp3_is_taken(
    tmp_path: Path, out: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    path = encode("a.mp3", sweep(duration_s=6), 44_100, "-c:a", "libmp3lame")
    path.write_bytes(path.read_bytes()[:-1000])
    assert 5.9 < decode(path, out).duration_s < 6.0


def test_a_damaged_flac_frame_is_noticed(tmp_path: Path, scratch: Path, sweep: Callable[..., np.ndarray]) -> None:
    path = tmp_path / "a.flac"
    sf.write(path, sweep(duration_s=6), 44_100, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 30] = bytes(30)
    path.write_bytes(content)
    said = re.match(
        r"The FLAC file is damaged or incomplete: only (\d\.\d) s of 6\.0 s", refusal(path, scratch).message
    )
    assert said is not None
    assert 2.0 < float(said[1]) < 3.6


def test_a_wav_header_that_promises_three_hours(
    tmp_path: Path, scratch: Path, sweep: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, sweep(duration_s=1), 44_100, subtype="PCM_16")
    set_wav_length(path, 3 * 3600 * 44_100 * 4)
    assert refusal(path, scratch).message == (
        "The file is incomplete: its header promises 1905120000 bytes of audio, and 176400 are there."
    )


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0x7FFF_F000, 0xFFFF_FFFF, 0xFFFF_FFD8])
def test_a_wav_written_to_a_pipe_is_as_long_as_it_is(
    tmp_path: Path, out: Path, sweep: Callable[..., np.ndarray], size: int
) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, sweep(duration_s=1), 44_100, subtype="PCM_16")
    set_wav_length(path, size)
    assert decode(path, out).n_samples == 44_100


def test_a_flac_header_that_promises_three_hours(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac_header(44_100, 2, 3 * 3600 * 44_100))
    assert refusal(path, scratch).message == "The audio lasts 10800.0 s by its header; the limit is 1800 s."
    with pytest.raises(AudioLimitExceeded, match=r"lasts 10800\.0 s by its header; the limit is 1800 s"):
        probe(path)
    path.write_bytes(flac_header(44_100, 2, 60 * 44_100))
    assert refusal(path, scratch).message == "The FLAC file is damaged: no audio could be decoded from it."


def test_hours_of_silence_stop_at_the_limit_whatever_the_header_says(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "a.flac"
    with sf.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(180):
            file.write(np.zeros(8000 * 60, dtype=np.int16))
    assert path.stat().st_size < 1_000_000
    assert refusal(path, scratch).message == "The audio lasts 10800.0 s by its header; the limit is 1800 s."
    set_flac_length(path, 0)
    assert refusal(path, scratch).message == "The audio is longer than the limit, which is 1800 s."


def test_the_limit_holds_for_what_declares_no_length(
    tmp_path: Path, scratch: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    for name, options in (("a.aac", ("-c:a", "aac")), ("a.mp3", ("-c:a", "libmp3lame", "-write_xing", "0"))):
        path = encode(name, sweep(duration_s=3), 44_100, *options)
        message = refusal(path, scratch, DecodeLimits(max_duration_s=2.5)).message
        assert message == "The audio is longer than the limit, which is 2.5 s."


def test_limits_are_named_with_the_value_found(
    tmp_path: Path, scratch: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros((500, 100), dtype=np.float32), 44_100)
    assert refusal(path, scratch).message == "The audio has 100 channels; the limit is 8 channels."
    sf.write(path, np.zeros(500), 384_000)
    assert refusal(path, scratch).message == "The sample rate is 384000 Hz; the limit is 192000 Hz."
    sf.write(path, np.zeros(500), 1)
    assert refusal(path, scratch).message == "The sample rate is 1 Hz; the lowest that is read is 4000 Hz."
    sf.write(path, np.zeros(500), 44_100, subtype="PCM_16")
    message = refusal(path, scratch, DecodeLimits(max_file_bytes=1000)).message
    assert message == "The file has 1044 bytes; the limit is 1000 bytes."
    path = encode("a.m4a", sweep(duration_s=3), 44_100, "-c:a", "aac")
    message = refusal(path, scratch, DecodeLimits(max_duration_s=2)).message
    assert message == "The audio lasts 3.0 s by its header; the limit is 2 s."


def test_sixteen_channels_through_ffmpeg_are_refused(
    tmp_path: Path, scratch: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    path = encode("a.mka", sweep(channels=16, duration_s=0.2), 44_100, "-c:a", "pcm_s16le")
    assert refusal(path, scratch).message == "The audio has 16 channels; the limit is 8 channels."


@pytest.mark.parametrize("n_samples", [1, 2, 8820])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "CAF", "W64"])
def test_very_short_files(tmp_path: Path, out: Path, kind: str, n_samples: int) -> None:
    path = tmp_path / "a.bin"
    sf.write(path, np.full((n_samples, 2), 0.5), 44_100, format=kind, subtype="PCM_24")
    assert decode(path, out).read(0, n_samples + 1).tolist() == [[0.5] * n_samples] * 2


@pytest.mark.parametrize("n_samples", [1, 2, 9600])
@pytest.mark.parametrize(("name", "padding"), [("a.m4a", 0), ("a.opus", 0), ("a.mp3", 1152)])
def test_very_short_lossy_files(
    tmp_path: Path, out: Path, encode: Callable[..., Path], name: str, padding: int, n_samples: int
) -> None:
    path = encode(name, np.full((n_samples, 2), 0.5, dtype=np.float32), 48_000)
    assert 0 <= decode(path, out).n_samples - n_samples <= padding


def test_no_samples_at_all(tmp_path: Path, scratch: Path) -> None:
    for kind in ("WAV", "AIFF"):
        path = tmp_path / "a.bin"
        sf.write(path, np.zeros((0, 2)), 44_100, format=kind, subtype="PCM_16")
        error = refusal(path, scratch)
        assert isinstance(error, CorruptAudio)
        assert "no audio" in error.message


def test_a_coding_that_is_not_read_is_named(tmp_path: Path, scratch: Path, encode: Callable[..., Path]) -> None:
    path = encode("a.mka", np.zeros((44_100, 2), dtype=np.float32), 44_100, "-c:a", "dfpwm")
    error = refusal(path, scratch)
    assert isinstance(error, UnsupportedAudio)
    assert error.message == "The sound in this Matroska or WebM file is coded as dfpwm, which is not read here."


def test_samples_that_are_no_numbers_become_zero_and_loud_ones_stay(tmp_path: Path, out: Path) -> None:
    song = np.full(1000, 0.5, dtype=np.float32)
    song[[1, 3, 5, 7, 9]] = [np.nan, np.inf, -np.inf, 1e30, -2.5]
    path = tmp_path / "a.wav"
    sf.write(path, song, 44_100, subtype="FLOAT")
    decoded = decode(path, out).read(0, 1000)[0]
    assert np.isfinite(decoded).all()
    np.testing.assert_array_equal(decoded[:11], np.float32([0.5, 0, 0.5, 0, 0.5, 0, 0.5, 0, 0.5, -2.5, 0.5]))


@pytest.mark.parametrize("value", [np.nan, 20_000.0])
def test_a_file_of_such_samples_is_refused(tmp_path: Path, scratch: Path, value: float) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, np.full(1000, value, dtype=np.float32), 44_100, subtype="FLOAT")
    assert "scale them to between -1 and 1" in refusal(path, scratch).message


def test_a_slow_decoder_is_stopped(tmp_path: Path, scratch: Path, sweep: Callable[..., np.ndarray]) -> None:
    path = tmp_path / "a.flac"
    sf.write(path, sweep(), 44_100)
    error = refusal(path, scratch, DecodeLimits(timeout_s=0.01))
    assert isinstance(error, AudioLimitExceeded)
    assert error.message == "Decoding took longer than it may, which is 0.01 s."
    assert "which is 0.02 s." in refusal(path, scratch, DecodeLimits(header_timeout_s=0.02)).message


def test_a_decoder_that_dies_midway_is_noticed(tmp_path: Path, sweep: Callable[..., np.ndarray]) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, sweep(), 44_100)
    dies = ["exec", "/bin/sh", "-c", f"head -c 100000 {path}; kill -SEGV $$"]
    with (
        Child(dies, DecodeLimits()) as child,
        pytest.raises(CorruptAudio, match=r"The decoder crashed on this file \(SIGSEGV\)"),
    ):
        list(AudioStream(probe(path), 2, False, child, DecodeLimits(), 0.0).blocks())


def test_memory_does_not_grow_with_the_song(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "a.flac"
    with sf.SoundFile(path, "w", 44_100, 2, "PCM_16") as file:
        for _ in range(10):
            file.write(np.zeros((44_100 * 60, 2), dtype=np.int16))
    tracemalloc.start()
    try:
        assert decode(path, out).duration_s == 600
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16_000_000  # of 212 MB decoded
