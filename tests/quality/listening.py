"""Has the pipeline write down songs with known notes, in both protocols.

*True stems*: every true stem on its own, and silence for each stem that the song does not have.  *From the mix*: the
mix is separated by us, and what came out is written down together.  Separated stems are kept: by the content of the mix
and of the weights, so that no second run separates them again.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.audio.decode import decode
from pipeline.audio.source import AudioSource
from pipeline.instrument_families import family_of_program
from pipeline.models.store import ModelStore, default_root
from pipeline.notes import Instrument
from pipeline.song import SongPipeline
from pipeline.transcription.routing import Transcription
from quality.bench_songs import BenchError, Song
from quality.metrics import Notes, note_array

SEPARATED = default_root().parent / "quality" / "separated"
_SILENCE_RATE_HZ = 44_100
_STEP = 2.0**-15  # of a 16-bit file


@dataclass(frozen=True, slots=True)
class Heard:
    """What was written down of a song.

    Attributes:
        instruments: as the pipeline gives them.
        listened: the stems that were given to it, with notes or not.
        elapsed_s: how long transcription took, decoding left out.
        cpu_s: the processor time of this process meanwhile, all its threads together.
    """

    instruments: tuple[Instrument, ...]
    listened: frozenset[str]
    elapsed_s: float
    cpu_s: float

    @property
    def notes(self) -> dict[str, Notes]:
        """Note arrays by stem, velocities 0-127."""
        by_stem: dict[str, list[tuple[float, float, float, float]]] = {}
        for found in self.instruments:
            by_stem.setdefault("drums" if found.is_drum else found.stem, []).extend(
                (note.start_s, note.end_s, note.pitch, 127 * note.velocity) for note in found.notes
            )
        return {stem: note_array(notes) for stem, notes in by_stem.items()}

    @property
    def families(self) -> dict[str, Notes]:
        """Note arrays of pitched notes by their instrument's family."""
        by_family: dict[str, list[tuple[float, float, float, float]]] = {}
        for found in self.instruments:
            if not found.is_drum:
                by_family.setdefault(family_of_program(found.program), []).extend(
                    (note.start_s, note.end_s, note.pitch, 127 * note.velocity) for note in found.notes
                )
        return {family: note_array(notes) for family, notes in by_family.items()}


class Listener:
    """Separates and transcribes songs; keeps the loaded models.

    Args:
        transcriber: one of :data:`pipeline.transcription.choices.TRANSCRIBERS`.
        separation_model: name in the catalogue.
        separated: where separated stems are kept, and looked for: ``<set>/<song>/<stem>.flac`` is taken as it is.
    """

    def __init__(self, *, transcriber: str, separation_model: str, separated: Path) -> None:
        self._weights = ModelStore(Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root()))
        self._entry = self._weights.catalogue[separation_model]
        self._pipeline = SongPipeline(self._weights, separation_model=separation_model)
        self._separated = separated
        self._transcriber = transcriber
        self._transcription = Transcription(self._weights)

    def hear_true_stems(self, song: Song) -> Heard:
        """Every stem on its own: those whose notes are known, and of a complete song silence for absent ones."""
        instruments: list[Instrument] = []
        elapsed_s = cpu_s = 0.0
        with tempfile.TemporaryDirectory(prefix="stemscribe-") as name:
            folder = Path(name)
            stems = {stem: decode(path, folder) for stem, path in song.stems.items() if stem in song.annotated}
            if song.complete:
                silence = _silence(song.duration_s, folder)
                stems |= {stem: silence for stem in self._entry.stems if stem not in stems}
            for stem, audio in stems.items():
                heard = self._transcribe({stem: audio})
                instruments += heard.instruments
                elapsed_s += heard.elapsed_s
                cpu_s += heard.cpu_s
        return Heard(tuple(instruments), frozenset(stems), elapsed_s, cpu_s)

    def hear_mix(self, song: Song) -> Heard:
        """The mix, separated and then written down."""
        with tempfile.TemporaryDirectory(prefix="stemscribe-") as name:
            paths = self._separate(song, Path(name))
            return self._transcribe({stem: decode(path, Path(name)) for stem, path in paths.items()})

    def separated_stems(self, song: Song) -> dict[str, Path]:
        """The files of the stems that separation makes of a song's mix."""
        with tempfile.TemporaryDirectory(prefix="stemscribe-") as name:
            return self._separate(song, Path(name))

    def _transcribe(self, stems: Mapping[str, AudioSource]) -> Heard:
        """What the pipeline finds in the stems of one song."""
        elapsed_s, cpu_s = time.perf_counter(), time.process_time()
        found = self._transcription.transcribe(stems, transcriber=self._transcriber)
        return Heard(found, frozenset(stems), time.perf_counter() - elapsed_s, time.process_time() - cpu_s)

    def _separate(self, song: Song, scratch: Path) -> dict[str, Path]:
        """The separated stems of a song's mix, from the folder of separated ones where they are there."""
        kept = self._stems_in(self._separated / song.set_name / song.name)
        if kept:
            return kept
        mix = song.mix
        if mix is None:
            samples, rate_hz = _sum_of(song.stems)
            digest = hashlib.sha256(samples.tobytes() + str(rate_hz).encode())
            mix = scratch / "mix.wav"
            soundfile.write(mix, samples, rate_hz, subtype="FLOAT")
        else:
            digest = hashlib.sha256(mix.read_bytes())
        for file in self._entry.files:
            digest.update(file.sha256.encode())
        folder = self._separated / f"{self._entry.name}-{digest.hexdigest()[:32]}"
        kept = self._stems_in(folder)
        if not kept:
            self._pipeline.separate(mix, folder, scratch=scratch)
            kept = self._stems_in(folder)
        return kept

    def _stems_in(self, folder: Path) -> dict[str, Path]:
        """The files of all the model's stems; none where one is missing."""
        paths = {stem: folder / f"{stem}.flac" for stem in self._entry.stems}
        return paths if all(path.exists() for path in paths.values()) else {}


def _sum_of(stems: Mapping[str, Path]) -> tuple[NDArray[np.float32], int]:
    """The plain sum of files of one rate, float32 of shape (n_samples, 2), and the rate."""
    read = {path: soundfile.read(path, dtype="float32", always_2d=True) for path in stems.values()}
    rates = {rate_hz for _, rate_hz in read.values()}
    if len(rates) != 1:
        raise BenchError(f"{next(iter(read)).parent}: the stems have different rates: {sorted(rates)} Hz")
    mix = np.zeros((max(len(audio) for audio, _ in read.values()), 2), dtype=np.float32)
    for audio, _ in read.values():
        mix[: len(audio)] += audio
    return mix, rates.pop()


def _silence(duration_s: float, folder: Path) -> AudioSource:
    """Silence as a 16-bit file holds it: triangular dither of one step."""
    random = np.random.default_rng(0)
    n_samples = round(duration_s * _SILENCE_RATE_HZ)
    dither = _STEP * np.round(random.random(n_samples) + random.random(n_samples) - 1.0)
    path = folder / "silence.f32"
    dither.astype("<f4").tofile(path)
    return AudioSource(path, _SILENCE_RATE_HZ, 1, n_samples)
