"""Conversions to lossless files, sample by sample."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.audio.decode import decode
from pipeline.conversion.convert import convert
from pipeline.conversion.formats import FORMATS, Target
from pipeline.errors import UnsupportedTarget
from support.conversion import ffmpeg, integers, make, music, read_integers, write_wav
from support.ffprobe import ffprobe


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_wav_to_flac_to_wav_keeps_every_bit(tmp_path: Path, bits: int) -> None:
    samples = integers(300_001, bits)  # more than a block
    source = write_wav(tmp_path / "source.wav", samples, bits)
    flac = convert(source, tmp_path / "there.flac", Target("flac"))
    back = convert(flac.path, tmp_path / "back.wav", Target("wav"))
    assert (flac.bits, back.bits, back.n_samples) == (bits, bits, 300_001)
    np.testing.assert_array_equal(read_integers(flac.path, tmp_path), samples)
    np.testing.assert_array_equal(read_integers(back.path, tmp_path), samples)


@pytest.mark.parametrize(("own", "wanted"), [(16, 24), (16, 32), (24, 32)])
def test_more_bits_change_nothing(tmp_path: Path, own: int, wanted: int) -> None:
    samples = integers(5_000, own)
    made = convert(write_wav(tmp_path / "a.wav", samples, own), tmp_path / "b.flac", Target("flac", bits=wanted))
    np.testing.assert_array_equal(read_integers(made.path, tmp_path), samples)


@pytest.mark.parametrize("wanted", [16, 24])
def test_fewer_bits_are_dithered(tmp_path: Path, wanted: int) -> None:
    """The error is of triangular noise and rounding, a quarter of a bit squared, and tells nothing of the signal."""
    samples = integers(200_000, 32) // 4
    made = convert(write_wav(tmp_path / "a.wav", samples, 32), tmp_path / "b.wav", Target("wav", bits=wanted))
    error = (read_integers(made.path, tmp_path).astype(np.float64) - samples) / (1 << (32 - wanted))
    assert np.mean(error**2) == pytest.approx(1 / 4, rel=0.02)
    assert abs(np.mean(error)) < 0.01
    assert np.max(np.abs(error)) <= 1.5
    remainder = samples % (1 << (32 - wanted)) / (1 << (32 - wanted))
    assert abs(np.corrcoef(error.ravel(), remainder.ravel())[0, 1]) < 0.01


def test_a_tone_below_the_last_bit_survives(tmp_path: Path) -> None:
    t = np.arange(441_000) / 44_100
    quiet = 0.4 / 32_768 * np.sin(2 * np.pi * 1000 * t)
    made = convert(write_wav(tmp_path / "a.wav", quiet, 24), tmp_path / "b.wav", Target("wav", bits=16))
    heard = read_integers(made.path, tmp_path, channels=1)[:, 0] / 2.0**31
    assert 2 * np.mean(heard * np.sin(2 * np.pi * 1000 * t)) == pytest.approx(0.4 / 32_768, rel=0.05)


def test_silence_stays_silence(tmp_path: Path) -> None:
    samples = np.zeros((44_100, 2))
    samples[:1000] = 0.5 * music(1000)
    source = write_wav(tmp_path / "a.wav", samples, 24)
    for target in (Target("wav", bits=16), Target("wav", 48_000, 16)):
        made = convert(source, tmp_path / "b.wav", target)
        assert not read_integers(made.path, tmp_path)[5000:].any()


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_beyond_full_scale_saturates(tmp_path: Path, bits: int) -> None:
    sf.write(tmp_path / "a.wav", np.array([0.0, 1.0, 1.5, -1.0, -3.0]), 44_100, subtype="DOUBLE")
    made = convert(tmp_path / "a.wav", tmp_path / "b.wav", Target("wav", bits=bits))
    highest = (1 << 31) - (1 << (32 - bits))
    read = read_integers(made.path, tmp_path, channels=1)[:, 0].tolist()
    assert read == [0, highest, highest, -(1 << 31), -(1 << 31)]


@pytest.mark.parametrize(("rate_hz", "n_samples"), [(8_000, 8_001), (48_000, 48_002), (192_000, 192_005)])
def test_length_is_the_exact_ratio_rounded_up(tmp_path: Path, rate_hz: int, n_samples: int) -> None:
    source = write_wav(tmp_path / "a.wav", music(44_101))
    made = convert(source, tmp_path / "b.wav", Target("wav", rate_hz))
    assert made.n_samples == len(read_integers(made.path, tmp_path)) == n_samples


def test_the_rate_stays_where_it_can(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav", music(8820), rate_hz=88_200)
    assert {name: convert(source, tmp_path / "b", Target(name)).rate_hz for name in FORMATS} == {
        "mp3": 44_100, "wav": 88_200, "flac": 88_200, "ogg": 88_200, "aac": 88_200, "webm": 88_200,
    }  # fmt: skip


def test_a_lossless_file_has_its_own_bits_and_a_lossy_one_16(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", music(8820), bits=24)
    assert convert(wav, tmp_path / "b.flac", Target("flac")).bits == 24
    mp3 = convert(wav, tmp_path / "b.mp3", Target("mp3", bits=24))
    assert mp3.bits is None
    assert convert(mp3.path, tmp_path / "c.wav", Target("wav")).bits == 16


def test_six_channels_stay_six_and_in_their_order_but_for_mp3(tmp_path: Path) -> None:
    samples = integers(4_000, 16, channels=6)
    source = write_wav(tmp_path / "a.wav", samples)
    flac = convert(source, tmp_path / "b.flac", Target("flac"))
    back = convert(flac.path, tmp_path / "b.wav", Target("wav"))
    np.testing.assert_array_equal(read_integers(back.path, tmp_path, channels=6), samples)
    channels = {name: ffprobe(convert(source, tmp_path / "c", Target(name)).path).channels for name in FORMATS}
    assert channels == {"mp3": 2, "wav": 6, "flac": 6, "ogg": 6, "aac": 6, "webm": 6}


def test_eight_channels_of_192_khz_can_be_read_again(tmp_path: Path) -> None:
    samples = integers(40_000, 24, channels=8)
    source = write_wav(tmp_path / "a.wav", samples, 24, rate_hz=192_000)
    flac = convert(source, tmp_path / "b.flac", Target("flac"))
    back = convert(flac.path, tmp_path / "c.wav", Target("wav"))
    np.testing.assert_array_equal(read_integers(back.path, tmp_path, channels=8), samples)
    assert convert(source, tmp_path / "d.aac", Target("aac")).channels == 2


@pytest.mark.parametrize("n_samples", [16, 17, 4095, 4097])
def test_a_flac_may_end_with_any_block(tmp_path: Path, n_samples: int) -> None:
    samples = integers(n_samples, 16)
    made = convert(write_wav(tmp_path / "a.wav", samples), tmp_path / "b.flac", Target("flac"))
    np.testing.assert_array_equal(read_integers(made.path, tmp_path), samples)


def test_a_few_samples_are_too_few_for_flac_alone(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "a.wav", integers(15, 16))
    with pytest.raises(UnsupportedTarget, match="flac files have at least 16 samples; this one would have 15"):
        convert(source, tmp_path / "b", Target("flac"))
    assert not (tmp_path / "b").exists()
    made = {name: convert(source, tmp_path / "b", Target(name)).n_samples for name in FORMATS if name != "flac"}
    assert set(made.values()) == {15}


def test_a_video_gives_its_sound(tmp_path: Path) -> None:
    samples = music(44_100)
    wav = write_wav(tmp_path / "a.wav", samples)
    video = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", "-i", wav, "-c:v", "mpeg4", "-c:a", "alac", video)
    made = convert(video, tmp_path / "b.wav", Target("wav"))
    np.testing.assert_array_equal(read_integers(made.path, tmp_path), read_integers(wav, tmp_path))
    assert ffprobe(convert(video, tmp_path / "b.mp3", Target("mp3")).path).pictures == ()


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_bytes_again(tmp_path: Path, name: str) -> None:
    source = make(tmp_path / "a.mp3", write_wav(tmp_path / "a.wav", music(60_000)), ["-metadata", "title=Again"])
    digests = {
        hashlib.sha256(convert(source, tmp_path / out, Target(name, 48_000, 16)).path.read_bytes()).digest()
        for out in ("first", "second")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("tempo", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
def test_speed_changes_the_length(tmp_path: Path, tempo: float, rate_hz: int) -> None:
    source = write_wav(tmp_path / "a.wav", music(60_000), bits=32)
    made = convert(source, tmp_path / "b.wav", Target("wav", rate_hz), tempo=tempo)
    assert made.n_samples == decode(made.path, tmp_path).n_samples
    assert made.n_samples == pytest.approx(60_000 / tempo * rate_hz / 44_100, abs=1)
