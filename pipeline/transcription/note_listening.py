"""Runs the note network over a stem, window by window, in bounded memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.errors import OutOfMemory
from pipeline.instrument_families import FAMILIES
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.note_network import (
    FRAME_SAMPLES,
    STEPS_PER_FRAME,
    Heard,
    NoteNetwork,
    Size,
)
from pipeline.transcription.silence import SILENCE_DBFS
from pipeline.transcription.spectrum import N_BINS, N_PITCHES

FloatArray = NDArray[np.float32]

WEIGHTS_PATH = Path(__file__).with_name("note_network.safetensors")
# What stems are brought to before the network hears them, in training (more or less) and at work
LEVEL_RMS = 0.08
_LOUDEST_SHARE = 0.05  # of the blocks: pauses and fades do not count for the level
_LEVEL_BLOCK = 4096
_LEAST_RMS = 1e-5  # there is nothing in silence to be brought to any level
# The network sees 31 frames to both sides, through its convolutions and the surroundings, and 8 more through the window
# of its spectra: what it says of the others is the same wherever windows begin.
_MARGIN_FRAMES = 40
INSIDE_FRAMES = 688
"""What windows of 16 s and their margins are kept of."""
_CPU_BATCH, _GPU_BATCH = 1, 16
_SPECTRA_SHARE, _HALFWAY_SHARE = 0.25, 0.65  # of the time of a window
_NOTHING = -20.0  # logit of what cannot be
_FOLLOWED = (1, 2, 3, 4)  # partials: the first alone is not sharp enough below middle C


@dataclass(frozen=True, slots=True)
class NoteEvidence:
    """What the network says of some of a stem, every 11.6 ms (steps) or 23 ms (frames).

    Attributes:
        onset, sounding: logits, float32, (n_steps, 88).
        velocity: float32, (n_frames, 88), 0-1, of a note that starts there.
        family: logits, float16, (n_frames, 88, n_families).
        contour: float16, (n_frames, 264): level of the first partials of every third of a semitone from 20.7 on, as
            :class:`~pipeline.transcription.spectrum.LogSpectra` has it.
        first_frame: where in the stem it begins.
    """

    onset: FloatArray
    sounding: FloatArray
    velocity: FloatArray
    family: NDArray[np.float16]
    contour: NDArray[np.float16]
    first_frame: int = 0

    @classmethod
    def of_silence(cls, frames: range) -> "NoteEvidence":
        """That there is nothing in some frames."""
        n_frames = len(frames)
        return cls(
            np.full((n_frames * STEPS_PER_FRAME, N_PITCHES), _NOTHING, np.float32),
            np.full((n_frames * STEPS_PER_FRAME, N_PITCHES), _NOTHING, np.float32),
            np.zeros((n_frames, N_PITCHES), np.float32),
            np.zeros((n_frames, N_PITCHES, len(FAMILIES)), np.float16),
            np.zeros((n_frames, N_BINS), np.float16),
            frames.start,
        )


class NoteListener:
    """The network with its weights, on a device; may be shared by threads.

    Args:
        weights: file that ``python -m pipeline.training export`` wrote.
        device: where to run it.

    Raises:
        ValueError: the file is of another network.
    """

    def __init__(self, weights: Path = WEIGHTS_PATH, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        with safe_open(weights, framework="pt") as file:
            size = Size(
                **{name: int(value) for name, value in (file.metadata() or {}).items() if name in Size.__annotations__}
            )
            network = NoteNetwork(size)
            weights_by_name = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        # What counted the batches of training is all that may be missing
        counts = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
        try:
            network.load_state_dict(counts | weights_by_name)
        except RuntimeError as error:
            raise ValueError(f"{weights}: not weights of a note network of {size}") from error
        _fuse(network.eval())
        self._network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batch = _CPU_BATCH if self.device.type == "cpu" else _GPU_BATCH

    def hear(
        self,
        samples: FloatArray,
        on_progress: OnProgress = unheard,
        *,
        frames: range | None = None,
        gain: float | None = None,
    ) -> NoteEvidence:
        """Listen to a stem, or a part of it.

        Args:
            samples: the stem: float32 mono at 22.05 kHz, shape (n_samples,).
            on_progress: told three times in each batch of windows of 16 s that are not silent.
            frames: the part, all by default; the same is heard of it whatever the part if it begins at a multiple of
                :data:`INSIDE_FRAMES`.
            gain: what the stem is brought to its level with; :func:`gain_for` it by default.

        Raises:
            OutOfMemory: the device has too little memory for even one window.
        """
        frames = range(frame_count(len(samples))) if frames is None else frames
        factor = np.float32(gain_for(samples) if gain is None else gain)
        evidence = NoteEvidence.of_silence(frames)
        starts = range(frames.start, frames.stop, INSIDE_FRAMES)
        waiting: list[tuple[int, FloatArray]] = []
        furthest = 0.0

        def tell(fraction: float) -> None:
            nonlocal furthest  # windows that did not fit the device are begun again
            furthest = max(furthest, fraction)
            on_progress(furthest)

        for done, start in enumerate(starts, start=1):
            inside = min(INSIDE_FRAMES, frames.stop - start)
            window = _window(samples, start - _MARGIN_FRAMES, inside + 2 * _MARGIN_FRAMES)
            if np.abs(window).max(initial=0.0) >= 10 ** (SILENCE_DBFS / 20):
                waiting.append((start, window * factor))
            if waiting and (len(waiting) >= self._batch or done == len(starts)):
                self._take(waiting, evidence, part(tell, (done - 1) / len(starts), done / len(starts)))
                waiting.clear()
        on_progress(1.0)
        return evidence

    def _take(self, windows: list[tuple[int, FloatArray]], evidence: NoteEvidence, on_progress: OnProgress) -> None:
        """Write what is heard in windows, by the frames they begin with, into the evidence."""
        at = 0
        while at < len(windows):
            length = len(windows[at][1])  # the last one may be shorter than the others
            some = [one for one in windows[at : at + self._batch] if len(one[1]) == length]
            told = part(on_progress, at / len(windows), (at + len(some)) / len(windows))
            try:
                heard, contour = self._run(np.stack([window for _, window in some]), told)
            except torch.OutOfMemoryError:
                heard = None  # seen to below: here the traceback still holds what fills the memory
            if heard is None:
                self._take_less(len(some))
                continue
            for row, (start, _) in enumerate(some):
                _keep(evidence, heard, contour, row, start)
            at += len(some)

    def _take_less(self, n_windows: int) -> None:
        if n_windows == 1:
            raise OutOfMemory("The device has not enough free memory to hear notes. Stop what else uses it.")
        torch.cuda.empty_cache()
        self._batch = min(self._batch, n_windows // 2)  # another thread may have come to less

    def _run(self, windows: FloatArray, on_progress: OnProgress) -> tuple[Heard, Tensor]:
        """What is heard in windows, (n_windows, n_samples), and the contours, (n_windows, n_frames, 264)."""
        with torch.inference_mode():
            on_progress(0.0)
            stack = self._network.stacked(torch.from_numpy(windows).to(self.device))
            on_progress(_SPECTRA_SHARE)
            values = self._network.halfway(stack)
            on_progress(_HALFWAY_SHARE)
            heard = self._network.judged(values)
            harmonics = self._network.harmonics
            long = [(1 + STEPS_PER_FRAME) * harmonics.index(partial) for partial in _FOLLOWED if partial in harmonics]
            contour = stack[:, long].mean(dim=1).cpu()
            return Heard(
                *(values.cpu() for values in (heard.onset, heard.sounding, heard.velocity, heard.family))
            ), contour


def frame_count(n_samples: int) -> int:
    """How many frames a stem has at 22.05 kHz."""
    return -(-n_samples // FRAME_SAMPLES)


def gain_for(samples: FloatArray) -> float:
    """What brings the loud parts of a stem to :data:`LEVEL_RMS`."""
    n_blocks = max(len(samples) // _LEVEL_BLOCK, 1)
    powers = np.array([float(np.mean(block**2)) for block in np.array_split(samples, n_blocks)])
    loud = np.sort(powers)[-max(round(_LOUDEST_SHARE * n_blocks), 1) :]
    return LEVEL_RMS / max(float(np.sqrt(np.median(loud))), _LEAST_RMS)


def _fuse(network: NoteNetwork) -> None:
    """Make one convolution of each with the normalisation that follows it: a tenth of the time on a CPU."""
    for layer in network.modules():
        if isinstance(layer, nn.Sequential) and len(layer) > 1 and isinstance(layer[1], nn.BatchNorm2d):
            layer[0] = fuse_conv_bn_eval(layer[0], layer[1])  # type: ignore[type-var]
            layer[1] = nn.Identity()


def _window(samples: FloatArray, start: int, n_frames: int) -> FloatArray:
    """Samples of frames from ``start`` on; silence before and after the stem."""
    first = start * FRAME_SAMPLES
    stop = first + n_frames * FRAME_SAMPLES
    inside = samples[max(first, 0) : stop]
    before = max(-first, 0)
    return np.pad(inside, (before, stop - first - before - len(inside)))


def _keep(evidence: NoteEvidence, heard: Heard, contour: Tensor, row: int, start: int) -> None:
    at = start - evidence.first_frame
    out = slice(at, min(at + INSIDE_FRAMES, len(evidence.velocity)))
    frames = slice(_MARGIN_FRAMES, _MARGIN_FRAMES + out.stop - out.start)
    steps, out_steps = (slice(one.start * STEPS_PER_FRAME, one.stop * STEPS_PER_FRAME) for one in (frames, out))
    evidence.onset[out_steps] = heard.onset[row, steps].numpy()
    evidence.sounding[out_steps] = heard.sounding[row, steps].numpy()
    evidence.velocity[out] = heard.velocity[row, frames].sigmoid().numpy()
    evidence.family[out] = heard.family[row, frames].numpy()
    evidence.contour[out] = contour[row, frames].numpy()
