"""From files of weights to the networks that separate."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from demucs.htdemucs import HTDemucs
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.errors import ModelError, UnknownModel
from pipeline.models.catalogue import find
from pipeline.models.store import ModelStore

# A file names the class it wants built.  This is the only one that is ever built, so that no file can have any other
# code imported and run.
_CLASS_NAME = "demucs.htdemucs.HTDemucs"


@dataclass(frozen=True, slots=True)
class SeparationModel:
    """The networks of a separator, and what they say of themselves.

    Attributes:
        name: name in the catalogue.
        networks: HTDemucs modules on the CPU: float32, in eval mode, without gradients. Each maps a mix, shape
            (batch, channels, n_samples) with n_samples at most ``segment_samples``, to stems, shape
            (batch, n_sources, channels, n_samples).
        weights: ``weights[i][j]`` is the weight of network ``i`` in stem ``j``: stem ``j`` is the weighted mean
            over the networks.
        sources: names of the stems, in the order of the networks' output.
        rate_hz: sample rate the networks work at.
        channels: audio channels they work on.
        segment_samples: length of the excerpts they were trained on.
    """

    name: str
    networks: tuple[nn.Module, ...]
    weights: tuple[tuple[float, ...], ...]
    sources: tuple[str, ...]
    rate_hz: int
    channels: int
    segment_samples: int


def load_separation_model(name: str, store: ModelStore) -> SeparationModel:
    """Load a separator from the cache.

    Raises:
        UnknownModel: no such name, or not a separator.
        ModelMissing: not in the cache; the message names the command that fetches it.
        ModelError: a file does not hold an HTDemucs.
    """
    entry = find(name, store.catalogue)
    if entry.purpose != "separation":
        known = [other.name for other in store.catalogue.values() if other.purpose == "separation"]
        raise UnknownModel(f"The model {name!r} does not separate; those that do are {', '.join(known)}.")
    return build_separation_model(name, store.require(name), entry.bag_weights)


def build_separation_model(
    name: str, paths: Sequence[Path], bag_weights: tuple[tuple[float, ...], ...] | None = None
) -> SeparationModel:
    """Put a separator together from files of weights.

    Args:
        name: what to call it.
        paths: one safetensors file per network.
        bag_weights: see :class:`SeparationModel`; None lets every network count the same.

    Raises:
        ModelError: a file does not hold an HTDemucs, or the networks do not belong together.
    """
    networks = tuple(load_network(path) for path in paths)
    if len({(tuple(net.sources), net.samplerate, net.audio_channels) for net in networks}) != 1:
        raise ModelError(f"The networks of {name} differ in their stems, rate or channels.")
    first = networks[0]
    weights = bag_weights or ((1.0,) * len(first.sources),) * len(networks)
    if [len(row) for row in weights] != [len(first.sources)] * len(networks):
        raise ModelError(
            f"The bag weights of {name} do not fit {len(networks)} networks of {len(first.sources)} stems."
        )
    return SeparationModel(
        name=name,
        networks=networks,
        weights=weights,
        sources=tuple(first.sources),
        rate_hz=first.samplerate,
        channels=first.audio_channels,
        segment_samples=min(int(net.segment * net.samplerate) for net in networks),
    )


def load_network(path: Path) -> HTDemucs:
    """Build the HTDemucs that a safetensors file of demucs 4.1's format describes, and give it the file's weights.

    Returns:
        The network on the CPU: float32 (whatever the file holds), eval mode, no gradients.

    Raises:
        ModelError: not such a file, or its tensors are not exactly those of the network it describes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error
    if metadata.get("klass") != _CLASS_NAME:
        raise ModelError(f"{path} holds a {metadata.get('klass', 'network without a class')}, not a {_CLASS_NAME}.")
    return _build(path, metadata, state)


def _build(path: Path, metadata: dict[str, str], state: dict[str, Tensor]) -> HTDemucs:
    try:
        args = _decode(json.loads(metadata["args"]))
        kwargs = _decode(json.loads(metadata["kwargs"]))
        known = inspect.signature(HTDemucs).parameters
        # Random weights are made only to be overwritten: 1.4 s of CPU.  Building on torch's meta device instead
        # costs 3.9 s, as its first use imports torch._dynamo.
        network: HTDemucs = HTDemucs(*args, **{key: value for key, value in kwargs.items() if key in known})
        network.load_state_dict(state, strict=True)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"{path} does not describe a complete HTDemucs: {error}") from error
    network.eval().requires_grad_(False)
    return network


def _decode(value: Any) -> Any:
    """Undo demucs' encoding of constructor arguments, in which a fraction is a tagged object."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return value
