"""Starting a wider network from a narrower one, which it equals at first (after Chen, Goodfellow and Shlens, "Net2Net:
accelerating learning via knowledge transfer", ICLR 2016; but new channels are fresh, not copies)."""

import torch
from torch import Tensor

from pipeline.transcription.note_network import NoteNetwork, Size

_FIRST = "first.0.weight"
_SURROUNDINGS = "surroundings.mix.weight"  # it sees every channel twice, means first


def widened(weights: dict[str, Tensor], size: Size, seed: int = 0) -> dict[str, Tensor]:
    """The weights of a network of this size that hears what the narrower one of these weights hears.

    Channels that are new see all others, and begin as those of any training; nothing old listens to them yet.

    Args:
        weights: of a :class:`NoteNetwork` whose size differs in its width alone.
        size: at least as wide.
        seed: of the new channels.

    Raises:
        ValueError: no such network can be made of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = NoteNetwork(size).state_dict()
    if fresh.keys() != weights.keys() or fresh[_FIRST].shape != weights[_FIRST].shape:
        raise ValueError("they are of a network of other layers")
    return {name: _widened(weights[name], value, halves=name == _SURROUNDINGS) for name, value in fresh.items()}


def _widened(old: Tensor, new: Tensor, *, halves: bool) -> Tensor:
    """The new tensor with the old one in its corner, and zeros for what old outputs make of new inputs."""
    if old.shape[2:] != new.shape[2:] or any(was > now for was, now in zip(old.shape, new.shape, strict=True)):
        raise ValueError(f"{tuple(old.shape)} does not fit into {tuple(new.shape)}")
    if old.dim() < 2:
        new[tuple(slice(length) for length in old.shape)] = old
        return new
    new[: len(old)] = 0
    groups = zip(old.chunk(2, 1), new.chunk(2, 1), strict=True) if halves else [(old, new)]
    for was, now in groups:
        now[: was.shape[0], : was.shape[1]] = was
    return new
