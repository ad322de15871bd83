"""The pitch tracker against its package, and on tones of known pitch."""

from pathlib import Path

import numpy as np
import pytest
import swift_f0

from pipeline.errors import ModelError
from pipeline.models.store import ModelStore
from pipeline.transcription import sessions
from pipeline.transcription.pitch_track import CHUNK_FRAMES, HOP_SAMPLES, RATE_HZ, PitchNetwork


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> PitchNetwork:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    (path,) = store.pull("swift-f0")
    return PitchNetwork(path)


def tone(hz: np.ndarray, rate_hz: int) -> np.ndarray:
    """Five falling partials over a little noise."""
    phase = 2 * np.pi * np.cumsum(hz) / rate_hz
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(hz))
    return (sum(0.2 / k * np.sin(k * phase) for k in range(1, 6)) + noise).astype(np.float32)


def wandering(duration_s: float, rate_hz: int) -> np.ndarray:
    """An octave down and up every ten seconds, round 220 Hz."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return 220 * 2 ** (np.sin(2 * np.pi * time_s / 10) / 2)


@pytest.mark.weights
def test_it_is_what_the_package_gives(network):
    samples = tone(wandering(70, RATE_HZ), RATE_HZ)
    assert len(samples) > 2 * CHUNK_FRAMES * HOP_SAMPLES
    ours, theirs = network.track(samples, RATE_HZ), swift_f0.SwiftF0(threads=1).detect(samples, RATE_HZ)
    n_frames = len(theirs.pitch_hz)
    assert n_frames == len(ours.midi)
    np.testing.assert_allclose(ours.times_s, theirs.timestamps, atol=1e-9)
    np.testing.assert_allclose(440 * 2 ** ((ours.midi - 69) / 12), theirs.pitch_hz, rtol=1e-4)
    np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=1e-4)


@pytest.mark.weights
@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
def test_pitch_is_followed_at_its_time(network, rate_hz):
    hz = wandering(12, rate_hz)
    track = network.track(tone(hz, rate_hz), rate_hz)
    inner = slice(20, -20)
    true = 69 + 12 * np.log2(np.interp(track.times_s, np.arange(len(hz)) / rate_hz, hz) / 440)
    assert np.abs(track.midi - true)[inner].max() < 0.25
    assert track.confidence[inner].min() > 0.8


@pytest.mark.weights
def test_an_octave_up_hears_the_lowest_string(network):
    low_e_hz = np.full(4 * 44_100, 41.2)
    plain = network.track(tone(low_e_hz, 44_100), 44_100)
    up = network.track(tone(low_e_hz, 44_100), 44_100, octaves_up=1)
    assert np.abs(plain.midi[20:-20] - 28).min() > 1
    np.testing.assert_allclose(up.midi[10:-10], 28, atol=0.25)
    assert up.confidence[10:-10].min() > 0.8
    np.testing.assert_allclose(np.diff(up.times_s), 0.032)


@pytest.mark.weights
def test_the_number_of_threads_changes_nothing(network, monkeypatch):
    samples = tone(wandering(65, RATE_HZ), RATE_HZ)
    many = network.track(samples, RATE_HZ)
    monkeypatch.setattr(sessions, "usable_cpus", lambda: 1)
    one = network.track(samples, RATE_HZ)
    np.testing.assert_array_equal(many.midi, one.midi)
    np.testing.assert_array_equal(many.confidence, one.confidence)


@pytest.mark.weights
@pytest.mark.parametrize("n_samples", [0, 1, HOP_SAMPLES, HOP_SAMPLES + 1, 3 * RATE_HZ])
def test_silence_has_no_voice(network, n_samples):
    track = network.track(np.zeros(n_samples, dtype=np.float32), RATE_HZ)
    assert len(track.times_s) == len(track.midi) == len(track.confidence) == -(-n_samples // HOP_SAMPLES)
    assert not track.confidence.any()


@pytest.mark.weights
def test_progress_is_told(network):
    seen = []
    network.track(tone(wandering(65, RATE_HZ), RATE_HZ), RATE_HZ, seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1], len(seen)) == (0.0, 1.0, 8)


def test_a_damaged_file_is_named(tmp_path):
    damaged = Path(tmp_path / "model.onnx")
    damaged.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
        PitchNetwork(damaged)
