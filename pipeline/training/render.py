"""Renders songs to a folder: every part's audio on its own, and the notes that are heard in it.

A song is a folder: ``audio.npy``, int16, (n_parts, n_samples) at 22.05 kHz; ``notes.npy``, float32, (n_notes, 5):
part, start and audible end in s, pitch, velocity 1-127, by start; ``song.json``: seed, beat, and role, family and
sound of every part.
"""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.training.effects import made_up_room, worn
from pipeline.training.errors import TrainingError
from pipeline.training.pieces import midi_files
from pipeline.training.songs import Composer, Part, Song
from pipeline.training.sounds.base import RATE_HZ, Sound
from pipeline.training.sounds.collection import Sources, load_sounds

SONG_S = 45.0
_PARTS = (4, 5, 6, 7)
_ACTIVE_RMS = 0.1
_PEAK = 0.98
_BLOCK = 1024
_FEW = 5  # of what is left out: the reasons are told


@dataclass(frozen=True)
class Job:
    """What to render.

    Attributes:
        out: folder for the songs.
        sources: which sounds.
        pieces: folder below which the MIDI files of borrowed pieces lie, or None.
        first_seed, songs: seeds are ``first_seed`` and those that follow; a song that is already there is kept.
        song_s: length of every song in s.
    """

    out: Path
    sources: Sources
    pieces: Path | None
    first_seed: int
    songs: int
    song_s: float = SONG_S


def render(job: Job, processes: int) -> None:
    """Render all songs of a job, in several processes; can be stopped and run again.

    Raises:
        TrainingError: there are no sounds, or no pieces, where they should be; or a file where the songs should go.
    """
    if job.out.exists() and not job.out.is_dir():
        raise TrainingError(f"{job.out}: not a folder")
    # Before there are processes, each of which would say what is wrong; those that are forked need not load it again
    _composer(job.sources, job.pieces)
    _tell(_sounds(job.sources)[1])
    job.out.mkdir(parents=True, exist_ok=True)
    seeds = [seed for seed in range(job.first_seed, job.first_seed + job.songs) if not _folder(job, seed).exists()]
    if len(seeds) < job.songs:
        print(f"{job.out}: {job.songs - len(seeds)} of these songs are there already, and stay", file=sys.stderr)
    if processes == 1:
        for seed in seeds:
            _render_song(job, seed)
        return
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_render_song, [job] * len(seeds), seeds, chunksize=4))


def _folder(job: Job, seed: int) -> Path:
    return job.out / f"{seed:07}"


@cache
def _sounds(sources: Sources) -> tuple[list[Sound], list[str]]:
    return load_sounds(sources)


@cache
def _composer(sources: Sources, pieces: Path | None) -> Composer:
    files = midi_files(pieces)  # before sounds, which take a while
    return Composer(_sounds(sources)[0], files)


def _tell(left_out: list[str]) -> None:
    if left_out:
        reasons = f" ({'; '.join(left_out)})" if len(left_out) <= _FEW else ""
        print(f"SFZ files left out of --library: {len(left_out)}{reasons}", file=sys.stderr)


def _render_song(job: Job, seed: int) -> None:
    rng = np.random.default_rng(seed)
    song = _composer(job.sources, job.pieces).song(rng, job.song_s, int(rng.choice(_PARTS)))
    audio, notes, kept = performed(song, rng)
    if not kept:
        return
    about = {
        "seed": seed,
        "beat_s": song.frame.beat_s,
        "parts": [{"role": part.role, "family": part.sound.family, "sound": part.sound.name} for part in kept],
    }
    folder = _folder(job, seed)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir(exist_ok=True)
    np.save(unfinished / "audio.npy", audio)
    np.save(unfinished / "notes.npy", notes)
    (unfinished / "song.json").write_text(json.dumps(about))
    unfinished.rename(folder)


def performed(song: Song, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.float32], list[Part]]:
    """Audio (n_parts, n_samples) int16 and notes (n_notes, 5) of the parts that sound, and those parts."""
    room = made_up_room(rng)
    audio: list[NDArray[np.int16]] = []
    rows: list[tuple[float, ...]] = []
    kept: list[Part] = []
    for part in song.parts:
        performance = part.sound.play(part.notes, song.frame.length_s, rng)
        level = _active_rms(performance.samples)
        if level < 1e-5:
            continue
        samples = worn(performance.samples * np.float32(_ACTIVE_RMS / level), rng, room)
        samples = samples * np.float32(_ACTIVE_RMS / max(_active_rms(samples), 1e-6))
        samples = samples * np.float32(min(1.0, _PEAK / float(np.abs(samples).max())))
        audio.append(np.round(samples * 32767).astype(np.int16))
        for note, end_s in zip(part.notes, performance.ends_s, strict=True):
            rows.append((len(kept), note.start_s, end_s, note.pitch, note.velocity))
        kept.append(part)
    notes = np.array(rows, dtype=np.float32).reshape(-1, 5)
    n_samples = round(song.frame.length_s * RATE_HZ)
    return np.array(audio, dtype=np.int16).reshape(-1, n_samples), notes[np.argsort(notes[:, 1], kind="stable")], kept


def _active_rms(samples: NDArray[np.float32]) -> float:
    """Root of the mean square of the blocks that are not silent."""
    power = np.mean(samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK) ** 2, axis=1)
    active = power[power > 1e-3 * power.max()] if power.max() > 0 else power
    return float(np.sqrt(active.mean())) if len(active) else 0.0
