"""Changing the rate keeps phase, level and length, however the audio is cut into blocks."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.resample import StreamResampler, resample, resampled_length
from pipeline.audio.source import AudioSource


def through(samples: np.ndarray, in_rate_hz: int, out_rate_hz: int, n_out: int, block: int = 10_007) -> np.ndarray:
    resampler = StreamResampler(in_rate_hz, out_rate_hz, samples.shape[0], n_out)
    pieces = [resampler.push(samples[:, at : at + block]) for at in range(0, samples.shape[1], block)]
    return np.concatenate([*pieces, resampler.finish()], axis=1)


def sine(frequency_hz: float, rate_hz: int, n: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(n) / rate_hz)[None].astype(np.float32)


def stored(samples: np.ndarray, rate_hz: int, folder: Path, bits: int = 16) -> AudioSource:
    path = folder / "in.f32"
    path.write_bytes(np.ascontiguousarray(samples.T).astype("<f4").tobytes())
    return AudioSource(path, rate_hz, samples.shape[0], samples.shape[1], bits)


def test_there_and_back_keeps_phase_and_length() -> None:
    there = sine(1000, 48_000, 96_001)
    n = resampled_length(96_001, 48_000, 44_100)
    assert n == 88_201
    halfway = through(there, 48_000, 44_100, n)
    back = through(halfway, 44_100, 48_000, 96_001)
    assert halfway.shape == (1, 88_201)
    assert back.shape == there.shape
    inner = slice(1000, -1000)  # at its ends the sine begins and stops, which no band-limited signal does
    np.testing.assert_allclose(halfway[0, inner], sine(1000, 44_100, n)[0, inner], atol=2e-6)
    np.testing.assert_allclose(back[0, inner], there[0, inner], atol=4e-6)
    assert np.abs(back - there).max() < 0.02


def test_high_frequencies_keep_their_level_and_those_beyond_the_new_limit_vanish() -> None:
    kept = through(sine(18_000, 48_000, 96_000), 48_000, 44_100, 88_200)
    assert np.abs(kept[0, 5000:-5000]).max() == pytest.approx(1.0, abs=0.001)
    gone = through(sine(23_500, 48_000, 96_000), 48_000, 44_100, 88_200)
    assert np.abs(gone[0, 5000:-5000]).max() < 1e-5


@pytest.mark.parametrize("block", [1, 1000, 44_100])
def test_blocks_make_no_difference(block: int) -> None:
    song = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    whole = through(song, 44_100, 48_000, 5443, block=5000)
    np.testing.assert_allclose(through(song, 44_100, 48_000, 5443, block=block), whole, atol=1e-6)


@pytest.mark.parametrize("in_rate_hz", [4000, 8000, 11_025, 44_101, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("n", [0, 1, 2, 999, 50_003])
def test_lengths_are_exact(in_rate_hz: int, n: int) -> None:
    song = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    n_out = resampled_length(n, in_rate_hz, 44_100)
    assert n_out == int(np.ceil(n * 44_100 / in_rate_hz))
    there = through(song, in_rate_hz, 44_100, n_out)
    assert there.shape == (2, n_out)
    assert through(there, 44_100, in_rate_hz, n).shape == (2, n)


@pytest.mark.parametrize("out_rate_hz", [44_100, 48_000])
def test_what_is_too_long_is_cut_and_what_is_missing_is_zero(out_rate_hz: int) -> None:
    song = np.ones((1, 44_100), dtype=np.float32)
    assert through(song, 44_100, out_rate_hz, 100).shape == (1, 100)
    padded = through(song, 44_100, out_rate_hz, 60_000)
    assert padded.shape == (1, 60_000)
    assert not padded[0, out_rate_hz + 1 :].any()


def test_a_source_is_resampled_on_disk(tmp_path: Path) -> None:
    song = np.concatenate([sine(440, 96_000, 300_001), sine(660, 96_000, 300_001)])
    source = stored(song, 96_000, tmp_path, bits=24)
    made = resample(source, 44_100, tmp_path)
    assert (made.rate_hz, made.channels, made.n_samples, made.bits) == (44_100, 2, 137_813, 24)
    assert made.path.stat().st_size == 137_813 * 8
    assert made.path != source.path
    read = made.read(0, made.n_samples)
    for channel, frequency_hz in enumerate((440, 660)):
        expected = sine(frequency_hz, 44_100, 137_813)[0]
        np.testing.assert_allclose(read[channel, 1000:-1000], expected[1000:-1000], atol=2e-6)


def test_the_same_rate_is_the_same_source(tmp_path: Path) -> None:
    source = stored(sine(440, 44_100, 100), 44_100, tmp_path)
    assert resample(source, 44_100, tmp_path) is source


def test_one_sample_stays_audio(tmp_path: Path) -> None:
    made = resample(stored(np.ones((1, 1), dtype=np.float32), 192_000, tmp_path), 44_100, tmp_path)
    assert made.n_samples == 1
    assert made.read(0, 1).shape == (1, 1)
