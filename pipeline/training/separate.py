"""Sends rendered songs through our own separation, so that the network hears stems as they will be.

The parts of a song, panned and at levels of their own, and its drums where it has any are mixed; what htdemucs makes of
the mix is kept beside the parts as ``separated.npy``: int16, (4, n_samples), drums, bass, other, vocals, mono at
22.05 kHz.
"""

import os
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.song import SongPipeline
from pipeline.training.dataset import SEPARATED_STEMS, RenderedSong, rendered_songs
from pipeline.training.separating import RATE_HZ as MIX_RATE_HZ
from pipeline.training.separating import separated, separating_pipeline
from pipeline.training.sounds.base import RATE_HZ

_DRUMMED_SHARE = 0.85
_QUIETEST_DB = -12.0
_PEAK = 0.7
_SEED = 2  # 1 is the drummer's


def separate_songs(folder: Path, count: int) -> None:
    """Separate ``count`` songs, spread evenly over a folder; those that are already stay as they are."""
    songs = rendered_songs([folder])
    pipeline = separating_pipeline()
    for path in songs[:: max(len(songs) // count, 1)][:count]:
        song = RenderedSong.open(path)
        if song.is_separated():
            continue
        rng = np.random.default_rng((song.seed, _SEED))
        stems = _separated(pipeline, _mix(song, rng))
        unfinished = path / f".separated.{os.getpid()}.npy"
        np.save(unfinished, stems)
        unfinished.rename(path / "separated.npy")


def _mix(song: RenderedSong, rng: np.random.Generator) -> NDArray[np.float32]:
    """Stereo, (2, n_samples) at 44.1 kHz."""
    audio = song.audio()
    n_samples = audio.shape[1] * MIX_RATE_HZ // RATE_HZ
    mixed = np.zeros((2, n_samples), np.float32)
    for part in audio:
        gain = 10 ** (float(rng.uniform(_QUIETEST_DB, 0)) / 20)
        _add(mixed, np.float32(gain) * _widened(part), float(rng.uniform(-0.8, 0.8)))
    if song.has_drums() and rng.random() < _DRUMMED_SHARE:
        drums = _widened(song.drums())
        level = float(np.sqrt(np.mean(mixed**2)) / (np.sqrt(np.mean(drums**2)) + 1e-9))
        _add(mixed, drums * np.float32(level * 10 ** (float(rng.uniform(-6, 6)) / 20)), 0.0)
    return mixed * np.float32(_PEAK / max(float(np.abs(mixed).max()), 1e-6))


def _widened(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """At the rate of the separation."""
    return np.asarray(soxr.resample(samples.astype(np.float32) / 32768, RATE_HZ, MIX_RATE_HZ), dtype=np.float32)


def _add(mixed: NDArray[np.float32], samples: NDArray[np.float32], pan: float) -> None:
    angle = (pan + 1) * np.pi / 4
    n_samples = min(mixed.shape[1], len(samples))
    mixed[0, :n_samples] += np.float32(np.cos(angle)) * samples[:n_samples]
    mixed[1, :n_samples] += np.float32(np.sin(angle)) * samples[:n_samples]


def _separated(pipeline: SongPipeline, mixed: NDArray[np.float32]) -> NDArray[np.int16]:
    stems = soxr.resample(separated(pipeline, mixed, SEPARATED_STEMS).T, MIX_RATE_HZ, RATE_HZ).T
    scaled: NDArray[np.int16] = np.round(np.clip(stems, -1, 1) * 32767).astype(np.int16)
    return scaled
