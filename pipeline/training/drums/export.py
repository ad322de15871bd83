"""A trained drum network to the weights that ship."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.tensors import write_safetensors
from pipeline.transcription.drum_network import DrumNetwork


def fused(network: DrumNetwork) -> DrumNetwork:
    """The same network with every normalisation made part of the convolution before it."""
    simple = DrumNetwork(fused=True)
    state = {name: values for name, values in network.state_dict().items() if ".norm." not in name}
    for name, layer in network.named_modules():
        norm = getattr(layer, "norm", None)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            weight, bias = _fused(layer.get_submodule("convolution"), norm)
            state[f"{name}.convolution.weight"], state[f"{name}.convolution.bias"] = weight, bias
    simple.load_state_dict(state)
    return simple.eval()


def _fused(convolution: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    state, normal = convolution.state_dict(), norm.state_dict()
    scale = normal["weight"] / torch.sqrt(normal["running_var"] + norm.eps)
    weight = state["weight"] * scale.reshape(-1, *[1] * (state["weight"].dim() - 1))
    return weight, (state["bias"] - normal["running_mean"]) * scale + normal["bias"]


def export(network: DrumNetwork, path: Path) -> None:
    """Writes the fused weights in half precision; the same network gives the same bytes."""
    tensors = {name: values.cpu().numpy().astype(np.float16) for name, values in fused(network).state_dict().items()}
    write_safetensors(path, tensors, {"format": "pt", "network": "drums"})
