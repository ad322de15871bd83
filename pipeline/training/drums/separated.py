"""Drum stems that have been through our own separation: drums and a band, mixed and separated again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.song import SongPipeline
from pipeline.training.drums.bands import band
from pipeline.training.drums.mixing import worn
from pipeline.training.drums.render import SONG_S, Song, Sources, dry_song, heard
from pipeline.training.separating import separated


def separated_song(sources: Sources, seed: int, pieces: Sequence[Path], separation: SongPipeline) -> Song:
    """A composed groove at the tempo of a band, mixed with it, as the separation gives the drums back."""
    rng = np.random.default_rng(seed)
    music, tempo_bpm = band(rng, SONG_S, pieces)
    dry, hits = dry_song(rng, sources, seed, tempo_bpm if rng.random() < 0.5 else 0.0)
    drums = worn(rng, dry, ())
    drums /= np.abs(drums).max() + 1e-9
    balance = 10 ** (rng.uniform(-8, 8) / 20)
    rms = np.sqrt((drums**2).mean()) + 1e-9, np.sqrt((music**2).mean()) + 1e-9
    mixed = drums + music * balance * rms[0] / rms[1]
    mixed *= 0.7 / np.abs(mixed).max()
    (stem,) = separated(separation, np.stack([mixed, mixed]), ("drums",))
    return heard(stem, hits)
