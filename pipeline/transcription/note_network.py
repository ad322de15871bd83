"""The network that hears notes: for every pitch and moment, whether a note starts, sounds, how loud, and whose it is.

A convolutional network on harmonically stacked log-frequency spectra (after Bittner et al., "A lightweight
instrument-agnostic model for polyphonic note transcription", ICASSP 2022), with convolutions dilated in time and by
octaves and twelfths instead of more layers at the full resolution.  It was trained by ``pipeline.training``.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from pipeline.instrument_families import FAMILIES
from pipeline.transcription.spectrum import BINS_PER_OCTAVE, N_BINS, N_PITCHES, RATE_HZ, LogSpectra

# The long window tells low pitches apart, the short one when they start
LONG_WINDOW, SHORT_WINDOW = 8192, 2048
HOP = 256
_OCTAVES_ABOVE = 3
# What is looked at above and below a pitch, as multiples of its frequency
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)
STEPS_PER_FRAME = 2  # frames of the spectra in one of the network's: it thinks at 43 Hz and answers at 86
FRAME_S = HOP * STEPS_PER_FRAME / RATE_HZ
STEP_S = HOP / RATE_HZ
FRAME_SAMPLES = HOP * STEPS_PER_FRAME
# (time, pitch) dilations of the residual layers: neighbours, octaves, twelfths, and ever longer times
DILATIONS = ((1, 1), (1, 12), (2, 1), (1, 19), (4, 1), (2, 12), (8, 1), (1, 7))


@dataclass(frozen=True)
class Size:
    """How large the network is: channels of the first layer and of the others, and how many residual layers."""

    first: int = 32
    width: int = 48
    layers: int = 8
    harmonics: int = len(HARMONICS)

    def as_dict(self) -> dict[str, int]:
        """For the metadata of weights."""
        return asdict(self)


@dataclass(frozen=True)
class Heard:
    """What the network says: logits, float32.

    Attributes:
        onset: (batch, n_frames * 2, 88): a note starts, every 11.6 ms.
        sounding: (batch, n_frames * 2, 88): a key is held, and heard.
        velocity: (batch, n_frames, 88): of a note that starts here, every 23 ms; a logit of 0-1.
        family: (batch, n_frames, 88, n_families): of the loudest note that sounds here, every 23 ms.
    """

    onset: Tensor
    sounding: Tensor
    velocity: Tensor
    family: Tensor


def _layer(
    inputs: int, outputs: int, kernel: tuple[int, int], padding: tuple[int, int], **options: object
) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False, **options)  # type: ignore[arg-type]
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: tuple[int, int]) -> None:
        super().__init__()
        self.layer = _layer(width, width, (3, 3), dilation, dilation=dilation)

    def forward(self, values: Tensor) -> Tensor:
        changed: Tensor = self.layer(values)
        return values + changed


class _Surroundings(nn.Module):
    """Tells every pitch what goes on at all others within half a second: loudness, register, timbre."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * width, width, 1)

    def forward(self, values: Tensor) -> Tensor:
        over_pitches = torch.cat([values.mean(dim=3, keepdim=True), values.amax(dim=3, keepdim=True)], dim=1)
        smoothed = functional.avg_pool2d(over_pitches, (21, 1), stride=1, padding=(10, 0), count_include_pad=False)
        mixed: Tensor = self.mix(smoothed)
        return values + mixed


class NoteNetwork(nn.Module):
    """See the module; ``size`` must be that of the weights."""

    def __init__(self, size: Size | None = None) -> None:
        super().__init__()
        self.size = size or Size()
        self.long = LogSpectra(LONG_WINDOW, FRAME_SAMPLES, _OCTAVES_ABOVE)
        self.short = LogSpectra(SHORT_WINDOW, HOP, _OCTAVES_ABOVE)
        self.harmonics = HARMONICS[: self.size.harmonics] if self.size.harmonics > 1 else (1,)
        self._shifts = tuple(round(BINS_PER_OCTAVE * math.log2(harmonic)) for harmonic in self.harmonics)
        inputs = (1 + STEPS_PER_FRAME) * len(self.harmonics)
        width = self.size.width
        self.first = _layer(inputs, self.size.first, (3, 5), (1, 2))
        self.to_pitches = _layer(self.size.first, width, (1, 5), (0, 1), stride=(1, 3))
        dilations = DILATIONS[: self.size.layers]
        half = len(dilations) // 2
        self.before = nn.Sequential(*(_Residual(width, dilation) for dilation in dilations[:half]))
        self.surroundings = _Surroundings(width)
        self.after = nn.Sequential(*(_Residual(width, dilation) for dilation in dilations[half:]))
        self.heads = nn.Conv2d(width, 2 * STEPS_PER_FRAME + 1 + len(FAMILIES), 1)

    def stacked(self, samples: Tensor) -> Tensor:
        """What the first layer sees: (batch, n_inputs, n_frames, 264)."""
        short = self.short(samples).unflatten(1, (-1, STEPS_PER_FRAME)).transpose(1, 2)
        levels = torch.cat([self.long(samples)[:, None], short], dim=1)
        shifted = []
        for shift in self._shifts:
            if shift < 0:
                shifted.append(functional.pad(levels, (-shift, 0))[..., :N_BINS])
            else:
                missing = max(0, shift + N_BINS - levels.shape[-1])
                shifted.append(functional.pad(levels[..., shift : shift + N_BINS], (0, missing)))
        return torch.cat(shifted, dim=1).contiguous(memory_format=torch.channels_last)

    def forward(self, samples: Tensor) -> Heard:
        """Listen to float32 mono samples at 22.05 kHz, (batch, n_samples), n_samples a multiple of 512."""
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            stack = self.stacked(samples)
        return self.judged(self.halfway(stack))

    def halfway(self, stack: Tensor) -> Tensor:
        """What half of the layers make of :meth:`stacked` spectra; so that progress can be told in between."""
        values: Tensor = self.before(self.to_pitches(self.first(stack))[..., :N_PITCHES])
        return values

    def judged(self, values: Tensor) -> Heard:
        """What is heard in what :meth:`halfway` gave."""
        out = self.heads(self.after(self.surroundings(values))).float()
        batch, _, n_frames, _ = out.shape
        steps = out[:, : 2 * STEPS_PER_FRAME].reshape(batch, 2, STEPS_PER_FRAME, n_frames, N_PITCHES)
        steps = steps.permute(0, 1, 3, 2, 4).reshape(batch, 2, n_frames * STEPS_PER_FRAME, N_PITCHES)
        velocity = out[:, 2 * STEPS_PER_FRAME]
        family = out[:, 2 * STEPS_PER_FRAME + 1 :].permute(0, 2, 3, 1)
        return Heard(steps[:, 0], steps[:, 1], velocity, family)
