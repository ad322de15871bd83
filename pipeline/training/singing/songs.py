"""Sung songs in the layout of :mod:`pipeline.training.render`: one part, a voice."""

import json
import os
from pathlib import Path

import numpy as np

from pipeline.training.effects import made_up_room, worn
from pipeline.training.render import SONG_S
from pipeline.training.singing.singer import sing
from pipeline.training.sounds.base import RATE_HZ

_PEAK = 0.7
# The loudness of singing, in dB about the usual, on the scale of MIDI
_USUAL_VELOCITY = 110
_DB_PER_VELOCITY = 0.4


def sing_songs(out: Path, count: int, first_seed: int) -> None:
    """Sing songs of the seeds ``first_seed`` and those that follow; one that is already there is kept."""
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + count):
        folder = out / f"{seed:07}"
        if folder.exists():
            continue
        rng = np.random.default_rng(seed)
        dry, notes = sing(rng, length_s=SONG_S - 2)
        n_samples = round(SONG_S * RATE_HZ)
        samples = np.zeros(n_samples, np.float32)
        samples[: len(dry)] = dry[:n_samples]
        samples = worn(samples, rng, made_up_room(rng))
        samples *= np.float32(_PEAK / (float(np.abs(samples).max()) + 1e-9))
        rows = [
            (0, note.truth_start_s, note.truth_end_s, note.pitch, _velocity(note.level_db))
            for note in notes
            if note.truth_end_s < SONG_S
        ]
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
        unfinished.mkdir(exist_ok=True)
        np.save(unfinished / "audio.npy", np.round(samples * 32767).astype(np.int16)[None])
        np.save(unfinished / "notes.npy", np.array(rows, dtype=np.float32).reshape(-1, 5))
        part = {"role": "sung", "family": "voice", "sound": "espeak"}
        (unfinished / "song.json").write_text(json.dumps({"seed": seed, "beat_s": 0.5, "parts": [part]}))
        unfinished.rename(folder)


def _velocity(level_db: float) -> float:
    return float(np.clip(_USUAL_VELOCITY + level_db / _DB_PER_VELOCITY, 20, 127))
