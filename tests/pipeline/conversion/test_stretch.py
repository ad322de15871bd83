"""Another speed, the same pitch: how long, when, how high, how clean."""

import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.conversion.stretch import MAX_TEMPO, MIN_TEMPO, Stretcher

RATE_HZ = 44_100
TEMPI = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)

Audio = NDArray[np.float32]


def stretched(audio: Audio, tempo: float, *, rate_hz: int = RATE_HZ, blocks: Iterable[int] = ()) -> Audio:
    """All of the audio at another speed, pushed in blocks of these lengths, the rest at once."""
    stretcher = Stretcher(rate_hz, audio.shape[0], tempo)
    parts, at = [], 0
    for n in (*blocks, audio.shape[1]):
        parts.append(stretcher.push(audio[:, at : at + n]))
        at += n
    parts.append(stretcher.finish())
    assert all(part.dtype == np.float32 for part in parts)
    return np.concatenate(parts, axis=1)


def sines(*hz: float, length_s: float = 4.0, rate_hz: int = RATE_HZ) -> Audio:
    at_s = np.arange(round(length_s * rate_hz)) / rate_hz
    return (sum(np.sin(2 * np.pi * one * at_s + one) for one in hz) * 0.5 / len(hz)).astype(np.float32)[None]


def steady(audio: Audio, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    """Its first channel without the beginning and the end, at most two seconds."""
    edge = min(audio.shape[1] // 4, rate_hz // 2)
    return audio[0, edge : audio.shape[1] - edge][: 2 * rate_hz].astype(np.float64)


def sine_to_rest_db(sound: NDArray[np.float64], *hz: float, rate_hz: int = RATE_HZ) -> float:
    """How much louder these sines, fitted, are than all else."""
    at = 2 * np.pi * np.arange(len(sound)) / rate_hz
    basis = np.stack([turn(one * at) for one in hz for turn in (np.sin, np.cos)], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, sound, rcond=None)[0]
    return float(10 * np.log10((fitted**2).sum() / ((sound - fitted) ** 2).sum()))


def bursts(at_s: Iterable[float], length_s: float, rate_hz: int = RATE_HZ) -> Audio:
    """Drums: noise that starts at once and fades within a tenth of a second."""
    rng = np.random.default_rng(3)
    audio = np.zeros((1, round(length_s * rate_hz)), dtype=np.float32)
    n = rate_hz // 5
    for one in at_s:
        start = round(one * rate_hz)
        audio[0, start : start + n] += 0.4 * rng.uniform(-1, 1, n) * np.exp(-np.arange(n) / (0.03 * rate_hz))
    return audio


@pytest.mark.parametrize("tempo", TEMPI)
@pytest.mark.parametrize("n", [0, 1, 1000, 44_101, 200_003])
def test_it_has_exactly_the_length(n: int, tempo: float) -> None:
    audio = np.random.default_rng(0).uniform(-0.1, 0.1, (2, n)).astype(np.float32)
    assert stretched(audio, tempo).shape == (2, round(n / tempo))


@pytest.mark.parametrize("tempo", [0.25, 0.93, 4.0])
def test_the_same_samples_however_it_is_cut(tempo: float) -> None:
    audio = (bursts((0.5, 1.1, 1.9), 6.0) + sines(220, 331, length_s=6.0)).repeat(2, axis=0)
    whole = stretched(audio, tempo)
    for blocks in ((1, 2, 3, 70_000, 65_536), [4096] * 60, [0, 131_072, 0]):
        assert np.array_equal(stretched(audio, tempo, blocks=blocks), whole)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("tempo", TEMPI)
def test_clicks_come_when_they_should(tempo: float, rate_hz: int) -> None:
    at_s = np.array([0.31, 0.9, 1.5, 2.2, 2.777])
    audio = np.zeros((1, 3 * rate_hz), dtype=np.float32)
    audio[0, np.round(at_s * rate_hz).astype(int)] = 0.9
    heard = np.abs(stretched(audio, tempo, rate_hz=rate_hz)[0])
    for one in at_s / tempo:
        near = slice(round((one - 0.1 / tempo) * rate_hz), round((one + 0.1 / tempo) * rate_hz))
        assert (near.start + np.argmax(heard[near])) / rate_hz == pytest.approx(one, abs=0.002)
        assert heard[near].max() > 0.8  # whole, and not smeared
        assert (heard[near] > 0.1).sum() == 1  # and once


@pytest.mark.parametrize("tempo", TEMPI)
def test_attacks_stay_sharp_among_tones(tempo: float) -> None:
    at_s = np.arange(0.5, 5.5, 0.25)
    heard = stretched(bursts(at_s, 6.0) + sines(196, 247, 294, length_s=6.0), tempo)[0]
    high = np.diff(heard, n=2)  # without the tones
    for one in at_s / tempo:
        at = round(one * RATE_HZ)
        before, after = high[at - 660 : at - 130], high[at : at + 660]  # 15 ms to 3 ms before, 15 ms after
        assert 10 * np.log10((before**2).mean() / (after**2).mean()) < -13


@pytest.mark.parametrize("tempo", TEMPI)
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 96_000])
def test_pitch_is_kept_to_a_cent(tempo: float, rate_hz: int) -> None:
    sound = steady(stretched(sines(440.0, rate_hz=rate_hz), tempo, rate_hz=rate_hz), rate_hz)
    assert sine_to_rest_db(sound, 440.0, rate_hz=rate_hz) > 60
    # A cent is 0.25 Hz: over the length of the sound, such a sine would no longer fit.
    off = 440.0 * 2 ** (1 / 1200)
    assert sine_to_rest_db(sound, off, rate_hz=rate_hz) < 20


@pytest.mark.parametrize("tempo", TEMPI)
def test_chords_stay_clean(tempo: float) -> None:
    hz = [110 * 2 ** (semitone / 12) for semitone in (0, 7, 12, 16, 19, 24, 28, 31)]
    assert sine_to_rest_db(steady(stretched(sines(*hz), tempo)), *hz) > 30


@pytest.mark.parametrize("tempo", TEMPI)
def test_what_lasts_is_at_the_right_time(tempo: float) -> None:
    """A tone that slides up an octave in four seconds is as high as it should be at each moment."""
    at_s = np.arange(4 * RATE_HZ) / RATE_HZ
    phase = np.cumsum(300 * 2 ** (at_s / 4)) / RATE_HZ
    heard = stretched((0.5 * np.sin(2 * np.pi * phase)).astype(np.float32)[None], tempo)[0]
    crossings = np.flatnonzero((heard[:-1] < 0) & (heard[1:] >= 0))
    hz = 20 * RATE_HZ / (crossings[20:] - crossings[:-20])
    moments_s = (crossings[20:] + crossings[:-20]) / 2 / RATE_HZ * tempo  # in the input
    inner = (moments_s > 0.3) & (moments_s < 3.7)
    off_s = 4 * np.log2(hz[inner] / 300) - moments_s[inner]
    # A pitch that changes is that of half a hop (12 ms) before or after.
    assert abs(off_s.mean()) < 0.012 * max(1.0, tempo)
    assert np.abs(off_s - off_s.mean()).max() < 0.02


@pytest.mark.parametrize("tempo", TEMPI)
def test_the_channels_stay_together(tempo: float) -> None:
    """Noise from the left, 8 samples later from the right: neither spreads; and one side alone stays there."""
    noise = np.random.default_rng(1).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32)
    heard = stretched(np.stack([noise, np.roll(noise, 8)]), tempo)
    left, right = (np.fft.rfft(channel[RATE_HZ // 4 : -RATE_HZ // 4]) for channel in heard)
    alike = np.fft.irfft(right * left.conj() / np.abs(right * left))
    assert np.argmax(alike) == 8
    assert alike[8] > 0.95
    one_side = stretched(np.stack([noise, np.zeros_like(noise)]), tempo)
    assert np.abs(one_side[1]).max() == 0.0
    assert one_side[0].std() == pytest.approx(noise.std(), rel=0.25)  # noise loses up to 2 dB


def test_silence_stays_silent_and_loudness_is_kept() -> None:
    assert np.abs(stretched(np.zeros((2, 100_000), dtype=np.float32), 0.7)).max() == 0.0
    tone = stretched(sines(440.0), 0.7)
    assert steady(tone).std() == pytest.approx(steady(sines(440.0)).std(), rel=0.001)


@pytest.mark.parametrize("tempo", [MIN_TEMPO / 1.01, MAX_TEMPO * 1.01, 0.0, -1.0, float("nan"), float("inf")])
def test_a_tempo_out_of_range_is_refused(tempo: float) -> None:
    with pytest.raises(ValueError, match=r"tempo is .*; it must be from 0\.25 to 4"):
        Stretcher(RATE_HZ, 2, tempo)


@pytest.mark.parametrize("tempo", [0.25, 4.0])
def test_memory_does_not_grow(tempo: float) -> None:
    """Seven minutes take no more than the first one did."""
    stretcher = Stretcher(8_000, 1, tempo)
    block = np.random.default_rng(2).uniform(-0.1, 0.1, (1, 80_000)).astype(np.float32)

    def peak_bytes(n_blocks: int) -> int:
        tracemalloc.reset_peak()
        for _ in range(n_blocks):
            stretcher.push(block)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        first = peak_bytes(6)
        assert peak_bytes(36) < 1.1 * first
    finally:
        tracemalloc.stop()
