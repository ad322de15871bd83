"""Trains the note network on rendered songs; resumable, on a CPU or a GPU.

The learning rate rises, stays, and falls to nothing over the last part of the steps.  A run that was stopped goes on
with the batch it had come to; one that is given more steps than before goes on from the checkpoint before its fall.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.instrument_families import FAMILIES
from pipeline.training.checkpoints import read_checkpoint
from pipeline.training.dataset import NO_FAMILY, Batch, Mixing, Samples
from pipeline.training.errors import TrainingError
from pipeline.training.optimizing import Optimizer
from pipeline.training.process_group import ProcessGroup
from pipeline.training.widening import widened, width_of
from pipeline.transcription.note_network import Heard, NoteNetwork, Size

_WARM_UP_STEPS = 150
_AVERAGED = 0.998  # of the weights that are kept, a moving average
_MOST_NORM = 3.0
_SAVED_EVERY = 100
_ONSET_WEIGHT, _SOUNDING_WEIGHT, _VELOCITY_WEIGHT, _FAMILY_WEIGHT = 10.0, 2.0, 16.0, 0.3
_WHOLE_LEVEL_SHARE = 0.25
_ONSET_POSITIVE_WEIGHT = 2.0  # onsets are one in a hundred: a missed one weighs twice a false one
_KEPT = {"network", "average", "optimizer", "step", "steps", "size", "recipe"}  # in a checkpoint

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome, besides the songs.

    Attributes:
        size: of the network.
        mixing: of the samples.
        batch_size: samples in a batch.
        steps: batches in all.
        rate: the highest learning rate, of :class:`Optimizer`.
        fall_share: of the steps, over which the rate falls.
        seed: of weights and samples.
        processes: that share a batch's samples out; each draws its own, and normalises by those alone.
        start: SHA-256 of the file of weights that this training starts from; empty for none.
    """

    size: Size = field(default_factory=Size)
    mixing: Mixing = field(default_factory=Mixing)
    batch_size: int = 8
    steps: int = 5000
    rate: float = 1e-2
    fall_share: float = 0.2
    seed: int = 0
    processes: int = 1
    start: str = ""

    @property
    def falls_from(self) -> int:
        """How many steps are taken before the rate falls."""
        return round(self.steps * (1 - self.fall_share))


class _Batches(Dataset[Batch]):
    def __init__(self, samples: Samples, steps: range, group: ProcessGroup) -> None:
        self._samples, self._steps, self._group = samples, steps, group

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:  # type: ignore[override]
        batch = self._samples.batch(self._steps[index] * self._group.world_size + self._group.rank)
        arrays = (batch.samples, batch.onset, batch.sounding, batch.velocity, batch.family)
        return tuple(torch.from_numpy(array) for array in arrays)


class Run:
    """One training, kept in a folder: ``checkpoint.pt`` (everything), ``log.jsonl``.

    Args:
        folder: made if need be; an unfinished run in it goes on.
        recipe: must be that of the unfinished run, but for its steps.
        device: where to train.
        start: weights of another training that this one starts from, as :func:`weights_of` reads them.
        group: this process's place among those that train; each takes as many of a batch's samples.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        device: torch.device,
        start: Weights | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.folder, self.recipe, self.device, self.group = folder, recipe, device, group or ProcessGroup()
        network = NoteNetwork(recipe.size)
        if start is not None:
            network.load_state_dict(start)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimizer = Optimizer(self.network, self.network.heads)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _resume(self) -> None:
        found = unfinished(self.folder, self.recipe)
        if found is None:
            return
        self.network.load_state_dict(found["network"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.average = {name: value.to(self.device) for name, value in found["average"].items()}
        self.step = found["step"]

    def _save(self, name: str) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "steps": self.recipe.steps,
            "size": self.recipe.size.as_dict(),
            "recipe": json.dumps(asdict(self.recipe)),
        }
        unfinished = self.folder / f".{name}"
        torch.save(state, unfinished)
        unfinished.rename(self.folder / name)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rise = min(1.0, (step + 1) / _WARM_UP_STEPS)
        left = (self.recipe.steps - step) / max(self.recipe.steps - self.recipe.falls_from, 1)
        return self.recipe.rate * rise * max(min(1.0, left), 0.0)

    def train(self, folders: Sequence[Path]) -> None:
        """Train to the end on :func:`rendered_songs`; every :data:`_SAVED_EVERY` steps everything is kept."""
        began, shown, n_shown = time.monotonic(), 0.0, 0
        for tensors in self._batches(folders):
            loss = self._learn(tensors)
            shown, n_shown = shown + loss, n_shown + 1
            self.step += 1
            if self.step % _SAVED_EVERY == 0 or self.step in (self.recipe.falls_from, self.recipe.steps):
                if self.group.rank == 0:
                    self._keep(
                        {"step": self.step, "loss": round(shown / n_shown, 4), "s": round(time.monotonic() - began)}
                    )
                shown, n_shown = 0.0, 0

    def _keep(self, line: dict[str, float]) -> None:
        print(json.dumps(line), flush=True)
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        if self.step <= self.recipe.falls_from:
            self._save("steady.pt")
        if self.step > self.recipe.falls_from or self.step == self.recipe.steps:
            self._save("checkpoint.pt")

    def _batches(self, folders: Sequence[Path]) -> Iterator[list[Tensor]]:
        samples = Samples(
            folders, self.recipe.mixing, self.recipe.batch_size // self.group.world_size, self.recipe.seed
        )
        batches = _Batches(samples, range(self.step, self.recipe.steps), self.group)
        loader: DataLoader[Any] = DataLoader(
            batches, batch_size=None, num_workers=1 if self.device.type == "cpu" else 12, prefetch_factor=4
        )
        yield from loader

    def _learn(self, tensors: list[Tensor]) -> float:
        samples, onset, sounding, velocity, family = (tensor.to(self.device) for tensor in tensors)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            heard = self.network(samples)
        loss = loss_of(heard, onset, sounding, velocity, family)
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.group.average_gradients(self.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MOST_NORM)
        if not norm.isfinite():
            # As PyTorch 2.13 makes them of --width 24 in half precision on a CPU
            raise TrainingError(f"step {self.step}: gradients are no numbers; try a --width that is a multiple of 16")
        self.optimizer.step(self.rate(self.step))
        kept = min(_AVERAGED, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - kept)
                else:
                    self.average[name].copy_(value)
        return float(loss.detach())


def train(
    folders: Sequence[Path], out: Path, recipe: Recipe, device: torch.device, start: Weights | None, group: ProcessGroup
) -> None:
    """One process's part of a :class:`Run`, from where it was stopped to its end."""
    Run(out, recipe, device, start, group).train(folders)


def unfinished(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """What a training in a folder has come to, if there is one; on the CPU.

    Raises:
        TrainingError: it cannot be gone on with: it was begun with another recipe, but for its steps, or nothing is
            left of it from before its rate would fall now.
    """
    steady, ended = (
        note_checkpoint(folder / name) if (folder / name).exists() else None for name in ("steady.pt", "checkpoint.pt")
    )
    whole = ended is not None and ended["steps"] == recipe.steps
    found = ended if whole else steady
    begun = found or ended
    if begun is None:
        return None
    then, now = json.loads(begun["recipe"]), json.loads(json.dumps(asdict(recipe)))
    other = [
        f"{name} ({then.get(name, 'unknown')})" for name in now if name != "steps" and then.get(name, ...) != now[name]
    ]
    if other:
        raise TrainingError(f"{folder}: the training there was begun with another {', '.join(other)}")
    if found is None:
        raise TrainingError(f"{folder}: the training there is one of {begun['steps']} steps and cannot be prolonged")
    if not whole and found["step"] > recipe.falls_from:
        raise TrainingError(
            f"{folder}: the training there has taken {found['step']} steps already without its rate's fall"
        )
    return found


def note_checkpoint(path: Path) -> dict[str, Any]:
    """What a :class:`Run` wrote to a file; on the CPU; raises as :func:`read_checkpoint` does."""
    return read_checkpoint(path, _KEPT, "note")


def weights_of(path: Path, size: Size, seed: int) -> Weights:
    """What the network of a training had come to: its checkpoint, or the weights that were exported from one.

    Those of a narrower network are widened, which is told.

    Args:
        path: of the checkpoint or the weights.
        size: what they are to be of.
        seed: of channels that are new.

    Raises:
        TrainingError: the file holds no weights, or those of a network that is wider, or of other layers.
        OSError: it cannot be read.
    """
    if path.suffix == ".safetensors":
        try:
            weights = {name: value.float() for name, value in load_file(path).items()}
        except SafetensorError as error:
            raise TrainingError(f"{path}: not weights that `export` wrote") from error
        # Of the batches that running means were made of only training keeps count
        counts = {
            f"{name.removesuffix('running_mean')}num_batches_tracked" for name in weights if name.endswith("mean")
        }
        weights |= dict.fromkeys(counts, torch.tensor(0))
    else:
        weights = note_checkpoint(path)["network"]
    try:
        wide = widened(weights, size, seed)
    except ValueError as error:
        raise TrainingError(
            f"--start {path}: not of a network of --width {size.width} or less and --harmonics {size.harmonics}"
        ) from error
    if (width := width_of(weights)) < size.width:
        print(f"--start {path}: widened from {width} to {size.width} channels", file=sys.stderr)
    return wide


def loss_of(heard: Heard, onset: Tensor, sounding: Tensor, velocity: Tensor, family: Tensor) -> Tensor:
    """How wrong the network is: cross entropies of onsets, of sounding keys and of families, squares of velocities."""
    positive_weight = torch.tensor(_ONSET_POSITIVE_WEIGHT, device=onset.device)
    loss = _ONSET_WEIGHT * functional.binary_cross_entropy_with_logits(heard.onset, onset, pos_weight=positive_weight)
    loss = loss + _SOUNDING_WEIGHT * functional.binary_cross_entropy_with_logits(heard.sounding, sounding)
    loss = loss + _VELOCITY_WEIGHT * velocity_loss(heard.velocity.sigmoid(), velocity, family)
    owned = family != NO_FAMILY
    if owned.any():
        loss = loss + _FAMILY_WEIGHT * functional.cross_entropy(heard.family[owned], family[owned])
    return loss


def velocity_loss(heard: Tensor, velocity: Tensor, family: Tensor) -> Tensor:
    """How wrong velocities are, mostly within the notes of one family in one sample.

    How hard an instrument is struck on the whole can hardly be heard where its level in the mix may be anything; which
    of its notes are struck harder can.  All of shape (n_samples, n_frames, 88); NaN where no note starts.
    """
    starts = ~velocity.isnan()
    if not starts.any():
        return heard.sum() * 0
    errors = heard[starts] - velocity[starts]
    samples = torch.nonzero(starts)[:, 0]
    groups = samples * len(FAMILIES) + family[starts].clamp(min=0)
    n_groups = len(velocity) * len(FAMILIES)
    counts = torch.zeros(n_groups, device=errors.device).index_add(0, groups, torch.ones_like(errors)).clamp(min=1)
    means = torch.zeros(n_groups, device=errors.device).index_add(0, groups, errors) / counts
    within = (errors - means[groups]).square().mean()
    return within + _WHOLE_LEVEL_SHARE * errors.square().mean()
