"""All the sounds that a command line names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.training.sounds.base import Sound
from pipeline.training.sounds.library import sampled_sounds
from pipeline.training.sounds.synthesis import synthetic_sounds


@dataclass(frozen=True)
class Sources:
    """Where sounds come from.

    Attributes:
        soundfonts: files of General MIDI soundfonts; their stem is the first part of their sounds' names.
        libraries: folders of sample libraries.
        synthetic: how many synthetic instruments to make up.
        seed: of those.
    """

    soundfonts: tuple[Path, ...]
    libraries: tuple[Path, ...] = ()
    synthetic: int = 0
    seed: int = 0


def load_sounds(sources: Sources) -> list[Sound]:
    """All of them; takes some seconds, and hundreds of MB for large soundfonts."""
    sounds: list[Sound] = []
    if sources.soundfonts:
        # Needs FluidSynth's library on the system
        from pipeline.training.sounds.soundfont import Soundfont

        for path in sources.soundfonts:
            sounds += Soundfont(path, path.stem).sounds()
    for folder in sources.libraries:
        sounds += sampled_sounds(folder)[0]
    if sources.synthetic:
        sounds += synthetic_sounds(np.random.default_rng(sources.seed), sources.synthetic)
    return sounds
