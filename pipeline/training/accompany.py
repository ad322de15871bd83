"""Gives rendered songs a drummer at their tempo: ``drums.npy`` beside their parts, int16, (n_samples,) at 22.05 kHz.

Nothing of it is to be written down: it is what the network must not take for notes, and what separation has to remove.
"""

import os
from pathlib import Path

import numpy as np
import soxr

from pipeline.training.dataset import RenderedSong, rendered_songs
from pipeline.training.drums.kits import RATE_HZ as DRUMS_RATE_HZ
from pipeline.training.drums.render import Sources, dry_song
from pipeline.training.effects import made_up_room, worn
from pipeline.training.sounds.base import RATE_HZ

_PEAK = 0.9
_SEED = 1


def accompany(folder: Path, drums: Sources) -> None:
    """Add drums to the songs of a folder that have none; can be stopped and run again."""
    for path in rendered_songs([folder]):
        song = RenderedSong.open(path)
        if song.has_drums():
            continue
        rng = np.random.default_rng((song.seed, _SEED))
        dry, _ = dry_song(rng, drums, song.seed, 60 / song.beat_s, song.audio().shape[1] / RATE_HZ)
        samples = soxr.resample(dry, DRUMS_RATE_HZ, RATE_HZ).astype(np.float32)
        samples = worn(samples, rng, made_up_room(rng))
        samples *= np.float32(_PEAK / (float(np.abs(samples).max()) + 1e-9))
        unfinished = path / f".drums.{os.getpid()}.npy"
        np.save(unfinished, np.round(samples * 32767).astype(np.int16))
        unfinished.rename(path / "drums.npy")
