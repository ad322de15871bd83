"""The drum network's weights and blocks, and how what it says becomes strokes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import OutOfMemory
from pipeline.models.store import ModelStore
from pipeline.separation.device import DeviceMissing
from pipeline.transcription import drum_network
from pipeline.transcription.drum_classes import CLASSES, FAMILIES, KEYS, tom_class
from pipeline.transcription.drum_decoding import strokes
from pipeline.transcription.drum_features import FINE, FLOOR
from pipeline.transcription.drum_network import REACH, WEIGHTS_PATH, DrumNetwork, Heard, hear, load_network
from pipeline.transcription.routing import Networks

HATS = list(FAMILIES).index("hi-hat")


def noisy_levels(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    levels = rng.uniform(FLOOR, 0.0, (n_frames, FINE.count)).astype(np.float32)
    return levels, rng.uniform(-1.0, 0.5, FINE.count).astype(np.float32)


def test_blocks_hear_what_the_whole_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (levels, profile) = load_network(torch.device("cpu")), noisy_levels(400)
    whole = hear(network, levels, profile)
    monkeypatch.setattr(drum_network, "FRAMES_PER_BLOCK", 130)
    told: list[float] = []
    for one, other in zip(whole, hear(network, levels, profile, told.append), strict=True):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=1e-4)
    assert told == [0.0, 130 / 400, 260 / 400, 390 / 400]


def cramped(network: DrumNetwork, room: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames of all blocks that are tried from now on; only those of ``room`` frames fit."""
    tried: list[int] = []
    forward = network.forward

    def run(levels: torch.Tensor, profile: torch.Tensor) -> Heard:
        tried.append(levels.shape[1] - 2 * REACH)
        if tried[-1] > room:
            raise torch.OutOfMemoryError("full")
        return forward(levels, profile)

    monkeypatch.setattr(network, "forward", run)
    return tried


def test_blocks_that_do_not_fit_the_device_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (levels, profile) = load_network(torch.device("cpu")), noisy_levels(1700)
    expected = hear(network, levels, profile)
    tried = cramped(network, 500, monkeypatch)
    told: list[float] = []
    for one, other in zip(expected, hear(network, levels, profile, told.append), strict=True):
        assert np.allclose(one, other, atol=1e-4)
    assert tried == [1700, 850, 425, 425, 425, 425]
    assert told == sorted(told)


def test_a_device_too_small_for_a_few_seconds_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (levels, profile) = load_network(torch.device("cpu")), noisy_levels(1700)
    tried = cramped(network, 0, monkeypatch)
    with pytest.raises(OutOfMemory, match="not enough free memory to hear drums"):
        hear(network, levels, profile)
    assert tried == [1700, 850, 425]


def test_the_weights_are_small_and_every_class_has_a_key() -> None:
    assert WEIGHTS_PATH.stat().st_size < 2_000_000
    assert set(KEYS) == set(CLASSES)
    assert [tom_class(hz) for hz in (80.0, 125.0, 180.0)] == ["low tom", "mid tom", "high tom"]


def test_a_peak_is_a_stroke_of_the_likeliest_class_between_frames() -> None:
    onset, velocity = np.zeros((100, len(FAMILIES)), np.float32), np.full((100, len(FAMILIES)), 0.4, np.float32)
    kinds = np.zeros((100, len(CLASSES)), np.float32)
    onset[49:52, HATS] = (0.3, 0.9, 0.7)
    onset[80, HATS] = 0.59  # below the threshold
    kinds[:, CLASSES.index("open hat")] = 1.0
    kinds[:, CLASSES.index("ride")] = 5.0  # of another family
    (stroke,) = strokes(onset, velocity, kinds, 0.6)
    assert stroke.name == "open hat"
    assert 0.5 < stroke.time_s < 0.51
    assert stroke.velocity == pytest.approx(0.4)


def test_the_network_is_loaded_once_and_not_on_a_device_that_is_not_there(tmp_path: Path) -> None:
    networks = Networks(ModelStore(tmp_path), "cpu")
    assert networks.drums is networks.drums
    with pytest.raises(DeviceMissing):
        _ = Networks(ModelStore(tmp_path), "abacus").drums
