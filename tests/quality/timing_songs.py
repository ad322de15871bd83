"""Composes and renders songs whose beats, bars and time signatures are known: 26 kinds of music, three songs each.

The first song of each kind is for tuning, the other two are for the figures (:mod:`score_timing`).  What the bands play
is in :mod:`timing_grooves`, written by hand; forms, tunes, fills and the way the tempo goes are made here.  Of this
material nothing goes into the fitting of the beat network.

Run from the repository root::

    python tests/quality/timing_songs.py --out DIR [--half tuning|figures] [--only rock]

writes ``DIR/<song>/{notes.json,beats.json,mix.flac,stems/*.flac}``.  Needs fluidsynth, FluidR3 and, for every second
song, MuseScore General.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality.song_rendering import CRASH, RATE_HZ, SOUNDFONT, Event, Part, PlayedNote, humanise, render
from quality.timing_grooves import GENRES, Genre, Groove

OTHER_SOUNDFONT = Path("/usr/share/sounds/sf3/MuseScore_General.sf3")
LENGTH_S = 48.0
HALVES = ("tuning", "figures", "figures")
_KEYS = {"K": 36, "S": 38, "C": 37, "H": 42, "O": 46, "R": 51, "T": 41, "P": 54}
_FILL_KEYS = (38, 38, 48, 45, 41)
_TONES = {"1": 0, "3": 4, "5": 7, "6": 9, "8": 12}
# Chord roots above the key note; minor chords by a second number.
_PROGRESSIONS = (
    ((0, 0), (7, 0), (9, 1), (5, 0)), ((9, 1), (5, 0), (0, 0), (7, 0)), ((0, 0), (5, 0), (0, 0), (7, 0)),
    ((2, 1), (7, 0), (0, 0), (9, 1)), ((0, 0), (10, 0), (5, 0), (0, 0)), ((9, 1), (7, 0), (5, 0), (7, 0)),
    ((0, 0), (0, 0), (5, 0), (7, 0)), ((0, 0), (4, 1), (5, 0), (5, 1)),
)  # fmt: skip
_SCALE = (0, 2, 4, 7, 9)


@dataclass(frozen=True)
class Bar:
    """One bar: its first beat, how many beats, its number in its section, how long that is, who plays."""

    beat: int
    beats: int
    index: int
    length: int
    section: int
    plays: str


@dataclass(frozen=True)
class Composition:
    """A song before it is heard.

    Attributes:
        parts: what everybody plays, in beats.
        beats_s: times of all beats in seconds, from the first bar or the pick-up to the end of the last bar.
        downbeats: which of them begin a bar.
        signature: the time signature that most bars have.
    """

    name: str
    half: str
    parts: tuple[Part, ...]
    beats_s: np.ndarray
    downbeats: list[int]
    signature: tuple[int, int]

    def at_s(self, beat: float) -> float:
        """The time of a beat; before the first and after the last the tempo goes on."""
        times = self.beats_s
        last = len(times) - 1
        if beat < 0:
            return float(times[0] + beat * (times[1] - times[0]))
        if beat > last:
            return float(times[-1] + (beat - last) * (times[-1] - times[-2]))
        return float(np.interp(beat, np.arange(len(times)), times))


def names(half: str) -> list[str]:
    """Songs of one half."""
    return [f"{genre} {number}" for genre in GENRES for number in (1, 2, 3) if HALVES[number - 1] == half]


def compose(name: str) -> Composition:
    """The song of that name; the same name is always the same song."""
    kind, number = name.rsplit(" ", 1)
    index = int(number) - 1
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return compose_groove(name, kind, index, rng, _players)


def _players(rng: np.random.Generator, genre: Genre, groove: Groove, _n_bars: int) -> "Players":
    key, progression = int(rng.integers(12)), _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    return Players(rng, genre, groove, key, progression)


def compose_groove(
    name: str,
    kind: str,
    index: int,
    rng: np.random.Generator,
    players_of: Callable[[np.random.Generator, Genre, Groove, int], "Players"],
) -> Composition:
    """A song of a kind of music over one of its grooves, played by ``players_of(rng, genre, groove, bars)``."""
    genre = GENRES[kind]
    groove = genre.grooves[index]
    pickup = (1 + index % genre.beats) if genre.form == "pickup" else 0
    bars = _form(genre, groove.bpm, index, pickup)
    n_beats = bars[-1].beat + bars[-1].beats
    beats_s = _tempo(rng, genre.tempo[index], n_beats, groove.bpm) + float(rng.uniform(0.1, 1.5))
    players = players_of(rng, genre, groove, len(bars))
    key = players.key
    timing_s = (
        0.002 if genre.tempo[index] == "click" and kind in ("house", "disco", "drum'n'bass", "half-time") else 0.009
    )
    events: dict[str, list[Event]] = {"drums": [], "bass": [], "chords": [], "tune": []}
    if pickup:
        events["tune"] += [Event(i * 0.5, 0.45, 67 + key % 5 + i % 3, 88) for i in range(2 * pickup)]
    for number_of_bar, bar in enumerate(bars):
        players.play(events, bar, number_of_bar)
    parts = []
    labels = {"drums": ("Drums", "drums", 1.0), "bass": ("Bass", "bass", 0.9), "chords": ("Chords", "other", 0.6),
              "tune": ("Tune", "other", 0.7)}  # fmt: skip
    for part, program in zip(("drums", "bass", "chords", "tune"), (0, *genre.programs), strict=True):
        label, stem, gain = labels[part]
        if program in (52, 53, 54):
            stem = "vocals"
        if events[part] and program is not None:
            parts.append(Part(label, program, part == "drums", stem, gain, 0.0, timing_s, tuple(events[part])))
        elif events[part]:  # a left hand, or the thumb
            parts.append(Part("Low", genre.programs[1] or 0, False, "other", gain, 0.0, timing_s, tuple(events[part])))
    downbeats = [bar.beat for bar in bars]
    return Composition(name, HALVES[index], tuple(parts), beats_s, downbeats, genre.signature)


def _form(genre: Genre, bpm: float, index: int, pickup: int) -> list[Bar]:
    """Sections until the song is long enough: intro, verse, chorus, break, and so on."""
    plan = {
        "song": [(4, "no tune"), (8, "all"), (8, "all"), (4, "no drums"), (8, "all"), (8, "all")],
        "break": [(8, "no tune"), (8, "all"), (8, "no drums"), (8, "all"), (4, "drums"), (8, "all")],
        "pickup": [(8, "all"), (8, "all"), (4, "no tune"), (8, "all"), (8, "all")],
        "loop": [(4, "no tune"), (8, "all"), (8, "all"), (8, "all"), (8, "all")],
        "changes": [(4, "no tune"), (8, "all"), (6, "three"), (8, "all"), (6, "three"), (8, "all")],
    }[genre.form]
    bars: list[Bar] = []
    beat, section = pickup, 0
    while beat * 60 / bpm < LENGTH_S:
        length, plays = plan[section % len(plan)]
        for number in range(length):
            beats = genre.beats
            if plays == "three":  # bars of three, of alternating four and three, of five
                beats = (3, 4 - number % 2, 5)[index]
            bars.append(Bar(beat, beats, number, length, section, "all" if plays == "three" else plays))
            beat += beats
        section += 1
    return bars


def _tempo(rng: np.random.Generator, kind: str, n_beats: int, bpm: float) -> np.ndarray:
    """Times of beats from 0 s on."""
    periods = np.full(n_beats, 60 / bpm)
    if kind in ("drift", "rubato intro"):  # a band without a click: within some percent, slowly
        walk = np.convolve(rng.normal(size=n_beats + 16), np.ones(16) / 4, "same")[8 : n_beats + 8]
        periods *= np.exp(0.012 * walk)
    if kind == "rubato intro":
        periods[:8] *= np.exp(rng.uniform(-0.15, 0.25, 8))
        periods[8:10] *= 1.2
    elif kind == "ramp":
        periods *= np.exp(np.linspace(0, -0.25, n_beats))
    elif kind == "jump":
        periods[n_beats // 2 :] *= 0.85
    return np.concatenate([[0.0], np.cumsum(periods)])


class Players:
    """Turns grooves into events."""

    scale = _SCALE

    def __init__(
        self, rng: np.random.Generator, genre: Genre, groove: Groove, key: int, progression: tuple[tuple[int, int], ...]
    ) -> None:
        self.rng, self.genre, self.groove, self.key, self.progression = rng, genre, groove, key, progression
        self.per_beat = genre.steps // genre.beats
        grain = max(self.per_beat // 2, 1) if self.per_beat != 3 else 1
        share = 0.62 if groove.bpm < 120 else 0.42
        self.motifs = [
            [
                s
                for s in range(0, 2 * genre.steps, grain)
                if rng.random() < share * (1.2 if s % self.per_beat == 0 else 0.7)
            ]
            for _ in range(3)
        ]

    def place(self, bar: Bar, step: float) -> float:
        """Beat of a step of the bar, swung."""
        beat = step / self.per_beat
        inside = beat % 1.0
        swing = self.groove.swing
        swung = inside * 2 * swing if inside <= 0.5 else swing + (inside - 0.5) * 2 * (1 - swing)
        return bar.beat + beat - inside + swung

    def chord(self, number: int) -> tuple[int, tuple[int, ...]]:
        root, minor = self.progression[int(number / self.genre.bars_per_chord) % len(self.progression)]
        return root + self.key, (0, 3 if minor else 4, 7)

    def bass_step(self, mark: str, _tones: tuple[int, ...]) -> int:
        """What the bass plays above the root of a chord of these tones."""
        return _TONES[mark]

    def play(self, events: dict[str, list[Event]], bar: Bar, number: int) -> None:
        steps = bar.beats * self.per_beat
        if bar.plays != "no drums":
            self._drums(events["drums"], bar, steps)
        if bar.plays == "drums":
            return
        root, tones = self.chord(number)
        for step, mark, length in self._held("B", number, steps):
            pitch = 28 + (root + 8) % 12 + self.bass_step(mark, tones)
            if self.genre.programs[0] is None:
                pitch += 12
            events["bass"].append(
                Event(self.place(bar, step), length / self.per_beat * 0.95, pitch, 92 if step == 0 else 84)
            )
        for order, (step, mark, length) in enumerate(self._held("G", number, steps)):
            pitches = [52 + (root + tone + 8) % 12 for tone in tones]
            if mark == "a":
                pitches = [(*pitches, pitches[0] + 12)[order % 4]]
            events["chords"] += [
                Event(self.place(bar, step), length / self.per_beat * 0.95, pitch, 80 if step == 0 else 72)
                for pitch in pitches
            ]
        if bar.plays == "all" and self.genre.programs[2] is not None and bar.index % 4 != 3:
            self._tune(events["tune"], bar, steps, tones, root)

    def _row(self, row: str, number: int, steps: int) -> str:
        text = self.groove.rows.get(row, "")
        if not text:
            return ""
        first = number * self.genre.steps % len(text)
        return (text[first:] + text * 3)[:steps]

    def _held(self, row: str, number: int, steps: int) -> list[tuple[int, str, float]]:
        """Steps that start a tone, their marks, and how many steps they last."""
        text = self._row(row, number, steps)
        found = []
        for step, mark in enumerate(text):
            if mark not in ".-":
                length = 1 + len(text[step + 1 :]) - len(text[step + 1 :].lstrip("-"))
                found.append((step, mark, max(float(length), 1.0 if self.per_beat < 4 else 1.5)))
        return found

    def _drums(self, out: list[Event], bar: Bar, steps: int) -> None:
        fill = bar.index == bar.length - 1 and bar.length >= 8 and self.genre.form != "loop" and "K" in self.groove.rows
        end = steps - 2 * self.per_beat if fill and bar.beats > 2 else steps
        for row, key in _KEYS.items():
            for step, mark in enumerate(self._row(row, bar.index, steps)):
                if mark in "xo" and step < end:
                    loud = {"K": 108, "S": 106, "C": 92, "T": 96}.get(row, 84 if step % self.per_beat == 0 else 70)
                    out.append(Event(self.place(bar, step), 0.2, key, loud if mark == "x" else int(loud * 0.6)))
        for order, step in enumerate(range(end, steps)):
            out.append(
                Event(self.place(bar, step), 0.2, _FILL_KEYS[order * 5 // max(steps - end, 1)], 90 + order % 3 * 6)
            )
        if bar.index == 0 and bar.section and "S" in self.groove.rows and self.rng.random() < 0.7:
            out.append(Event(self.place(bar, 0), 0.5, CRASH, 104))

    def _tune(self, out: list[Event], bar: Bar, steps: int, tones: tuple[int, ...], root: int) -> None:
        motif = self.motifs[(bar.section + bar.index // 4) % len(self.motifs)]
        first = bar.index % 2 * self.genre.steps
        on = [s - first for s in motif if first <= s < first + steps]
        for step, after in zip(on, [*on, steps][1:], strict=False):
            if step % self.per_beat == 0:
                pitch = 60 + (root + tones[self.rng.integers(3)]) % 12
            else:
                pitch = 60 + self.key + self.scale[self.rng.integers(len(self.scale))]
            length = min(after - step, 2 * self.per_beat) / self.per_beat
            out.append(Event(self.place(bar, step), length * 0.9, pitch, 94))


def perform(song: Composition) -> tuple[list[tuple[Part, list[PlayedNote]]], float]:
    """Notes in seconds, part by part, and the length of the song."""
    rng = np.random.default_rng(zlib.crc32(song.name.encode()) + 1)
    played = [(part, humanise(part, song.at_s, rng)) for part in song.parts]
    return played, float(song.beats_s[-1] + 1.5)


def write(song: Composition, folder: Path, soundfont: Path) -> None:
    """Render a song and write it beside its truth."""
    played, duration_s = perform(song)
    stems: dict[str, np.ndarray] = {}
    instruments = []
    for part, notes in played:
        audio = part.gain * render(part, notes, duration_s, soundfont)
        stems[part.stem] = stems.get(part.stem, 0.0) + audio
        instruments.append({
            "name": part.name, "program": part.program, "is_drum": part.is_drum, "stem": part.stem,
            "notes": [{"pitch": n.pitch, "start": round(n.start_s, 4), "end": round(n.end_s, 4), "velocity": n.velocity}
                      for n in notes],
        })  # fmt: skip
    gain = 0.9 / max(np.abs(sum(stems.values())).max(), 1e-9)
    (folder / "stems").mkdir(parents=True, exist_ok=True)
    for stem, audio in stems.items():
        soundfile.write(folder / "stems" / f"{stem}.flac", gain * audio, RATE_HZ, subtype="PCM_16")
    soundfile.write(folder / "mix.flac", gain * sum(stems.values()), RATE_HZ, subtype="PCM_16")
    (folder / "notes.json").write_text(json.dumps({"instruments": instruments}))
    truth = {
        "beats": song.beats_s.round(4).tolist(), "downbeats": song.downbeats, "signature": song.signature,
        "half": song.half,
    }  # fmt: skip
    (folder / "beats.json").write_text(json.dumps(truth))


def main() -> None:
    """Render what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", choices=("tuning", "figures"))
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    for order, name in enumerate(names("tuning") + names("figures")):
        song = compose(name)
        folder = args.out / name.replace(" ", "_").replace("'", "")
        if args.half in (None, song.half) and args.only in name and not (folder / "beats.json").exists():
            write(song, folder, (SOUNDFONT, OTHER_SOUNDFONT)[order % 2])


if __name__ == "__main__":
    main()
