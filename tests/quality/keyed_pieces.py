"""Pieces of known key: composed by rule, or from checkouts of POP909 and of the McGill Billboard annotations.

The composed ones are bands of bass, chords and tune over progressions whose key every textbook names alike: rock, pop,
blues, ballad, jazz and dance ones, modal ones too (a mode counts as major or minor by its third).  Two sets that share
no progression: ``tune``, for choosing profiles and constants, and ``report``.

POP909 (github.com/music-x-lab/POP909-Dataset, MIT) has pop songs as MIDI with their keys; a third of it is the one set,
a third the other.  Billboard (github.com/boomerr1/The-McGill-Billboard-Project, CC0) has chords and tonics, set down by
experts, and the chroma of the recordings of songs of the charts of 1958 to 1991: odd numbers are the one set, even ones
the other.  Its mode is that of the tonic's triads; songs that have both are left out.  Songs in several keys are too.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile

from pipeline.analysis.key import FRAME_S, Key, Sounding
from pipeline.midi import write_midi
from pipeline.notes import Instrument, Note

RATE_HZ = 22_050
TUNE, REPORT = "tune", "report"
# FluidR3 and MuseScore General as Debian installs them; both MIT.
SOUNDFONTS = {
    TUNE: Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    REPORT: Path("/usr/share/sounds/sf3/MuseScore_General.sf3"),
}


@dataclass(frozen=True, slots=True)
class KeyedPiece:
    """A piece and its keys.

    Attributes:
        name: tells it from the others of its set.
        source: ``composed`` or ``pop909``.
        keys: when each key begins, in seconds, and the key; one but for songs that modulate.
        instruments: what is played; stems ``bass``, ``other`` and ``vocals``, and ``drums``.
    """

    name: str
    source: str
    keys: tuple[tuple[float, Key], ...]
    instruments: tuple[Instrument, ...]

    @property
    def key(self) -> Key:
        return self.keys[0][1]


# A chord is its root in semitones above the tonic and its quality.  Each line: mode, verse, chorus.
_QUALITIES = {"": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10), "M7": (0, 4, 7, 11), "m7": (0, 3, 7, 10),
              "o": (0, 3, 6), "5": (0, 7, 12), "s": (0, 5, 7)}  # fmt: skip
_DEGREES = {"I": 0, "bII": 1, "II": 2, "bIII": 3, "III": 4, "IV": 5, "#IV": 6, "V": 7, "bVI": 8, "VI": 9, "bVII": 10,
            "VII": 11}  # fmt: skip
PROGRESSIONS = {
    TUNE: (
        (0, "I V VIm IV", "IV V I I"),
        (0, "I IIIm IV V", "VIm IIm V I"),
        (0, "I I IV I V7 IV I V7", "I7 I7 IV7 IV7 I7 I7 V7 I7"),
        (0, "I IV I V", "I IV V I"),
        (0, "IIm7 V7 IM7 VIm7", "IIm7 V7 IM7 IM7"),
        (0, "I bVII IV I", "I IV bVII I"),
        (0, "I5 bVII5 IV5 I5", "I5 I5 IV5 V5"),
        (0, "I V VIm IIIm IV I IV V", "I VIm IV V"),
        (1, "Im bVI bIII bVII", "Im bVII bVI V7"),
        (1, "Im IVm V7 Im", "IVm Im V7 Im"),
        (1, "Im bVII bVI bVII", "Im Im bVI bVII"),
        (1, "Im7 IV7", "Im7 Im7 IV7 IV7"),
        (1, "Im7 IVm7 Im7 V7", "IVm7 IVm7 Im7 Im7 bVI7 V7 Im7 V7"),
        (1, "Im5 bIII5 bVII5 IV5", "I5 bVI5 bVII5 I5"),
        (1, "Im Vm bVI bVII", "IVm Vm Im Im"),
        (1, "Im bII Im bVIIm", "Im bII Im Im"),
    ),
    REPORT: (
        (0, "I VIm IV V", "I IV VIm V"),
        (0, "VIm IV I V", "IV I V I"),
        (0, "I IV VIm V", "IIm IV I V"),
        (0, "I IM7 IV IVm", "I III7 IV IVm"),
        (0, "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7", "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 I7"),
        (0, "IM7 VI7 IIm7 V7", "IIIm7 VI7 IIm7 V7"),
        (0, "I V IIm IV", "I V IV IV"),
        (0, "I Is I IV", "V IV I I"),
        (0, "I bVII bVI bVII", "I bIII IV I"),
        (0, "I5 IV5 I5 V5", "bVI5 bVII5 I5 I5"),
        (1, "Im bIII bVII bVI", "bVI bVII Im Im"),
        (1, "Im bVI IVm V7", "Im IVm bVII bIII bVI IIo V7 Im"),
        (1, "Im IVm bVII bIII", "bVI IVm V7 Im"),
        (1, "Im7 bVIIM7 bVIM7 V7", "IVm7 V7 Im7 Im7"),
        (1, "I5 bIII5 IV5 I5", "I5 bVII5 bVI5 bVII5"),
        (1, "Im Im IVm Im bVI V7 Im V7", "Im Im IVm Im bVI V7 Im Im"),
        (1, "Im IIm7 Im IV", "Im bVII IV Im"),
        (1, "Im Vm IVm Im", "bVI bVII Im Im"),
        (1, "Im bVII Im Vm", "bIII bVII Im Im"),
        (1, "Im V7 Im IVm", "bVI bIII IVm V7"),
    ),
}
_CHORD_PROGRAMS = (0, 4, 16, 24, 25, 26, 27, 29, 48, 89)
_BASS_PROGRAMS = (32, 33, 34, 38)
_TUNE_PROGRAMS = (40, 52, 53, 56, 65, 73, 80, 81)


def composed(part: str, per_progression: int = 2) -> Iterator[KeyedPiece]:
    """Pieces over each progression of a set, each in a key, tempo, band and rhythm of its own; about 40 s each."""
    for index, (minor, verse, chorus) in enumerate(PROGRESSIONS[part]):
        for take in range(per_progression):
            rng = np.random.default_rng((len(part), index, take))
            tonic = int(rng.integers(12))
            yield _Composer(rng, tonic, bool(minor)).piece(f"{part}-{index:02}-{take}", verse, chorus, up=0)


def modulating(part: str) -> Iterator[KeyedPiece]:
    """Pieces that go up for the second half, by one to four semitones."""
    for index, (minor, verse, chorus) in enumerate(PROGRESSIONS[part]):
        rng = np.random.default_rng((len(part), index, 99))
        tonic, up = int(rng.integers(12)), int(rng.integers(1, 5))
        yield _Composer(rng, tonic, bool(minor)).piece(f"{part}-{index:02}-up", verse, chorus, up=up)


class _Composer:
    """Writes one piece: verse, chorus, verse, chorus, each four bars or more, and mostly a last chord on the tonic."""

    def __init__(self, rng: np.random.Generator, tonic: int, minor: bool) -> None:
        self._rng = rng
        self._tonic = tonic
        self._minor = minor
        self._bar_s = 4 * 60 / float(rng.uniform(84, 150))
        self._notes: dict[str, list[Note]] = {"bass": [], "other": [], "vocals": [], "drums": []}
        self._strummed = bool(rng.integers(2))
        self._eighths = bool(rng.integers(2))
        self._scale: tuple[int, ...] = ()
        self._sung = 7  # step of the scale, from the tonic below the tune's octave

    def piece(self, name: str, verse: str, chorus: str, up: int) -> KeyedPiece:
        rng, tonic = self._rng, self._tonic
        self._scale = scale_of(self._minor, {*verse.split(), *chorus.split()})
        bar, keys = 0, [(0.0, Key.on(tonic, minor=self._minor))]
        for round_ in range(2):
            if round_ and up:
                self._tonic = (tonic + up) % 12
                keys.append((bar * self._bar_s, Key.on(self._tonic, minor=self._minor)))
            for line in (verse, chorus):
                chords = line.split()
                for chord in chords * max(4 // len(chords), 1):
                    self._bar(bar, *chord_tones(chord))
                    bar += 1
        if rng.random() < 0.7:
            self._bar(bar, 0, _QUALITIES["m" if self._minor else ""], last=True)
        programs = {"bass": rng.choice(_BASS_PROGRAMS), "other": rng.choice(_CHORD_PROGRAMS),
                    "vocals": rng.choice(_TUNE_PROGRAMS), "drums": 0}  # fmt: skip
        instruments = tuple(
            Instrument(stem, int(programs[stem]), stem == "drums", stem, tuple(sorted(notes, key=_order)))
            for stem, notes in self._notes.items()
        )
        return KeyedPiece(name, "composed", tuple(keys), instruments)

    def _add(self, stem: str, pitch: int, start: float, beats: float, velocity: float) -> None:
        beat_s = self._bar_s / 4
        off_s, loud = self._rng.normal(0, 0.008), self._rng.normal(0, 0.05)
        at = max(start * beat_s + off_s, 0.0)
        self._notes[stem].append(
            Note(int(pitch), at, at + 0.95 * beats * beat_s, float(np.clip(velocity + loud, 0.1, 1)))
        )

    def _bar(self, bar: int, root: int, quality: tuple[int, ...], *, last: bool = False) -> None:
        at, root = 4.0 * bar, (self._tonic + root) % 12
        low = 28 + (root - 28) % 12
        tones = sorted(52 + (root + tone - 52) % 12 for tone in quality)
        if last:
            for stem, pitches in (("bass", [low]), ("other", tones), ("vocals", [60 + (root - 60) % 12])):
                for pitch in pitches:
                    self._add(stem, pitch, at, 4, 0.7)
            return
        self._bass(at, low)
        strokes = np.arange(0, 4, 0.5) if self._strummed else [0.0, float(self._rng.choice([1.5, 2.0, 2.5]))]
        for beat in strokes:
            for tone in tones:
                self._add("other", tone, at + beat, 0.5 if self._strummed else 2.0, 0.55)
        self._sing(at, {(root + tone) % 12 for tone in quality})
        for beat in range(4):
            self._add("drums", 38 if beat % 2 else 36, at + beat, 0.2, 0.8)
            self._add("drums", 42, at + beat, 0.2, 0.5)
            self._add("drums", 42, at + beat + 0.5, 0.2, 0.4)

    def _bass(self, at: float, low: int) -> None:
        for beat in np.arange(0, 4, 0.5 if self._eighths else 1.0):
            off = self._rng.choice([0, 0, 0, 0, 7, 12]) if beat else 0
            self._add("bass", low + off, at + beat, 0.5 if self._eighths else 1.0, 0.75)

    def _sing(self, at: float, chord: set[int]) -> None:
        """Steps and small leaps in the scale; on the strong beats a tone of the chord where one is near."""
        beat = float(self._rng.choice([0.0, 0.5, 1.0]))
        while beat < 3.9:
            length = float(self._rng.choice([0.5, 0.5, 1.0, 1.5]))
            self._sung = int(np.clip(self._sung + self._rng.integers(-2, 3), 4, 13))
            pitch = 55 + (self._tonic - 55) % 12 + 12 * (self._sung // 7 - 1) + self._scale[self._sung % 7]
            if beat in (0.0, 2.0):
                near = [pitch + step for step in (0, 1, -1, 2, -2) if (pitch + step) % 12 in chord]
                pitch = near[0] if near else pitch
            if self._rng.random() < 0.8:
                self._add("vocals", pitch, at + beat, min(length, 4 - beat), 0.8)
            beat += length


def scale_of(minor: bool, chords: set[str]) -> tuple[int, ...]:
    """The mode that the chords are of."""
    if minor:
        return 0, 1 if "bII" in chords else 2, 3, 5, 7, 9 if chords & {"IV", "IV7", "IIm7"} else 8, 10
    return 0, 2, 4, 5, 7, 9, 10 if chords & {"bVII", "bVII5", "IV7"} else 11


def chord_tones(name: str) -> tuple[int, tuple[int, ...]]:
    """Root above the tonic and tones of, for example, ``bVIIm7``."""
    degree = max((one for one in _DEGREES if name.startswith(one)), key=len)
    return _DEGREES[degree], _QUALITIES.get(name[len(degree) :], _QUALITIES["5" if name.endswith("5") else ""])


def _order(note: Note) -> tuple[float, int]:
    return note.start_s, note.pitch


def pop909(checkout: Path, part: str, count: int) -> Iterator[KeyedPiece]:
    """Songs of a checkout of POP909, spread evenly over it; melody as vocals, the rest as piano and strings."""
    single = pop909_folders(checkout, part)
    for folder, key in single[:: max(len(single) // count, 1)][:count]:
        yield pop909_piece(folder, key)


def pop909_folders(checkout: Path, part: str) -> list[tuple[Path, Key]]:
    """The songs of a set that are in one key."""
    third = {TUNE: 1, REPORT: 0}[part]
    single = []
    for folder in [path for path in sorted((checkout / "POP909").iterdir()) if path.name.isdigit()]:
        lines = (folder / "key_audio.txt").read_text().splitlines() if (folder / "key_audio.txt").exists() else []
        if int(folder.name) % 3 == third and len(lines) == 1:
            letter, mode = lines[0].split()[2].split(":")
            single.append((folder, Key.on(_pitch_class(letter), minor=mode == "min")))
    return single


def pop909_piece(folder: Path, key: Key) -> KeyedPiece:
    """A song of POP909."""
    midi = pretty_midi.PrettyMIDI(str(folder / f"{folder.name}.mid"))
    instruments = []
    for track in midi.instruments:
        stem, program = {"MELODY": ("vocals", 65), "BRIDGE": ("other", 48)}.get(track.name, ("other", 0))
        notes = [Note(n.pitch, n.start, n.end, n.velocity / 127) for n in track.notes if n.end > n.start]
        instruments.append(Instrument(track.name, program, False, stem, tuple(sorted(notes, key=_order))))
    return KeyedPiece(folder.name, "pop909", ((0.0, key),), tuple(instruments))


@dataclass(frozen=True, slots=True)
class BillboardSong:
    """A song of the charts.

    Attributes:
        name: its number.
        key: tonic and mode.
        chords: start and end in seconds, tones from the root on as pitch classes, pitch class of the bass.
        chroma: file of the chroma of its recording.
    """

    name: str
    key: Key
    chords: tuple[tuple[float, float, tuple[int, ...], int], ...]
    chroma: Path

    def piece(self) -> KeyedPiece:
        """Its chords, struck twice a second."""
        notes: dict[str, list[Note]] = {"bass": [], "other": []}
        for start, end, tones, bass in self.chords:
            for at in np.arange(start, end - 0.05, 0.5).tolist():
                stop = min(at + 0.5, end)
                notes["bass"].append(Note(28 + (bass - 28) % 12, at, stop, 0.7))
                notes["other"] += [Note(48 + tone, at, stop, 0.6) for tone in tones]
        instruments = tuple(Instrument(stem, 0, False, stem, tuple(played)) for stem, played in notes.items())
        return KeyedPiece(self.name, "billboard", ((0.0, self.key),), instruments)

    def recording(self) -> Sounding:
        """What the recording's chroma has, every fourth frame; its file begins with the bass and with A."""
        rows = self.chroma.read_text().splitlines()[::4]
        table = np.array([row.split(",")[1:] for row in rows], dtype=np.float64)
        frames = (table[:, 0] / FRAME_S).astype(np.int64)
        chroma = np.zeros((frames[-1] + 1, 24))
        np.add.at(chroma, frames, table[:, 1:] * float(np.median(np.diff(table[:, 0]))))
        bass, treble = np.roll(chroma.reshape(-1, 2, 12), -3, axis=2).transpose(1, 0, 2)
        return Sounding.in_frames(bass + treble, bass)


_LABEL = re.compile(r"([A-G][#b]*)(?::([a-z0-9]*)(?:\([^)]*\))?)?(?:/([#b]*)(\d+))?")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_STEPS = (0, 2, 4, 5, 7, 9, 11)


def billboard(checkout: Path, part: str) -> Iterator[BillboardSong]:
    """The songs of a checkout that are in one key."""
    for folder in sorted((checkout / "billboard-2.0-salami_chords").iterdir()):
        text = (folder / "salami_chords.txt").read_text()
        tonics = re.findall(r"# tonic: (\S+)", text)
        if int(folder.name) % 2 != (part == TUNE) or len(tonics) != 1:
            continue
        lines = (checkout / "billboard-2.0.1-lab" / folder.name / "full.lab").read_text().split("\n")
        chords = tuple(chord for line in lines if line.strip() for chord in _labelled(*line.split()))
        tonic = _pitch_class(tonics[0])
        major_s, minor_s = (
            sum(end - start for start, end, tones, _ in chords if tones[0] == tonic and (tonic + third) % 12 in tones)
            for third in (4, 3)
        )
        if max(major_s, minor_s) > 4 * min(major_s, minor_s) + 4:
            chroma = checkout / "billboard-2.0-chordino" / folder.name / "bothchroma.csv"
            yield BillboardSong(folder.name, Key.on(tonic, minor=minor_s > major_s), chords, chroma)


def _labelled(start: str, end: str, label: str) -> Iterator[tuple[float, float, tuple[int, ...], int]]:
    """The chord of a label such as ``Bb:min7/b3``; nothing for N and X."""
    found = _LABEL.match(label)
    if found is None:
        return
    root, quality, signs, degree = found[1], found[2] or "maj", found[3] or "", int(found[4] or 1)
    third, fifth = 3 if quality.startswith(("min", "dim", "hdim")) else 4, 6 if "dim" in quality else 7
    tones = [0, {"sus4": 5, "sus2": 2}.get(quality, third), 8 if quality == "aug" else fifth]
    if quality in ("1", "5"):
        tones = [0, 7] if quality == "5" else [0]
    tones += [11] if "maj7" in quality or "maj9" in quality else [10] if quality[-1] in "79" else []
    on = _pitch_class(root)
    bass = _STEPS[(degree - 1) % 7] + signs.count("#") - signs.count("b")
    yield float(start), float(end), tuple((on + tone) % 12 for tone in tones), (on + bass) % 12


def _pitch_class(name: str) -> int:
    return (_LETTERS[name[0]] + name.count("#") - name.count("b")) % 12


def rendered(instruments: tuple[Instrument, ...], soundfont: Path) -> np.ndarray:
    """What they play, by fluidsynth: float32 mono, shape (n_samples,), at :data:`RATE_HZ`."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "a.mid", Path(folder) / "a.wav"
        write_midi(instruments, midi)
        subprocess.run(
            ["fluidsynth", "-ni", "-q", "-g", "0.6", "-r", str(RATE_HZ), "-F", str(wav), str(soundfont), str(midi)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    return samples.mean(axis=1)
