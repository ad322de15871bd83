"""What tells a singer from an instrument."""

import numpy as np
import pytest

from pipeline.models.store import ModelStore
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.voice_likeness import FEATURES, NEUTRAL, log_odds, voice_features
from support.voices import organ_tune, singer

RATE_HZ = 44_100
WINDOWS_S = np.array([[0.0, 8.0], [4.0, 12.0]])


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> PitchNetwork:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.pull("swift-f0")
    return PitchNetwork(*store.require("swift-f0"))


def features(samples, network: PitchNetwork) -> dict[str, np.ndarray]:
    found = voice_features(np.asarray(samples, dtype=np.float32), RATE_HZ, WINDOWS_S, network)
    assert found.shape == (len(WINDOWS_S), len(FEATURES))
    return dict(zip(FEATURES, found.T, strict=True))


def test_a_singer_hisses_changes_vowels_and_is_never_still(network):
    sung, played = (features(make(12, RATE_HZ), network) for make in (singer, organ_tune))
    for name in ("hiss", "timbre", "moving", "speed", "width"):
        assert (sung[name] > played[name]).all(), name
    assert (played["grid"] > 0.98).all()
    assert (sung["grid"] < 0.9).all()


def test_a_grid_may_lie_anywhere(network):
    """A recording that is a quarter tone flat is no voice."""
    played = organ_tune(12, RATE_HZ)
    flat = np.interp(np.arange(len(played)) * 2 ** (-0.5 / 12), np.arange(len(played)), played)
    assert (features(flat, network)["grid"] > 0.95).all()


@pytest.mark.parametrize("level", [1.0, 0.03])
def test_the_level_does_not_matter(network, level):
    for make, voice in ((singer, True), (organ_tune, False)):
        samples = np.asarray(level * make(12, RATE_HZ), dtype=np.float32)
        odds = log_odds(voice_features(samples, RATE_HZ, WINDOWS_S, network))
        assert ((odds > 2.0) == voice).all()
        assert ((odds < -2.0) != voice).all()


def test_where_there_is_no_pitch_the_features_of_pitch_are_neutral(network):
    silence = features(np.zeros(12 * RATE_HZ), network)
    for name, neutral in list(zip(FEATURES, NEUTRAL, strict=True))[2:]:
        assert (silence[name] == neutral).all(), name


@pytest.mark.parametrize("start_s", [11.999, 12.0, 13.0])
def test_a_window_of_nothing_is_neutral(network, start_s):
    """Windows are cut by another clock than the frames, so the last one may be a few samples, or none."""
    samples = np.asarray(singer(12, RATE_HZ), dtype=np.float32)
    (found,) = voice_features(samples, RATE_HZ, np.array([[start_s, start_s + 8]]), network)
    np.testing.assert_array_equal(found[1:], NEUTRAL[1:])
