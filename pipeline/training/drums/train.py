"""Trains the drum network on rendered performances; resumable, on a CPU or a GPU.

The learning rate rises, stays, and falls to nothing over the last quarter of the steps.  A run that was stopped goes on
with the batch it had come to; with more steps than before only as long as its rate has not begun to fall.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.training.drums.dataset import NOTHING, Batch, Songs
from pipeline.training.errors import TrainingError
from pipeline.transcription.drum_classes import FAMILIES
from pipeline.transcription.drum_network import REACH, DrumNetwork, Heard

_WARM_UP_STEPS = 100
_FALL_SHARE = 0.25
_SAVED_EVERY = 100
_KIND_WEIGHT, _LOUDNESS_WEIGHT = 0.03, 1.0
_ONSET_RARITY = 2.0  # onsets are rare: a missed one weighs twice a false one
_MOST_NORM = 2.0


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome, besides the performances.

    Attributes:
        steps: batches in all.
        batch_size: excerpts in a batch.
        n_frames: of an excerpt, 10 ms each; the network sees its reach beyond that to both sides.
        rate: the highest learning rate.
        seed: of weights and excerpts.
    """

    steps: int = 4000
    batch_size: int = 8
    n_frames: int = 600
    rate: float = 2.5e-3
    seed: int = 7


def loss_of(heard: Heard, batch: Batch) -> Tensor:
    """Of onsets everywhere, of kinds and velocities where strokes begin; what lies around the excerpts does not count.

    Args:
        heard: of all frames of the batch's levels.
        batch: excerpts and their surroundings.
    """
    heard = Heard(*(values[:, REACH:-REACH] for values in vars(heard).values()))
    weight = 1 + (_ONSET_RARITY - 1) * batch.onset
    onset = functional.binary_cross_entropy_with_logits(heard.onset, batch.onset, weight)
    known = batch.loudness >= 0
    loudness = (torch.sigmoid(heard.loudness) - batch.loudness)[known].square().sum() / known.sum().clamp(min=1)
    kinds = torch.zeros((), device=onset.device)
    sizes = [len(classes) for classes in FAMILIES.values()]
    for family, logits in enumerate(torch.split(heard.kinds, sizes, dim=2)):
        chosen = batch.kind[..., family] != NOTHING
        if sizes[family] > 1 and bool(chosen.any()):
            kinds = kinds + functional.cross_entropy(logits[chosen], batch.kind[..., family][chosen])
    return onset + _LOUDNESS_WEIGHT * loudness + _KIND_WEIGHT * kinds


def _check_goes_on(checkpoint: Path, kept: dict[str, Any], step: int, recipe: Recipe) -> None:
    """Raises TrainingError unless a run that has come to that step by the kept recipe can go on by another."""
    if {**kept, "steps": 0} != {**asdict(recipe), "steps": 0}:
        raise TrainingError(f"{checkpoint} was trained by another recipe: {kept}")
    if step > recipe.steps:
        raise TrainingError(f"{checkpoint} has taken {step} steps already, more than --steps {recipe.steps}")
    falls_from = round((1 - _FALL_SHARE) * kept["steps"])
    if recipe.steps > kept["steps"] and step > falls_from:
        raise TrainingError(
            f"{checkpoint} cannot be prolonged to --steps {recipe.steps}: it has taken {step} of {kept['steps']} steps "
            f"and its learning rate fell from step {falls_from} on"
        )


class Run:
    """One training, kept in a file: weights, optimiser, step and recipe.

    Args:
        checkpoint: the file, whose folder is made if need be; an unfinished run in it goes on.
        recipe: must be that of the unfinished run, but for its steps.
        device: where to train.

    Raises:
        TrainingError: the run in the file cannot go on by this recipe.
    """

    def __init__(self, checkpoint: Path, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.checkpoint, self.recipe, self.device = checkpoint, recipe, device
        self.network = DrumNetwork(fused=False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=recipe.rate, weight_decay=0.01)
        self.step = 0
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if checkpoint.exists():
            kept = torch.load(checkpoint, map_location=device, weights_only=True)
            _check_goes_on(checkpoint, kept["recipe"], kept["step"], recipe)
            self.network.load_state_dict(kept["network"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.step = kept["step"]

    def train(self, songs: Songs, *, until: int | None = None) -> None:
        """Trains to the end, or to that step."""
        self.network.train()
        bf16 = self.device.type == "cpu" or torch.cuda.is_bf16_supported()
        began, total = time.monotonic(), 0.0
        stop = self.recipe.steps if until is None else min(until, self.recipe.steps)
        for step in range(self.step, stop):
            batch = songs.batch(
                np.random.default_rng((self.recipe.seed, step)), self.recipe.batch_size, self.recipe.n_frames
            )
            batch = Batch(*(tensor.to(self.device) for tensor in vars(batch).values()))
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate * self._share_of_rate(step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                heard = self.network(batch.levels, batch.profile)
            loss = loss_of(heard, batch)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MOST_NORM)
            self.optimizer.step()
            self.step, total = step + 1, total + float(loss.detach())
            if self.step % _SAVED_EVERY == 0:
                print(
                    f"step {self.step}: loss {total / _SAVED_EVERY:.4f}, {time.monotonic() - began:.0f} s", flush=True
                )
                total = 0.0
                self.save()
        self.save()

    def _share_of_rate(self, step: int) -> float:
        left = (self.recipe.steps - step) / (_FALL_SHARE * self.recipe.steps)
        return min((step + 1) / _WARM_UP_STEPS, 1.0, left)

    def save(self) -> None:
        """Keeps everything that going on needs; the file is whole at every moment."""
        kept = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "recipe": asdict(self.recipe),
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(kept, part)
        part.replace(self.checkpoint)
