"""All the sounds that a command line names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.training.errors import TrainingError
from pipeline.training.sounds.base import Sound
from pipeline.training.sounds.library import sampled_sounds
from pipeline.training.sounds.synthesis import synthetic_sounds
from pipeline.training.sounds.tracked import tracked_sounds


@dataclass(frozen=True)
class Sources:
    """Where sounds come from.

    Attributes:
        soundfonts: files of General MIDI soundfonts; their stem is the first part of their sounds' names.
        libraries: folders of sample libraries.
        synthetic: how many synthetic instruments to make up.
        seed: of those, and of the tracked ones.
        tracked: how many instruments to make of one recording of another one each; those out of tune are left out.
    """

    soundfonts: tuple[Path, ...]
    libraries: tuple[Path, ...] = ()
    synthetic: int = 0
    seed: int = 0
    tracked: int = 0


def load_sounds(sources: Sources) -> tuple[list[Sound], list[str]]:
    """All of them; takes some seconds, .1 more for each tracked one, and hundreds of MB for large soundfonts.

    With them, of the libraries, what is left out and why.

    Raises:
        TrainingError: nothing can be had from one of the sources.
    """
    sounds: list[Sound] = []
    left_out: list[str] = []
    for path in sources.soundfonts:
        if not path.is_file():
            raise TrainingError(f"--soundfont {path}: no file")
        # Looks for FluidSynth's library on the system
        from pipeline.training.sounds.soundfont import Soundfont

        try:
            soundfont = Soundfont(path, path.stem)
        except ValueError as error:
            raise TrainingError(f"--soundfont {error}") from error
        sounds += soundfont.sounds()
    for folder in sources.libraries:
        if not folder.is_dir():
            raise TrainingError(f"--library {folder}: no such folder")
        found, unfit = sampled_sounds(folder)
        if not found:
            raise TrainingError(f"--library {folder}: of {len(unfit)} SFZ files below it none can be used")
        sounds += found
        left_out += unfit
    if sources.synthetic:
        sounds += synthetic_sounds(np.random.default_rng(sources.seed), sources.synthetic)
    if sources.tracked and not sounds:
        raise TrainingError("--tracked needs other sounds: give --soundfont, --library or --synthetic")
    if sources.tracked:
        sounds += tracked_sounds(list(sounds), np.random.default_rng((sources.seed, 1)), sources.tracked)
    return sounds, left_out
