"""The network that hears drums: for every 10 ms, which families of strokes begin, of which class, and how loud.

Three convolutions over time and frequency, then dilated convolutions over time alone, which look 0.7 s back and ahead:
a crash is told from a hi-hat by how it rings, and a drum by how it was struck before.  It was trained by
``pipeline.training.drums``; ``drum_network.md`` says on what.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import OutOfMemory
from pipeline.progress import OnProgress, unheard
from pipeline.transcription.drum_classes import CLASSES, FAMILIES
from pipeline.transcription.drum_features import FINE, FLOOR, FloatArray

WEIGHTS_PATH = Path(__file__).with_name("drum_network.safetensors")
CHANNELS = (16, 24, 32)  # of the convolutions over time and frequency; after each, two bands become one
WIDTH = 96
DILATIONS = (1, 2, 4, 8, 16, 32, 1)
REACH = len(CHANNELS) + sum(DILATIONS)  # frames to both sides that decide about one
N_FAMILIES = len(FAMILIES)
N_OUTPUTS = 2 * N_FAMILIES + len(CLASSES)
FRAMES_PER_BLOCK = 3000  # bounds memory: half a minute at a time
_LEAST_FRAMES = 300  # of a block: with the reach to both sides, fewer would hardly take less memory


@dataclass(frozen=True)
class Heard:
    """What the network says: logits of shape (batch, n_frames, ...).

    Attributes:
        onset: a stroke of the family begins, (..., 5).
        loudness: its velocity if one does, a logit of 0-1, (..., 5).
        kinds: of every class against the others of its family, (..., 11).
    """

    onset: Tensor
    loudness: Tensor
    kinds: Tensor


class _Residual(nn.Module):
    def __init__(self, dilation: int, fused: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation)
        self.norm = nn.Identity() if fused else nn.BatchNorm1d(WIDTH)

    def forward(self, values: Tensor) -> Tensor:
        """Adds what the layer finds to what was known, (batch, WIDTH, n_frames)."""
        return values + torch.relu(self.norm(self.convolution(values)))


class _Halved(nn.Module):
    def __init__(self, inputs: int, outputs: int, fused: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, (3, 4), stride=(1, 2), padding=1)
        self.norm = nn.Identity() if fused else nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor) -> Tensor:
        """(batch, inputs, n_frames, n_bands) to (batch, outputs, n_frames, n_bands / 2)."""
        return torch.relu(self.norm(self.convolution(values)))


class DrumNetwork(nn.Module):
    """See the module.

    Args:
        fused: without the normalisation of training, which is part of the exported weights.
    """

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        inputs = (2, *CHANNELS[:-1])
        self.halved = nn.ModuleList(_Halved(i, o, fused) for i, o in zip(inputs, CHANNELS, strict=True))
        self.entry = nn.Conv1d(CHANNELS[-1] * FINE.count // 2 ** len(CHANNELS), WIDTH, 1)
        self.residuals = nn.ModuleList(_Residual(dilation, fused) for dilation in DILATIONS)
        self.output = nn.Conv1d(WIDTH, N_OUTPUTS, 1)

    def forward(self, levels: Tensor, profile: Tensor) -> Heard:
        """Hear levels (batch, n_frames, 80) of recordings with these profiles, (batch, 80)."""
        values = torch.stack([levels, levels - profile[:, None]], dim=1).contiguous(memory_format=torch.channels_last)
        for layer in self.halved:
            values = layer(values)
        values = self.entry(values.permute(0, 1, 3, 2).flatten(1, 2))
        for layer in self.residuals:
            values = layer(values)
        onset, loudness, kinds = (
            self.output(values).float().transpose(1, 2).split((N_FAMILIES, N_FAMILIES, len(CLASSES)), 2)
        )
        return Heard(onset, loudness, kinds)


def load_network(device: torch.device) -> DrumNetwork:
    """The shipped one, ready to hear."""
    network = DrumNetwork(fused=True)
    network.load_state_dict({name: values.float() for name, values in load_file(WEIGHTS_PATH).items()})
    return network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def hear(
    network: DrumNetwork, levels: FloatArray, profile: FloatArray, on_progress: OnProgress = unheard
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Onset probabilities (n_frames, 5), velocities (n_frames, 5) and class logits (n_frames, 11) of a recording.

    Args:
        network: ready to hear, on its device.
        levels: (n_frames, 80), as ``relative_levels`` gives them.
        profile: (80,), likewise.
        on_progress: told before every half minute, or less where so much does not fit the device.

    Raises:
        OutOfMemory: the device has too little memory for a few seconds.
    """
    padded = nn.functional.pad(torch.from_numpy(levels), (0, 0, REACH, REACH), value=FLOOR)
    parts: tuple[list[Tensor], ...] = ([], [], [])
    start, size = 0, FRAMES_PER_BLOCK
    while start < len(levels):
        on_progress(start / len(levels))
        stop = min(start + size, len(levels))
        try:
            heard = _heard(network, padded[start : stop + 2 * REACH], torch.from_numpy(profile))
        except torch.OutOfMemoryError:
            heard = None  # seen to below: here the traceback still holds what fills the memory
        if heard is None:
            size = _less(stop - start)
            continue
        for part, values in zip(parts, heard, strict=True):
            part.append(values)
        start = stop
    onset, loudness, kinds = (torch.cat(part).numpy() for part in parts)
    return onset, loudness, kinds


def _heard(network: DrumNetwork, levels: Tensor, profile: Tensor) -> tuple[Tensor, ...]:
    """What :func:`hear` returns, of the frames that have REACH others to both sides."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        heard = network(levels[None].to(device), profile[None].to(device))
        said = heard.onset.sigmoid(), heard.loudness.sigmoid(), heard.kinds
        return tuple(values[0, REACH:-REACH].cpu() for values in said)


def _less(n_frames: int) -> int:
    """How many frames to try after so many did not fit."""
    if n_frames // 2 < _LEAST_FRAMES:
        raise OutOfMemory("The device has not enough free memory to hear drums. Stop what else uses it.")
    torch.cuda.empty_cache()
    return n_frames // 2
