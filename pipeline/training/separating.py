"""Our own separation, as training hears it: a mix in, stems out."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline

RATE_HZ = 44_100


def separating_pipeline() -> SongPipeline:
    """Separates with htdemucs, whose weights must have been fetched."""
    root = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root())
    return SongPipeline(ModelStore(root), separation_model="htdemucs")


def separated(pipeline: SongPipeline, mixed: NDArray[np.float32], stems: Sequence[str]) -> NDArray[np.float32]:
    """Some stems of a mix, each mono.

    Args:
        pipeline: as :func:`separating_pipeline` makes it.
        mixed: stereo, (2, n_samples) at 44.1 kHz.
        stems: their names.

    Returns:
        The stems in that order, (n_stems, n_samples) at 44.1 kHz.

    Raises:
        ModelMissing: The weights are not in the cache.
        OutOfMemory: The device has too little memory for even one segment.
    """
    with tempfile.TemporaryDirectory(prefix="stemscribe-") as name:
        folder = Path(name)
        soundfile.write(folder / "mix.wav", mixed.T, RATE_HZ, subtype="FLOAT")
        made = pipeline.separate(folder / "mix.wav", folder / "stems", scratch=folder)
        paths = {stem.name: stem.path for stem in made}
        audio = [soundfile.read(paths[stem], dtype="float32", always_2d=True)[0].mean(axis=1) for stem in stems]
    return np.array(audio, dtype=np.float32)
