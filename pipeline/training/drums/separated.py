"""Drum stems that have been through our own separation: drums and a band, mixed and separated again."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline
from pipeline.training.drums.bands import band
from pipeline.training.drums.kits import RATE_HZ, read_mono
from pipeline.training.drums.mixing import worn
from pipeline.training.drums.render import SONG_S, Song, Sources, dry_song, heard


def separating_pipeline() -> SongPipeline:
    """Separates with htdemucs, whose weights must have been fetched."""
    root = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root())
    return SongPipeline(ModelStore(root), separation_model="htdemucs")


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
    with tempfile.TemporaryDirectory(prefix="stemscribe-") as name:
        folder = Path(name)
        soundfile.write(folder / "mix.wav", np.stack([mixed, mixed], axis=1), RATE_HZ, subtype="FLOAT")
        separation.separate(folder / "mix.wav", folder / "stems", scratch=folder)
        (path,) = (folder / "stems").glob("drums.*")
        return heard(read_mono(path), hits)
