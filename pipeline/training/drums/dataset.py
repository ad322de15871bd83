"""Rendered performances as batches of what the network looks at and what it shall say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.training.drums.kits import FloatArray
from pipeline.training.drums.render import Song, read_songs
from pipeline.transcription.drum_classes import FAMILIES
from pipeline.transcription.drum_features import FINE, FLOOR, FRAMES_PER_S
from pipeline.transcription.drum_network import REACH

FAMILY_OF = tuple(row for row, classes in enumerate(FAMILIES.values()) for _ in classes)
NOTHING = -1


@dataclass(frozen=True)
class Batch:
    """Tensors of some excerpts.

    Attributes:
        levels: (n, REACH + n_frames + REACH, 80): with what is around each excerpt, as at work.
        profile: (n, 80).
        onset: (n, n_frames, 5): 1 where a stroke of the family begins, less beside it.
        kind: (n, n_frames, 5): its class within the family, NOTHING where none begins.
        loudness: (n, n_frames, 5): its velocity 0-1, NOTHING likewise.
    """

    levels: Tensor
    profile: Tensor
    onset: Tensor
    kind: Tensor
    loudness: Tensor


def targets(hits: npt.NDArray[np.float32], n_frames: int) -> tuple[FloatArray, npt.NDArray[np.int64], FloatArray]:
    """Onset, kind and loudness of one song, as in :class:`Batch`; a triangle of 20 ms to both sides of each onset."""
    onset = np.zeros((n_frames, len(FAMILIES)), np.float32)
    kind = np.full((n_frames, len(FAMILIES)), NOTHING, np.int64)
    loudness = np.full((n_frames, len(FAMILIES)), NOTHING, np.float32)
    for time_s, index, velocity in hits:
        family, centre = FAMILY_OF[int(index)], time_s * FRAMES_PER_S
        for frame in range(max(0, round(centre) - 2), min(n_frames, round(centre) + 3)):
            value = min(1.0, 1.6 * (1 - abs(frame - centre) / 2))
            if value > onset[frame, family]:
                onset[frame, family] = value
                if abs(frame - centre) < 1:
                    kind[frame, family] = int(index) - FAMILY_OF.index(family)
                    loudness[frame, family] = velocity
    return onset, kind, loudness


class Songs:
    """Many performances in memory, and excerpts of them at random.

    Args:
        paths: files of rendered performances.
        weights: how often each file's performances are drawn, relative to others'.
    """

    def __init__(self, paths: Sequence[Path], weights: Sequence[float]) -> None:
        self.songs: list[Song] = []
        self._targets = []
        odds: list[float] = []
        for path, weight in zip(paths, weights, strict=True):
            for song in read_songs(path):
                self.songs.append(song)
                self._targets.append(targets(song.hits, len(song.levels)))
                odds.append(weight)
        self._odds = np.array(odds) / np.sum(odds)

    def batch(self, rng: np.random.Generator, size: int, n_frames: int) -> Batch:
        """Excerpts of that many frames, each as if another desk had mixed it."""
        parts: list[tuple[npt.NDArray[np.generic], ...]] = []
        for index in rng.choice(len(self.songs), size, p=self._odds):
            song = self.songs[index]
            first = int(rng.integers(0, len(song.levels) - n_frames + 1))
            onset, kind, loudness = (values[first : first + n_frames] for values in self._targets[index])
            seen = np.arange(first - REACH, first + n_frames + REACH)
            inside = seen.clip(0, len(song.levels) - 1)
            parts.append((song.levels[inside], seen != inside, song.profile, onset, kind, loudness))
        levels, beyond, profile, onset, kind, loudness = (
            torch.from_numpy(np.stack([part[i] for part in parts])) for i in range(6)
        )
        levels, profile = _disturbed(rng, levels.float(), profile.float())
        levels[beyond] = FLOOR  # before and after a song there is none of its noise either
        return Batch(levels, profile, onset, kind, loudness)


def _disturbed(rng: np.random.Generator, levels: Tensor, profile: Tensor) -> tuple[Tensor, Tensor]:
    """Another tone, level and noise floor for every excerpt: levels are logarithmic, so tone and level are sums."""
    n = len(levels)
    knots = torch.from_numpy(0.15 * rng.standard_normal((n, 1, 9)) * rng.random((n, 1, 1))).float()
    tone = torch.nn.functional.interpolate(knots, FINE.count, mode="linear", align_corners=True)
    tone += torch.from_numpy(0.1 * rng.standard_normal((n, 1, 1))).float()
    floor = torch.from_numpy(rng.uniform(FLOOR, 0.7 * FLOOR, (n, 1, 1))).float()
    return torch.maximum(levels + tone, floor), torch.maximum(profile + tone[:, 0], floor[:, 0])
