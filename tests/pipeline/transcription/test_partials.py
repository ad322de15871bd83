import numpy as np
import pytest

from pipeline.transcription.partials import FLOOR_DB, HOP_SAMPLES, LOWEST_BAND, N_BANDS, RATE_HZ, band_levels


def sine(pitch: float, duration_s: float, amplitude: float = 1.0) -> np.ndarray:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time_s)).astype(np.float32)


@pytest.mark.parametrize("pitch", [21, 33, 39, 40, 52, 63, 64, 76, 87, 88, 100, 112, 124])
def test_a_sine_is_loudest_in_its_own_band_and_reads_about_its_level(pitch):
    levels = band_levels(sine(pitch, 2.0, amplitude=0.1))
    middle = levels[len(levels) // 2]
    assert middle.argmax() + LOWEST_BAND == pitch
    assert middle.max() == pytest.approx(-20.0, abs=2.0)


@pytest.mark.parametrize("pitch", [45, 57, 69, 81, 93])
def test_a_tone_between_two_tones_apart_is_told_from_both(pitch):
    levels = band_levels(sine(pitch, 1.0) + sine(pitch + 4, 1.0))
    middle = levels[len(levels) // 2]
    assert middle[pitch - LOWEST_BAND + 2] < middle[pitch - LOWEST_BAND] - 12
    assert middle[pitch - LOWEST_BAND + 2] < middle[pitch + 4 - LOWEST_BAND] - 12


@pytest.mark.parametrize(("pitch", "spread_s"), [(33, 0.2), (57, 0.1), (69, 0.05), (93, 0.03)])
def test_a_start_shows_at_its_frame(pitch, spread_s):
    onset_s = 1.0
    silence = np.zeros(round(onset_s * RATE_HZ), dtype=np.float32)
    levels = band_levels(np.concatenate([silence, sine(pitch, 1.0)]))[:, pitch - LOWEST_BAND]
    half = np.argmax(levels >= -6.0) * HOP_SAMPLES / RATE_HZ  # a window half full of the tone
    assert half == pytest.approx(onset_s, abs=0.02)
    before = round((onset_s - spread_s) * RATE_HZ / HOP_SAMPLES)
    assert levels[:before].max() < -45.0


@pytest.mark.parametrize("n_samples", [0, 1, 255, 256, 257, 3 * RATE_HZ + 7, 2048 * HOP_SAMPLES + 1])
def test_as_many_frames_as_start_inside_the_audio_none_below_the_floor(n_samples):
    levels = band_levels(np.zeros(n_samples, dtype=np.float32))
    assert levels.shape == (-(-n_samples // HOP_SAMPLES), N_BANDS)
    assert levels.dtype == np.float32
    assert np.all(levels == FLOOR_DB)


def test_blocks_leave_no_seam(monkeypatch):
    noise = np.random.default_rng(0).standard_normal(5 * RATE_HZ).astype(np.float32) * 0.1
    whole = band_levels(noise)
    monkeypatch.setattr("pipeline.transcription.partials.FRAMES_PER_BLOCK", 37)
    np.testing.assert_allclose(band_levels(noise), whole, atol=0.01)


def test_progress_goes_from_nothing_to_all():
    told: list[float] = []
    band_levels(np.zeros(RATE_HZ, dtype=np.float32), told.append)
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)
