"""Songs whose tempo and key are both known, as sound: what :mod:`score_key_bpm` judges by, and what was tuned on.

* ``bands``: the grooves of :mod:`timing_grooves` over the progressions of :mod:`keyed_pieces`, each in a key of its
  own, 48 s.  Grooves and progressions for tuning, played with FluidR3; others for the report, played with MuseScore
  General.  Grooves whose tempo has no one value, as it jumps or rises all along, are left out.
* ``rises``: pieces of :mod:`keyed_pieces` that go up one to four semitones halfway, with their drums.
* ``pop909``: songs of a checkout of POP909 (github.com/music-x-lab/POP909-Dataset, MIT), the first 90 s: pop songs
  arranged for the piano, by hand, with strings, without drums.  Only those in one key whose two annotations of the
  beats agree on the tempo and not on the bars: of the others the beat network was made.  For the report a third of
  which the key's weights were not made either.

Needs fluidsynth and both soundfonts.
"""

import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile

from pipeline.analysis.key import Key
from pipeline.notes import Instrument, Note
from quality.keyed_pieces import (
    PROGRESSIONS,
    REPORT,
    SOUNDFONTS,
    TUNE,
    chord_tones,
    modulating,
    pop909_folders,
    pop909_piece,
    scale_of,
)
from quality.score_timing import Truth
from quality.timing_grooves import GENRES, Genre, Groove
from quality.timing_songs import Players, compose_groove, perform

RATE_HZ = 44_100
POP909_S = 90.0
_GROOVES = {TUNE: (0, 0), REPORT: (1, 2)}
_NO_ONE_TEMPO = ("ramp", "jump")
_VOLUMES = {"drums": 110, "bass": 105, "vocals": 90}  # of the channels; others 80
_ENDS_ON_TONIC = 0.7  # how many songs do


@dataclass(frozen=True)
class KeyedSong:
    """A song.

    Attributes:
        name: tells it from the others of its set.
        bpm: quarter notes, dotted quarters in compound metres, a minute.
        keys: when each key begins, in seconds, and the key.
        instruments: what is played.
    """

    name: str
    bpm: float
    keys: tuple[tuple[float, Key], ...]
    instruments: tuple[Instrument, ...]

    def write(self, path: Path, soundfont: Path) -> None:
        """Play it with fluidsynth into a file of 44.1 kHz, stereo, in the format of its suffix."""
        midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=100.0)  # notes lie in seconds: any tempo will do
        for one in self.instruments:
            track = pretty_midi.Instrument(one.program, one.is_drum)
            track.control_changes = [pretty_midi.ControlChange(7, _VOLUMES.get(one.stem, 80), 0.0)]
            track.notes = [
                pretty_midi.Note(max(round(127 * n.velocity), 1), n.pitch, n.start_s, n.end_s) for n in one.notes
            ]
            midi.instruments.append(track)
        with tempfile.TemporaryDirectory() as folder:
            mid, wav = Path(folder) / "song.mid", Path(folder) / "song.wav"
            midi.write(str(mid))
            command = ["fluidsynth", "-ni", "-q", "-g", "0.5", "-r", str(RATE_HZ), "-T", "wav", "-O", "float"]
            subprocess.run([*command, "-F", str(wav), str(soundfont), str(mid)], check=True, capture_output=True)
            samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
        soundfile.write(path, 0.9 * samples / max(float(np.abs(samples).max()), 1e-9), RATE_HZ)


class _Band(Players):
    """Plays the chords and the scale of a key that textbooks name."""

    def __init__(
        self, rng: np.random.Generator, genre: Genre, groove: Groove, n_bars: int, line: tuple[int, str, str]
    ) -> None:
        super().__init__(rng, genre, groove, int(rng.integers(12)), ())
        self.minor, verse, chorus = bool(line[0]), line[1].split(), line[2].split()
        self.chords = [name for part in (verse, chorus) for name in part * max(4 // len(part), 1)]
        self.scale = scale_of(self.minor, {*verse, *chorus})
        self.last_bar = n_bars - 1 if rng.random() < _ENDS_ON_TONIC else -1

    def chord(self, number: int) -> tuple[int, tuple[int, ...]]:
        if number == self.last_bar:
            return self.key, (0, 3 if self.minor else 4, 7)
        root, tones = chord_tones(self.chords[number % len(self.chords)])
        return root + self.key, tones

    def bass_step(self, mark: str, tones: tuple[int, ...]) -> int:
        if mark in "36":  # a walking bass, in the chord
            return tones[1] if mark == "3" else 12
        return super().bass_step(mark, tones)


def bands(part: str) -> Iterator[KeyedSong]:
    """Two songs of each kind of music: over one groove for tuning, over two others for the report."""
    lines = PROGRESSIONS[part]
    order = np.random.default_rng(len(part)).permutation(2 * len(GENRES))
    for number, (kind, take) in enumerate((kind, take) for kind in GENRES for take in (0, 1)):
        index = _GROOVES[part][take]
        if GENRES[kind].tempo[index] in _NO_ONE_TEMPO:
            continue
        name = f"{part} {kind} {take + 1}"
        line = lines[int(order[number]) % len(lines)]
        made: list[_Band] = []

        def band(
            rng: np.random.Generator,
            genre: Genre,
            groove: Groove,
            n_bars: int,
            line: tuple[int, str, str] = line,
            made: list[_Band] = made,
        ) -> Players:
            made.append(_Band(rng, genre, groove, n_bars, line))
            return made[0]

        song = compose_groove(name, kind, index, np.random.default_rng(zlib.crc32(name.encode())), band)
        instruments = tuple(
            Instrument(
                one.name,
                one.program,
                one.is_drum,
                one.stem,
                tuple(Note(n.pitch, n.start_s, n.end_s, n.velocity / 127) for n in notes if n.end_s > n.start_s),
            )
            for one, notes in perform(song)[0]
        )
        bpm = Truth(song.beats_s, np.array(song.downbeats), song.signature).bpm
        key = Key.on(made[0].key % 12, minor=made[0].minor)
        yield KeyedSong(name, bpm, ((0.0, key),), instruments)


def rises(part: str) -> Iterator[KeyedSong]:
    """Songs in two keys; of these the tempo is not asked."""
    for piece in modulating(part):
        yield KeyedSong(piece.name, float("nan"), piece.keys, piece.instruments)


def pop909(checkout: Path, part: str, count: int) -> Iterator[KeyedSong]:
    """Songs spread evenly over those of a checkout that no network of ours was made of."""
    songs = [
        (folder, key, bpm)
        for folder, key in pop909_folders(checkout, part)
        if (bpm := _unlearned_bpm(folder)) is not None
    ]
    for place in np.linspace(0, len(songs) - 1, min(count, len(songs))).round().astype(int).tolist():
        folder, key, bpm = songs[place]
        piece = pop909_piece(folder, key)
        begun = tuple(
            replace(one, notes=tuple(note for note in one.notes if note.start_s < POP909_S))
            for one in piece.instruments
        )
        yield KeyedSong(folder.name, bpm, piece.keys, begun)


def _unlearned_bpm(folder: Path) -> float | None:
    """The tempo, where annotations agree on it but not, as ``fit_beats.py`` asks, on nine bars in ten."""
    heard, derived = np.loadtxt(folder / "beat_audio.txt"), np.loadtxt(folder / "beat_midi.txt")
    bars, others = heard[heard[:, 1] == 1, 0], derived[derived[:, 2] > 0, 0]
    others = others[(others > bars[0] - 0.1) & (others < bars[-1] + 0.1)]
    learned = len(others) >= 8 and np.mean([np.abs(bars - at).min() < 0.1 for at in others]) >= 0.9
    bpm, other = (float(60 / np.median(np.diff(times))) for times in (heard[:, 0], derived[:, 0]))
    return None if learned or abs(other / bpm - 1) > 0.02 else bpm


def soundfont(part: str) -> Path:
    """What a set is played with."""
    return SOUNDFONTS[part]
