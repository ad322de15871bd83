"""Reading what a training wrote."""

import contextlib
import pickle
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from pipeline.training.errors import TrainingError


def read_checkpoint(path: Path, names: Collection[str], network: str) -> dict[str, Any]:
    """A checkpoint, on the CPU.

    Args:
        path: of the file.
        names: what must be in it.
        network: whose training it is of, for the error.

    Raises:
        TrainingError: the file is no such checkpoint.
        OSError: it cannot be read.
    """
    state = None
    with path.open("rb") as file:
        # Of what is no archive torch.load makes errors of any kind
        if zipfile.is_zipfile(file):
            with contextlib.suppress(pickle.UnpicklingError, RuntimeError):
                state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not state.keys() >= set(names):
        raise TrainingError(f"{path}: no checkpoint of the {network} network's training")
    return state
