"""The network that hears beats and bars in the notes of a song.

Dilated convolutions over frames of 20 ms look 20 s to both sides.  The weights were fitted by
``tests/quality/fit_beats.py`` on songs made up at random, on POP909 (MIT) and on the drummers of the Groove MIDI
Dataset (CC BY 4.0, Google); only notes went into them, no sound.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.progress import OnProgress

WEIGHTS_PATH = Path(__file__).with_name("beat_network.npz")
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Convolution:
    """``weights`` has one (n_in, n_out) matrix for each tap."""

    weights: FloatArray
    bias: FloatArray
    dilation: int = 1

    def __call__(self, x: FloatArray) -> FloatArray:
        taps = len(self.weights)
        reach = self.dilation * (taps // 2)
        out = np.tile(self.bias, (len(x), 1))
        for tap, weights in enumerate(self.weights):
            shift = tap * self.dilation - reach
            first, last = max(-shift, 0), min(len(x) - shift, len(x))
            if first < last:
                out[first:last] += x[first + shift : last + shift] @ weights
        return out


@dataclass(frozen=True, slots=True)
class _Network:
    first: _Convolution
    blocks: tuple[tuple[_Convolution, _Convolution], ...]
    last: _Convolution

    def __call__(self, x: FloatArray, on_progress: OnProgress) -> FloatArray:
        x = np.maximum(self.first(x), 0.0)
        for done, (wide, mix) in enumerate(self.blocks):
            on_progress(done / len(self.blocks))
            x = x + mix(np.maximum(wide(x), 0.0))
        return self.last(x)


@cache
def _load() -> _Network:
    with np.load(WEIGHTS_PATH) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files if name != "dilations"}
        dilations = stored["dilations"].tolist()

    def layer(name: str, dilation: int = 1) -> _Convolution:
        return _Convolution(arrays[f"{name}_weight"], arrays[f"{name}_bias"], dilation)

    blocks = tuple((layer(f"wide_{i}", dilation), layer(f"mix_{i}")) for i, dilation in enumerate(dilations))
    return _Network(layer("first"), blocks, layer("last"))


def beat_logits(features: FloatArray, on_progress: OnProgress) -> FloatArray:
    """How likely each frame is a beat and a downbeat: logits, float32, shape (n_frames, 2).

    Args:
        features: of :func:`pipeline.analysis.note_features.note_features`.
        on_progress: told of every layer.
    """
    return _load()(features, on_progress)
