"""Starting a wider network from a narrower one, which it equals at first (after Chen, Goodfellow and Shlens, "Net2Net:
accelerating learning via knowledge transfer", ICLR 2016; but new channels are fresh, not copies)."""

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.transcription.note_network import NoteNetwork, Size

_CHANNELS_OF = "to_pitches.1.weight"  # as many numbers as the network is wide
_SURROUNDINGS = "surroundings.mix.weight"  # it sees every channel twice, means first


def width_of(weights: dict[str, Tensor]) -> int:
    """How many channels the note network of these weights has; 0 if they are of another network."""
    return len(weights.get(_CHANNELS_OF, ()))


def widened(weights: dict[str, Tensor], size: Size, seed: int) -> dict[str, Tensor]:
    """The weights of a network of this size that hears what the narrower one of these weights hears.

    Channels that are new see all others, and begin as those of any training; nothing old listens to them yet.

    Args:
        weights: of a :class:`NoteNetwork` whose size differs in its width at most.
        size: at least as wide.
        seed: of the new channels.

    Raises:
        ValueError: no such network can be made of the weights.
    """
    width = width_of(weights)
    with torch.device("meta"):
        narrow = NoteNetwork(replace(size, width=width)).state_dict() if 0 < width <= size.width else {}
    shapes = {name: value.shape for name, value in weights.items()}
    if shapes != {name: value.shape for name, value in narrow.items()}:
        raise ValueError("the weights are of a network that is wider, or has other layers")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = NoteNetwork(size).state_dict()
    for name, value in weights.items():
        _put(value, fresh[name], halves=name == _SURROUNDINGS)
    return fresh


def _put(old: Tensor, new: Tensor, *, halves: bool) -> None:
    """Put the old tensor into the corner of the new one, and zeros where old outputs would see new inputs."""
    if old.dim() < 2:
        new[tuple(slice(length) for length in old.shape)] = old
        return
    new[: len(old)] = 0
    groups = zip(old.chunk(2, 1), new.chunk(2, 1), strict=True) if halves else [(old, new)]
    for was, now in groups:
        now[: was.shape[0], : was.shape[1]] = was
