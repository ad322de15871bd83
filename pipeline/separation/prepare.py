"""A trained network made ready to run: layers that cost less in place of some, and weights in the precision they run in."""

import copy
import itertools

import torch
from demucs.demucs import DConv
from demucs.transformer import MyGroupNorm
from torch import nn

from pipeline.separation.fast_layers import Attention, ResidualBranch, TokenNorm

# What a bfloat16 unit multiplies.  Norms, embeddings and the Fourier transforms stay in float32.
_MULTIPLYING = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


def prepare(network: nn.Module, device: torch.device, *, bf16: bool) -> nn.Module:
    """A copy of a network for inference on ``device``; it shares what it does not change with the original.

    Args:
        network: as :func:`pipeline.models.network.load_network` gives it; left as it is.
        device: where it will run.
        bf16: keep the weights of convolutions and linear layers in bfloat16, for use under autocast: cast once here,
            not again in every call.
    """
    tensors = itertools.chain(network.parameters(), network.buffers())
    prepared = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for module in list(prepared.modules()):
        for name, child in list(module.named_children()):
            if (replacement := _replacement(child)) is not None:
                setattr(module, name, replacement)
    if bf16:
        for module in prepared.modules():
            if isinstance(module, _MULTIPLYING):
                for name, parameter in list(module.named_parameters(recurse=False)):
                    setattr(module, name, nn.Parameter(parameter.to(torch.bfloat16), requires_grad=False))
    return prepared.to(device).eval().requires_grad_(False)


def _replacement(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, nn.MultiheadAttention):
        return Attention(layer)
    if isinstance(layer, DConv):
        return ResidualBranch(layer)
    if isinstance(layer, MyGroupNorm):
        return TokenNorm(layer)
    return None
