"""Rendered songs into what the note network is trained on: seconds of some of their parts, and what is heard there."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.instrument_families import FAMILIES
from pipeline.training.effects import driven, equalised
from pipeline.training.errors import TrainingError
from pipeline.training.sounds.base import RATE_HZ
from pipeline.transcription.note_listening import LEVEL_RMS
from pipeline.transcription.note_network import FRAME_S, FRAME_SAMPLES, STEP_S, STEPS_PER_FRAME
from pipeline.transcription.spectrum import FIRST_PITCH, N_PITCHES

Array = NDArray[np.float32] | NDArray[np.int64]
LabelledPart = tuple[NDArray[np.float32], int, float]  # notes, family, gain

NO_FAMILY = -1
_PART_COUNTS = (1, 2, 3, 4, 5, 6)
_PART_SHARES = (0.28, 0.17, 0.18, 0.16, 0.12, 0.09)
_STRANGER_SHARE = 0.06  # of the samples: a part of another song beside them
_USUAL_VELOCITY, _DYNAMICS = 80.0, 1.5
_COMPANY_SHARE = 0.45  # the same, for songs of one part, and where samples are not dense
_QUIETEST_DB = -14.0  # of the parts of one sample, relative to the loudest
_COLOURED_SHARE, _PART_DRIVEN_SHARE = 0.35, 0.06  # of the parts: another tone each time that they are heard
_RETUNED_SHARE = 0.5
_DRUMMED_SHARE = 0.2  # of the samples: what separation leaves of drums, and whole mixes
_QUIETEST_DRUMS_DB = -30.0
SEPARATED_STEMS = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True)
class Mixing:
    """What a sample is made of: the switches of the ablation.

    Attributes:
        n_frames: length of a sample, in the network's frames.
        dense: several parts at once; else one, or two of different songs.
        augmented: equalisers, distortion, noise, other tunings; else only levels differ.
        separated_share: how many samples are stems of songs that have been through separation.
    """

    n_frames: int = 172
    dense: bool = True
    augmented: bool = True
    separated_share: float = 0.0


@dataclass(frozen=True)
class Batch:
    """Samples and what is heard in them.

    Attributes:
        samples: float32, (n_samples, n_frames * 512).
        onset, sounding: float32 0-1, (n_samples, n_frames * 2, 88).
        velocity: float32, (n_samples, n_frames, 88), 0-1, of notes that start there; NaN elsewhere.
        family: int64, (n_samples, n_frames, 88), index of the loudest note's family; -1 where none sounds.
    """

    samples: NDArray[np.float32]
    onset: NDArray[np.float32]
    sounding: NDArray[np.float32]
    velocity: NDArray[np.float32]
    family: NDArray[np.int64]


@dataclass(frozen=True)
class RenderedSong:
    """A folder that :mod:`pipeline.training.render` wrote, its audio not yet read."""

    folder: Path
    notes: NDArray[np.float32]
    families: tuple[int, ...]
    roles: tuple[str, ...]
    seed: int
    beat_s: float

    @classmethod
    def open(cls, folder: Path) -> "RenderedSong":
        """Read what is small."""
        about = json.loads((folder / "song.json").read_text())
        families = tuple(FAMILIES.index(part["family"]) for part in about["parts"])
        roles = tuple(part["role"] for part in about["parts"])
        return cls(folder, np.load(folder / "notes.npy"), families, roles, about["seed"], about["beat_s"])

    def audio(self) -> NDArray[np.int16]:
        """(n_parts, n_samples), left on disk."""
        return np.asarray(np.load(self.folder / "audio.npy", mmap_mode="r"))

    def drums(self) -> NDArray[np.int16]:
        """(n_samples,): a drummer at the song's tempo."""
        return np.asarray(np.load(self.folder / "drums.npy", mmap_mode="r"))

    def has_drums(self) -> bool:
        """Whether :mod:`pipeline.training.accompany` has been here."""
        return (self.folder / "drums.npy").exists()

    def is_bass(self) -> NDArray[np.bool_]:
        """(n_parts,): which parts separation takes for the bass: whatever plays the bass line."""
        return np.asarray((np.array(self.families) == FAMILIES.index("bass")) | (np.array(self.roles) == "bass"))

    def separated(self) -> NDArray[np.int16]:
        """(4, n_samples): drums, bass, other, vocals as our separation gave them for the mix of all parts."""
        return np.asarray(np.load(self.folder / "separated.npy", mmap_mode="r"))

    def is_separated(self) -> bool:
        """Whether :mod:`pipeline.training.separate` has been here."""
        return (self.folder / "separated.npy").exists()


def rendered_songs(collections: Iterable[Path]) -> list[Path]:
    """The songs in some folders of songs, always in the same order.

    Raises:
        TrainingError: One of the folders has none.
    """
    songs: list[Path] = []
    for folder in collections:
        found = [path.parent for path in folder.glob("[!.]*/song.json")]
        if not found:
            raise TrainingError(f"{folder}: no rendered songs: run `python -m pipeline.training render` first")
        songs += found
    return sorted(songs)


class Samples:
    """Makes batches; the same one for the same number, whatever was made before.

    Args:
        folders: rendered songs.
        mixing: what samples are made of.
        batch_size: samples in a batch.
        seed: of everything random.
    """

    def __init__(self, folders: Sequence[Path], mixing: Mixing, batch_size: int, seed: int) -> None:
        self._songs = [RenderedSong.open(folder) for folder in folders]
        self._separated = [song for song in self._songs if song.is_separated()]
        self._drummed = {song.folder for song in self._songs if song.has_drums()}
        if mixing.separated_share and not self._separated:
            raise TrainingError("no separated songs: run `python -m pipeline.training separate` first")
        self._mixing = mixing
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rng = np.random.default_rng((self._seed, number))
        parts = [self._sample(rng) for _ in range(self._batch_size)]
        return Batch(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))

    def _sample(self, rng: np.random.Generator) -> tuple[Array, ...]:
        mixing = self._mixing
        targets = _Targets(mixing.n_frames)
        retuned = mixing.augmented and rng.random() < _RETUNED_SHARE
        semitones = int(rng.integers(-2, 3)) if retuned else 0
        cents = float(rng.uniform(-25, 25)) if retuned else 0.0
        speed = 2 ** ((semitones + cents / 100) / 12)
        n_samples = mixing.n_frames * FRAME_SAMPLES
        n_source = int(np.ceil(n_samples * speed)) + 2
        if self._separated and rng.random() < mixing.separated_share:
            samples, heard, first = self._separated_part(rng, n_source)
        else:
            samples, heard, first = self._mixed_parts(rng, n_source)
        if speed != 1:
            positions = np.arange(n_samples) * speed
            samples = np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)
        samples = samples[:n_samples]
        # Quieter notes first: of two on one key the louder one's family stays
        for notes, family, _ in sorted(heard, key=lambda part: part[2]):
            targets.write(notes, family, first / RATE_HZ, speed, semitones)
        return _recorded(samples, rng, mixing), *targets.arrays()

    def _mixed_parts(
        self, rng: np.random.Generator, n_source: int
    ) -> tuple[NDArray[np.float32], list[LabelledPart], int]:
        song = self._songs[rng.integers(len(self._songs))]
        n_parts = len(song.families)
        count = min(int(rng.choice(_PART_COUNTS, p=_PART_SHARES)), n_parts) if self._mixing.dense else 1
        audio = song.audio()
        first = int(rng.integers(0, audio.shape[1] - n_source))
        chosen = [(song, int(part)) for part in rng.permutation(n_parts)[:count]]
        alone = n_parts == 1  # a song that is sung without accompaniment
        if rng.random() < (_STRANGER_SHARE if self._mixing.dense and not alone else _COMPANY_SHARE):
            stranger = self._songs[rng.integers(len(self._songs))]
            company = int(rng.integers(1, 4)) if self._mixing.dense and alone else 1
            chosen += [(stranger, int(part)) for part in rng.permutation(len(stranger.families))[:company]]
        samples = np.zeros(n_source, np.float32)
        heard: list[LabelledPart] = []
        for which, part in chosen:
            notes = which.notes[which.notes[:, 0] == part]
            gain_db = float(rng.uniform(_QUIETEST_DB, 0)) if len(chosen) > 1 else 0.0
            # Rendering brought all parts to one level; a part that is struck softly is a soft one
            gain = 10 ** (gain_db / 20) * (float(notes[:, 4].mean()) / _USUAL_VELOCITY) ** _DYNAMICS
            samples += np.float32(gain) * self._part(which, part, first, n_source, rng)
            heard.append((notes, which.families[part], gain))
        if song.folder in self._drummed and rng.random() < _DRUMMED_SHARE:
            gain = 10 ** (float(rng.uniform(_QUIETEST_DRUMS_DB, 0)) / 20)
            samples += np.float32(gain / 32768) * song.drums()[first : first + n_source]
        return samples, heard, first

    def _part(
        self, song: RenderedSong, part: int, first: int, n_source: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        samples = song.audio()[part, first : first + n_source].astype(np.float32) / np.float32(32768)
        power = float(np.mean(samples**2))
        if self._mixing.augmented and power > 0:
            if rng.random() < _COLOURED_SHARE:
                samples = equalised(samples, rng)
            if rng.random() < _PART_DRIVEN_SHARE:
                samples = driven(samples, float(rng.uniform(1, 6)))
            samples = samples * np.float32(np.sqrt(power / max(float(np.mean(samples**2)), 1e-12)))
        return samples

    def _separated_part(
        self, rng: np.random.Generator, n_source: int
    ) -> tuple[NDArray[np.float32], list[LabelledPart], int]:
        song = self._separated[rng.integers(len(self._separated))]
        audio = song.separated()
        first = int(rng.integers(0, audio.shape[1] - n_source))
        is_bass = song.is_bass()
        kind = rng.choice(["bass", "rest", "all"], p=[0.25, 0.5, 0.25])
        stems = {"bass": ("bass",), "rest": ("other", "vocals"), "all": ("bass", "other", "vocals")}[kind]
        rows = [SEPARATED_STEMS.index(stem) for stem in stems]
        samples = audio[rows, first : first + n_source].astype(np.float32).sum(axis=0) / np.float32(32768)
        wanted = is_bass if kind == "bass" else ~is_bass if kind == "rest" else np.ones_like(is_bass)
        heard = [
            (song.notes[song.notes[:, 0] == part], family, 1.0)
            for part, family in enumerate(song.families)
            if wanted[part]
        ]
        return samples, heard, first


def _recorded(samples: NDArray[np.float32], rng: np.random.Generator, mixing: Mixing) -> NDArray[np.float32]:
    """The mix through a desk, at some level."""
    if mixing.augmented:
        if rng.random() < 0.4:
            samples = equalised(samples, rng)
        if rng.random() < 0.12:
            samples = driven(samples, float(rng.uniform(1, 5)))
        if rng.random() < 0.4:
            noise_db = float(rng.uniform(-75, -38))
            samples = samples + np.float32(10 ** (noise_db / 20)) * rng.standard_normal(len(samples), dtype=np.float32)
    level = float(np.sqrt(np.mean(samples**2)))
    gain = LEVEL_RMS / max(level, 1e-3) * 10 ** (float(rng.uniform(-14, 5)) / 20)
    return np.asarray(samples * np.float32(gain), dtype=np.float32)


class _Targets:
    """What is heard in one sample, on the network's grids."""

    def __init__(self, n_frames: int) -> None:
        self._onset = np.zeros((n_frames * STEPS_PER_FRAME, N_PITCHES), np.float32)
        self._sounding = np.zeros_like(self._onset)
        self._velocity = np.full((n_frames, N_PITCHES), np.nan, np.float32)
        self._family = np.full((n_frames, N_PITCHES), NO_FAMILY, np.int64)

    def write(self, notes: NDArray[np.float32], family: int, first_s: float, speed: float, semitones: int) -> None:
        """Notes (n, 5) of one part of a song that is heard from ``first_s`` on, played faster by ``speed``."""
        n_steps = len(self._onset)
        starts = (notes[:, 1] - first_s) / speed / STEP_S
        ends = (notes[:, 2] - first_s) / speed / STEP_S
        here = (ends > 0) & (starts < n_steps)
        for start, end, note in zip(starts[here], ends[here], notes[here], strict=True):
            key = int(note[3]) + semitones - FIRST_PITCH
            if not 0 <= key < N_PITCHES:
                continue
            first, last = max(0, round(start)), min(n_steps, max(round(end), round(start) + 2))
            self._sounding[first:last, key] = 1
            for step in range(max(0, int(start) - 2), min(n_steps, int(start) + 4)):
                value = min(1.0, 1.25 - abs(step - start) / 2)
                self._onset[step, key] = max(self._onset[step, key], value)
            # An onset is heard a step too early or too late as well.  Where its velocity is, its family has to be too
            frame = math.floor(start * STEP_S / FRAME_S)
            begin, begun = max(0, frame - 1), max(0, frame + 2)
            stop = max(-(-last // STEPS_PER_FRAME), begun)
            self._family[begin:stop, key] = family
            self._velocity[begin:stop, key] = np.nan  # of softer notes that start under this one
            self._velocity[begin:begun, key] = note[4] / 127

    def arrays(self) -> tuple[Array, ...]:
        """Onset, sounding, velocity, family."""
        return np.clip(self._onset, 0, 1), self._sounding, self._velocity, self._family
