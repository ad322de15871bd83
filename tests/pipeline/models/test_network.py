"""Networks from files: a small one with six stems made here, and the real one."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs

from pipeline.errors import ModelError, ModelMissing, UnknownModel
from pipeline.models.catalogue import CATALOGUE, WeightFile
from pipeline.models.network import build_separation_model, load_network, load_separation_model
from pipeline.models.store import ModelStore
from pipeline.models.tensors import write_safetensors

SIX = ["drums", "bass", "other", "vocals", "guitar", "piano"]
KWARGS = {"sources": SIX, "channels": 8, "t_layers": 1, "t_heads": 2, "samplerate": 22_050, "segment": Fraction(2, 5)}


def write_network(
    path: Path, klass: str = "demucs.htdemucs.HTDemucs", leave_out: str = "", **changes: object
) -> HTDemucs:
    """Save a random network as demucs does; returns it, rounded to what the file holds."""
    kwargs = KWARGS | changes
    network = HTDemucs(**kwargs)
    state = {name: value.numpy().astype(np.float16) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    segment = kwargs["segment"]
    written = kwargs | {
        "segment": {"_type": "fraction", "numerator": segment.numerator, "denominator": segment.denominator},
        "an_option_of_a_later_demucs": True,
    }
    metadata = {"klass": klass, "args": "[]", "kwargs": json.dumps(written)}
    write_safetensors(path, {name: value for name, value in state.items() if name != leave_out}, metadata)
    return network.eval()


def test_the_stems_come_from_the_model(tmp_path):
    path = tmp_path / "six.safetensors"
    expected = write_network(path)

    model = build_separation_model("six", [path])

    assert model.name == "six"
    assert model.sources == tuple(SIX)
    assert (model.rate_hz, model.channels, model.segment_samples) == (22_050, 2, 8820)
    assert model.weights == ((1.0,) * 6,)
    (network,) = model.networks
    assert not network.training
    assert {(value.dtype, value.requires_grad) for value in network.parameters()} == {(torch.float32, False)}
    mix = torch.randn(1, 2, model.segment_samples, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        stems = network(mix)
        assert stems.shape == (1, 6, 2, model.segment_samples)
        assert torch.equal(stems, expected(mix))


def test_a_bag_keeps_its_networks_and_weights_in_order(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    write_network(paths[0])
    write_network(paths[1], segment=Fraction(1, 5))
    weights = ((1.0, 0.0, 0.0, 0.0, 0.0, 0.5), (0.0, 1.0, 1.0, 1.0, 1.0, 0.5))
    model = build_separation_model("bag", paths, weights)
    assert model.weights == weights
    assert len(model.networks) == 2
    assert model.segment_samples == 4410
    with pytest.raises(ModelError, match="do not fit 2 networks of 6 stems"):
        build_separation_model("bag", paths, weights[:1])


def test_networks_of_different_stems_are_no_bag(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    write_network(paths[0])
    write_network(paths[1], sources=SIX[:4])
    with pytest.raises(ModelError, match="differ in their stems"):
        build_separation_model("bag", paths)


def test_only_one_class_is_ever_built(tmp_path):
    path = tmp_path / "evil"
    write_network(path, klass="subprocess.Popen")
    with pytest.raises(ModelError, match=r"holds a subprocess.Popen, not a demucs.htdemucs.HTDemucs"):
        load_network(path)


def test_every_tensor_must_be_there(tmp_path):
    path = tmp_path / "part"
    write_network(path, leave_out="decoder.0.conv_tr.bias")
    with pytest.raises(ModelError, match=r"decoder\.0\.conv_tr\.bias"):
        load_network(path)


def test_what_is_no_safetensors_file_is_named(tmp_path):
    path = tmp_path / "text"
    path.write_text("no weights in here")
    with pytest.raises(ModelError, match=f"{path} cannot be read as safetensors"):
        load_network(path)


def test_loading_by_name_asks_the_store(tmp_path):
    folder = tmp_path / "htdemucs"
    folder.mkdir()
    write_network(folder / "small.safetensors")
    size_bytes = (folder / "small.safetensors").stat().st_size
    entry = replace(CATALOGUE["htdemucs"], files=(WeightFile("small.safetensors", size_bytes, "unchecked here"),))
    store = ModelStore(tmp_path, {**CATALOGUE, "htdemucs": entry})

    assert load_separation_model("htdemucs", store).sources == tuple(SIX)
    with pytest.raises(ModelMissing, match="models pull htdemucs_6s"):
        load_separation_model("htdemucs_6s", store)
    with pytest.raises(UnknownModel, match="'basic-pitch' does not separate; those that do are htdemucs, htdemucs_6s"):
        load_separation_model("basic-pitch", store)


@pytest.mark.weights
def test_htdemucs_is_what_demucs_own_loader_makes_of_the_file(model_store):
    model = load_separation_model("htdemucs", model_store)
    assert model.sources == ("drums", "bass", "other", "vocals")
    assert (model.rate_hz, model.channels, model.segment_samples) == (44_100, 2, 343_980)
    expected = load_safetensors_model(model_store.require("htdemucs")[0]).state_dict()
    found = model.networks[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value.float()) for name, value in expected.items())
