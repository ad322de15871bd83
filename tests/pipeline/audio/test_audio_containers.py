"""Every container that is read gives the samples that went into it, at the place where they were."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.audio.decode import decode
from pipeline.audio.probe import probe
from pipeline.audio.source import AudioSource
from pipeline.errors import UnsupportedAudio

WAV_LIKE = [
    ("a.wav", "WAV", "PCM_16", 16),
    ("a.wav", "WAV", "PCM_U8", 16),
    ("a.wav", "WAV", "PCM_24", 24),
    ("a.wav", "WAV", "PCM_32", 24),
    ("a.wav", "WAV", "FLOAT", 24),
    ("a.wav", "WAV", "DOUBLE", 24),
    ("a.wav", "WAVEX", "PCM_24", 24),
    ("a.wav", "RF64", "PCM_24", 24),
    ("a.w64", "W64", "PCM_16", 16),
    ("a.aiff", "AIFF", "PCM_24", 24),
    ("a.aifc", "AIFF", "FLOAT", 24),
    ("a.caf", "CAF", "PCM_16", 16),
    ("a.au", "AU", "PCM_16", 16),
    ("a.flac", "FLAC", "PCM_16", 16),
    ("a.flac", "FLAC", "PCM_24", 24),
]
TOLERANCE = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23}

BY_FFMPEG = [  # name, options, codec, bits, largest difference (None: lossy), samples missing at the start
    ("a.m4a", ("-c:a", "alac", "-sample_fmt", "s16p"), "alac", 16, 2**-15, 0),
    ("a.m4a", ("-c:a", "alac", "-sample_fmt", "s32p"), "alac", 24, 2**-23, 0),
    ("a.mka", ("-c:a", "flac"), "flac", 24, 2**-23, 0),
    ("a.ogg", ("-c:a", "flac", "-sample_fmt", "s16"), "flac", 16, 2**-15, 0),
    ("a.wv", ("-c:a", "wavpack", "-sample_fmt", "s16p"), "wavpack", 16, 2**-15, 0),
    ("a.mov", ("-c:a", "pcm_s24be"), "pcm_s24be", 24, 2**-23, 0),
    ("a.m4a", ("-c:a", "aac", "-b:a", "192k"), "aac", 16, None, 0),
    ("a.mp4", ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"), "aac", 16, None, -1024),  # nor this
    ("a.aac", ("-c:a", "aac", "-b:a", "192k"), "aac", 16, None, -1024),  # ADTS declares no delay
    ("a.mp3", ("-c:a", "libmp3lame", "-b:a", "192k"), "mp3", 16, None, 0),
    ("a.mp3", ("-c:a", "libmp3lame", "-q:a", "2"), "mp3", 16, None, 0),
    ("a.mp3", ("-c:a", "libmp3lame", "-q:a", "2", "-write_xing", "0"), "mp3", 16, None, -1105),  # nor without a tag
    ("a.mp2", ("-c:a", "mp2", "-b:a", "256k"), "mp2", 16, None, -481),
    ("a.ogg", ("-c:a", "libvorbis", "-q:a", "6"), "vorbis", 16, None, 0),
    ("a.opus", ("-c:a", "libopus", "-b:a", "192k"), "opus", 16, None, 0),
    ("a.webm", ("-c:a", "libopus", "-b:a", "192k"), "opus", 16, None, 0),
    ("a.webm", ("-c:a", "libvorbis", "-q:a", "6"), "vorbis", 16, None, 0),
    # ffmpeg's encoder adds one frame of delay, its decoder drops the two that Microsoft's adds.
    ("a.wma", ("-c:a", "wmav2", "-b:a", "192k"), "wmav2", 16, None, 2048),
    ("a.wav", ("-c:a", "adpcm_ms"), "ms_adpcm", 16, None, 0),
    ("a.wav", ("-c:a", "pcm_mulaw"), "ulaw", 16, None, 0),
    ("a.wav", ("-c:a", "libmp3lame", "-b:a", "192k"), "mp3", 16, None, -1105),
]


def whole(source: AudioSource) -> np.ndarray:
    """All samples, (n, channels), as the raw file has them."""
    raw = np.fromfile(source.path, dtype="<f4")
    assert raw.size == source.n_samples * source.channels
    return raw.reshape(-1, source.channels)


@pytest.mark.parametrize(("name", "kind", "subtype", "bits"), WAV_LIKE)
def test_what_libsndfile_reads_is_exact(
    tmp_path: Path, sweep: Callable[..., np.ndarray], name: str, kind: str, subtype: str, bits: int
) -> None:
    song = sweep()
    path = tmp_path / name
    sf.write(path, song, 44_100, format=kind, subtype=subtype)
    info, source = probe(path), decode(path, tmp_path)
    assert (info.rate_hz, info.channels, info.bits, info.is_lossless) == (44_100, 2, bits, True)
    assert info.duration_s == source.duration_s == 2.0
    assert (source.rate_hz, source.channels, source.n_samples, source.bits) == (44_100, 2, len(song), bits)
    np.testing.assert_allclose(whole(source), song, rtol=0, atol=TOLERANCE.get(subtype, 2**-24))
    np.testing.assert_array_equal(whole(source), sf.read(path, dtype="float32")[0])


@pytest.mark.parametrize(("name", "options", "codec", "bits", "tolerance", "missing"), BY_FFMPEG)
def test_every_coding_keeps_its_place(
    tmp_path: Path,
    encode: Callable[..., Path],
    sweep: Callable[..., np.ndarray],
    name: str,
    options: tuple[str, ...],
    codec: str,
    bits: int,
    tolerance: float | None,
    missing: int,
) -> None:
    song = sweep(48_000)
    path = encode(name, song, 48_000, *options)
    info, source = probe(path), decode(path, tmp_path)
    assert (info.codec, info.rate_hz, info.channels, info.bits) == (codec, 48_000, 2, bits)
    assert info.is_lossless == (tolerance is not None)
    assert (source.rate_hz, source.channels, source.bits) == (48_000, 2, bits)
    decoded = whole(source)
    if tolerance is not None:
        assert source.n_samples == len(song)
        np.testing.assert_allclose(decoded, song, rtol=0, atol=1.01 * tolerance)
        return
    ours, theirs = decoded[max(0, -missing) :], song[max(0, missing) :]
    n = min(len(ours), len(theirs))
    assert n >= 0.97 * len(song)
    assert np.sqrt(np.mean((ours[:n] - theirs[:n]) ** 2)) < 0.06  # a shift by one sample alone makes 0.02 to 0.06
    assert _best_shift(ours[:n, 0], theirs[:n, 0]) == 0


def _best_shift(ours: np.ndarray, theirs: np.ndarray) -> int:
    """By how many samples the first lags the second, where they correlate best."""
    n = len(ours)
    correlation = np.fft.irfft(np.fft.rfft(ours, 2 * n) * np.fft.rfft(theirs, 2 * n).conj())
    at = int(np.argmax(correlation))
    return at if at < n else at - 2 * n


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", ("-c:a", "aac")),
        ("a.mp3", ("-c:a", "libmp3lame")),
        ("a.ogg", ("-c:a", "libvorbis")),
        ("a.opus", ("-c:a", "libopus")),
        ("a.webm", ("-c:a", "libopus")),
    ],
)
def test_declared_delay_and_padding_are_dropped_to_the_sample(
    tmp_path: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray], name: str, options: tuple[str, ...]
) -> None:
    song = sweep(48_000, duration_s=3.7)[:-5]
    assert decode(encode(name, song, 48_000, *options), tmp_path).n_samples == len(song)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rates_and_channels_are_kept(
    tmp_path: Path, sweep: Callable[..., np.ndarray], rate_hz: int, channels: int
) -> None:
    song = sweep(rate_hz, channels, duration_s=0.2)
    path = tmp_path / "a.flac"
    sf.write(path, song, rate_hz, subtype="PCM_24")
    source = decode(path, tmp_path)
    assert (source.rate_hz, source.channels, source.n_samples) == (rate_hz, channels, len(song))
    np.testing.assert_allclose(whole(source), song, rtol=0, atol=2**-23)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_more_channels_are_mixed_down_without_clipping(tmp_path: Path, name: str) -> None:
    tone = 0.9 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    song = np.zeros((44_100, 6), dtype=np.float32)
    song[:, 0] = tone  # front left
    path = tmp_path / name
    sf.write(path, song, 44_100, subtype="PCM_24")
    assert probe(path).channels == 6
    source = decode(path, tmp_path)
    mix = whole(source)
    assert (source.channels, source.n_samples, source.bits) == (2, 44_100, 24)
    gain = mix[:, 0] @ tone / (tone @ tone)
    assert 0.3 < gain <= 1.0
    np.testing.assert_allclose(mix[:, 0], gain * tone, atol=1e-5)
    assert np.abs(mix[:, 1]).max() < 1e-6
    sf.write(path, np.full((44_100, 6), 0.99), 44_100, subtype="PCM_24")
    assert np.abs(whole(decode(path, tmp_path))).max() <= 1.0


def test_the_sound_of_a_video(
    tmp_path: Path, ffmpeg: Callable[..., None], encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    song = sweep()
    wav = encode("a.wav", song, 44_100, "-c:a", "pcm_s16le")
    picture = ("-f", "lavfi", "-i", "testsrc=duration=4:size=64x64")  # which is longer than the sound
    film, silent = tmp_path / "a.mp4", tmp_path / "silent.mp4"
    ffmpeg(*picture, "-i", str(wav), "-c:v", "libx264", "-c:a", "aac", str(film))
    ffmpeg(*picture, "-c:v", "libx264", str(silent))
    assert probe(film).has_video
    source = decode(film, tmp_path)
    assert abs(source.n_samples - len(song)) < 2048
    assert _best_shift(whole(source)[:80_000, 0], song[:80_000, 0]) == 0
    with pytest.raises(Exception, match="There is no sound in this MP4 file"):
        decode(silent, tmp_path)


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.flac"])
def test_cover_art_is_in_nobodys_way(
    tmp_path: Path,
    ffmpeg: Callable[..., None],
    encode: Callable[..., Path],
    sweep: Callable[..., np.ndarray],
    name: str,
) -> None:
    song = sweep()
    wav = encode("a.wav", song, 44_100, "-c:a", "pcm_s16le")
    cover, path = tmp_path / "cover.png", tmp_path / name
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=600x600", "-frames:v", "1", str(cover))
    inputs = ("-i", str(wav), "-i", str(cover), "-map", "0:a", "-map", "1:v")
    ffmpeg(*inputs, "-c:v", "copy", "-disposition:v", "attached_pic", str(path))
    info, source = probe(path), decode(path, tmp_path)
    assert not info.has_video
    assert source.n_samples == len(song)


def test_a_flac_with_tags_at_both_ends_and_no_declared_length(tmp_path: Path, sweep: Callable[..., np.ndarray]) -> None:
    song = sweep()
    path = tmp_path / "a.flac"
    sf.write(path, song, 44_100, subtype="PCM_16")
    flac = path.read_bytes()
    path.write_bytes(b"ID3\x04\0\0\0\0\x02\0" + bytes(256) + flac + b"TAG" + bytes(125))
    assert decode(path, tmp_path).n_samples == len(song)

    streamed = bytearray(flac)  # the low 36 bits of bytes 10-17 of STREAMINFO count the samples
    streamed[21:26] = bytes([streamed[21] & 0xF0, 0, 0, 0, 0])
    path.write_bytes(streamed)
    assert probe(path).duration_s is None
    assert decode(path, tmp_path).n_samples == len(song)


def test_ogg_streams_joined_end_to_end_are_read_to_the_end(
    tmp_path: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    song = sweep()
    path = encode("a.ogg", song, 44_100, "-c:a", "libvorbis")
    path.write_bytes(2 * path.read_bytes())
    assert 0 <= decode(path, tmp_path).n_samples - 2 * len(song) <= 1024  # ffmpeg drops padding of the last alone


def test_ogg_streams_that_are_not_alike_are_refused_rather_than_cut_short(tmp_path: Path) -> None:
    path, parts = tmp_path / "a.ogg", []
    for rate_hz, channels in ((44_100, 2), (44_100, 1), (22_050, 2)):
        sf.write(path, np.zeros((rate_hz, channels)), rate_hz, format="OGG")
        parts.append(path.read_bytes())
    for other in parts[1:]:
        path.write_bytes(parts[0] + other)
        with pytest.raises(UnsupportedAudio, match="of different sample rates or channels"):
            decode(path, tmp_path)


def test_a_variable_bitrate_mp3_without_an_index_is_read_to_the_end(
    tmp_path: Path, encode: Callable[..., Path], sweep: Callable[..., np.ndarray]
) -> None:
    song = sweep(duration_s=10)
    song[: len(song) // 2] *= 1e-4  # quiet first: a length guessed from the first frames is far too long
    path = encode("a.mp3", song, 44_100, "-c:a", "libmp3lame", "-q:a", "2", "-write_xing", "0")
    assert probe(path).duration_s is None
    assert 0 <= decode(path, tmp_path).n_samples - len(song) < 4 * 1152
