"""Songs thrown together at random, with known beats and bars: what the beat network is fitted on.

Times inside are in beats.  Nothing here is meant to be listened to; what matters is that anything bands do to a bar
occurs: back beats, one-drop, double time, swing, pushes, odd metres, breaks, fills, pick-ups, ostinatos off the beat.
"""

from dataclasses import dataclass, field

import numpy as np

Event = tuple[float, int, float, float]
"""Time in beats, pitch or percussion key, length in beats, velocity."""
KICK, SNARE, RIM, LOW_TOM, MID_TOM, HIGH_TOM, HAT, OPEN_HAT, CRASH, RIDE, SHAKER = (
    36, 38, 37, 41, 45, 48, 42, 46, 49, 51, 70,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metre:
    """A bar of ``beats`` beats, of ``parts`` steps each (4: sixteenths, 3: triplets or eighths of a compound one)."""

    beats: int
    parts: int
    groups: tuple[int, ...]

    @property
    def steps(self) -> int:
        return self.beats * self.parts


@dataclass(slots=True)
class Material:
    """A song: events by part (``drums``, ``bass``, ``chords``, ``tune``), how many beats, which begin bars."""

    parts: dict[str, list[Event]]
    n_beats: int
    downbeats: list[int] = field(default_factory=list)


_METRES = (
    (Metre(4, 4, (2, 2)), 0.50),
    (Metre(4, 3, (2, 2)), 0.10),
    (Metre(3, 4, (3,)), 0.10),
    (Metre(3, 3, (3,)), 0.02),
    (Metre(2, 3, (2,)), 0.11),
    (Metre(2, 4, (2,)), 0.02),
    (Metre(5, 4, (3, 2)), 0.04),
    (Metre(6, 4, (3, 3)), 0.02),
    (Metre(7, 4, (4, 3)), 0.03),
    (Metre(7, 2, (2, 2, 3)), 0.045),
    (Metre(5, 2, (3, 2)), 0.015),
)


def random_metre(rng: np.random.Generator) -> Metre:
    """A metre as often as bands play in it, odd ones more often."""
    return _METRES[rng.choice(len(_METRES), p=[share for _, share in _METRES])][0]


def random_bpm(rng: np.random.Generator, metre: Metre) -> float:
    """A tempo that people tap to in that metre."""
    if metre.parts == 2:  # odd eighths are beats themselves
        return float(rng.uniform(150, 245))
    if metre.beats == 2 and metre.parts == 3:
        return float(rng.uniform(50, 125))
    return float(np.clip(115 * 2 ** (0.5 * rng.normal()), 58, 205))


def random_song(rng: np.random.Generator, n_bars: int = 36) -> tuple[Material, Metre]:
    """Sections of two, four or eight bars, each with patterns of its own that return with small changes."""
    metre = random_metre(rng)
    song = Material({"drums": [], "bass": [], "chords": [], "tune": []}, 0)
    kinds = [_Section(rng, metre) for _ in range(int(rng.integers(1, 4)))]
    at, bar = 0, 0
    if rng.random() < 0.15:  # a pick-up
        at = int(rng.integers(1, metre.beats + 1))
        _tune(rng, song.parts["tune"], 0.0, at, metre, 0.8)
    while bar < n_bars:
        kind = kinds[rng.integers(len(kinds))]
        length = int(rng.choice((2, 4, 8), p=(0.15, 0.45, 0.4)))
        only = rng.choice(["all", "no drums", "drums", "no tune"], p=[0.72, 0.12, 0.04, 0.12])
        for index in range(length):
            kind.play(rng, song.parts, float(at), index, length, str(only))
            song.downbeats.append(at)
            at += metre.beats
            bar += 1
    song.n_beats = at
    return song, metre


def drum_events(rng: np.random.Generator, metre: Metre, n_bars: int) -> list[Event]:
    """Only a drummer, in that metre, from beat 0 on."""
    parts: dict[str, list[Event]] = {"drums": [], "bass": [], "chords": [], "tune": []}
    for first in range(0, n_bars, 8):
        kind = _Section(rng, metre)
        for index in range(min(8, n_bars - first)):
            kind.play(rng, parts, float((first + index) * metre.beats), index, 8, "drums")
    return parts["drums"]


class _Section:
    """The patterns of one kind of section."""

    def __init__(self, rng: np.random.Generator, metre: Metre) -> None:
        self.metre = metre
        self.drums = _drum_bar(rng, metre)
        self.crash = rng.random() < 0.6
        self.fill = rng.random() < 0.5
        self.roots = rng.choice([0, 5, 7, 9, 2, 4], size=int(rng.choice((1, 2, 4), p=(0.15, 0.35, 0.5))))
        self.pace = float(rng.choice((0.5, 1.0, 2.0), p=(0.15, 0.65, 0.2)))  # chords a bar
        self.push = 0.5 if metre.parts == 4 and rng.random() < 0.12 else 0.0
        self.key = int(rng.integers(12))
        self.bass = _bass_bar(rng, metre)
        self.comp, self.arpeggio = _comp_bar(rng, metre)
        self.density = float(rng.uniform(0.2, 0.9))
        self.motif = [rng.random(metre.steps) for _ in range(int(rng.choice((1, 2, 4))))]
        self.silent = {name for name, share in (("bass", 0.08), ("chords", 0.1), ("tune", 0.2)) if rng.random() < share}

    def root(self, bar: int, half: int) -> int:
        return int(self.roots[int(bar * self.pace + half * (self.pace > 1)) % len(self.roots)]) + self.key

    def play(
        self, rng: np.random.Generator, parts: dict[str, list[Event]], at: float, index: int, length: int, only: str
    ) -> None:
        metre, step = self.metre, 1 / self.metre.parts
        if only != "no drums":
            bar = list(self.drums)
            if self.fill and index == length - 1 and length > 2:
                start = metre.steps - int(rng.integers(1, metre.beats // 2 + 1)) * metre.parts
                keys = rng.choice([SNARE, LOW_TOM, MID_TOM, HIGH_TOM], size=metre.steps)
                bar = [hit for hit in bar if hit[0] < start]
                bar += [
                    (s, int(keys[s]), 0.5 + 0.5 * rng.random()) for s in range(start, metre.steps) if rng.random() < 0.8
                ]
            if self.crash and index == 0:
                bar.append((0, CRASH, 0.9))
            for s, key, loud in bar:
                if rng.random() < 0.97:
                    parts["drums"].append(
                        (at + s * step, key, 0.2, float(np.clip(loud + 0.08 * rng.normal(), 0.05, 1)))
                    )
        if only == "drums":
            return
        half = metre.steps // 2 if metre.beats % 2 == 0 else metre.groups[0] * metre.parts
        if "bass" not in self.silent:
            for s, length_s, tone in self.bass:
                root = 28 + (self.root(index, int(s >= half)) + 8) % 12
                shift = -self.push if s == 0 and at > 1 else 0.0
                parts["bass"].append((at + s * step + shift, root + tone, length_s * step, 0.75))
        if "chords" not in self.silent:
            for order, (s, length_s) in enumerate(self.comp):
                root = 48 + self.root(index, int(s >= half)) % 12
                shift = -self.push if s == 0 and at > 1 else 0.0
                tones = (0, 4, 7, 12)
                tones = (tones[order % 4],) if self.arpeggio else tones[:3]
                parts["chords"] += [(at + s * step + shift, root + tone, length_s * step, 0.6) for tone in tones]
        if "tune" not in self.silent and only != "no tune":
            played = self.motif[index % len(self.motif)]
            strong = np.where(np.arange(metre.steps) % metre.parts == 0, 1.3, 0.7)
            steps = np.flatnonzero(played < self.density * strong * 0.6)
            scale = np.array([0, 2, 4, 5, 7, 9, 11])
            for s, after in _until_next([int(s) for s in steps], metre.steps):
                pitch = 60 + self.key + int(scale[rng.integers(7)])
                parts["tune"].append((at + float(s) * step, pitch, float(after - s) * step * 0.9, 0.7))


def _until_next(on: list[int], steps: int) -> list[tuple[int, int]]:
    return list(zip(on, [*on, steps][1:], strict=False))


def _tune(rng: np.random.Generator, out: list[Event], at: float, beats: int, metre: Metre, share: float) -> None:
    for s in range(beats * metre.parts):
        if s % metre.parts % 2 == 0 and rng.random() < share:
            out.append((at + s / metre.parts, 60 + int(rng.integers(12)), 0.8 / metre.parts, 0.7))


def _drum_bar(rng: np.random.Generator, metre: Metre) -> list[tuple[int, int, float]]:
    """One bar: step, key, velocity."""
    steps, parts, beats = metre.steps, metre.parts, metre.beats
    on = [b * parts for b in range(beats)]
    starts = np.cumsum([0, *metre.groups[:-1]]) * parts
    style = str(rng.choice(
        ["back", "half", "four", "drop", "double", "sparse", "waltz", "ride", "broken", "train"],
        p=[0.40, 0.08, 0.12, 0.05, 0.05, 0.07, 0.04, 0.07, 0.08, 0.04],
    ))  # fmt: skip
    if parts == 2 or beats in (3, 5) or (beats == 2 and parts == 3):
        style = str(rng.choice(["back", "waltz", "sparse", "ride", "broken"], p=[0.45, 0.25, 0.1, 0.1, 0.1]))
    kicks, snares = {int(s) for s in starts}, set()
    if style in ("back", "broken", "train"):
        if beats % 2 == 0:
            snares = set(on[1::2])
        elif rng.random() < 0.5:
            snares = {int(s) + parts for s in starts}
        else:
            snares = {on[-1]}
    elif style == "half":
        snares = {on[beats // 2]}
        kicks = {0}
    elif style == "four":
        kicks, snares = set(on), set(on[1::2]) if rng.random() < 0.7 else set()
    elif style == "drop":
        kicks = snares = {on[beats // 2]}
        if rng.random() < 0.5:
            kicks, snares = set(on[1::2]), set(on[1::2])
    elif style == "double":
        kicks, snares = set(on), {s + parts // 2 for s in on}
    elif style == "waltz":
        kicks, snares = {int(s) for s in starts}, set(on) - {int(s) for s in starts}
    elif style == "ride":
        kicks = {0} if rng.random() < 0.5 else set()
        snares = {int(rng.integers(steps))}
    extra = float(rng.choice([0.0, 0.08, 0.2]))
    if style != "four" or rng.random() < 0.3:
        kicks |= {s for s in range(1, steps) if s not in snares and rng.random() < extra * (1.5 if s % 2 == 0 else 0.5)}
    if style == "broken":
        kicks = {0} | {int(s) for s in rng.integers(0, steps, 3)}
        snares = {int(s) for s in rng.choice(on[1:] or on, size=1)} | {int(rng.integers(steps))}
    hits = [(s, KICK, 0.9) for s in kicks]
    stick = RIM if rng.random() < 0.12 else SNARE
    hits += [(s, stick, 0.85) for s in snares]
    if rng.random() < 0.3 or style == "train":
        hits += [
            (s, SNARE, 0.3)
            for s in range(steps)
            if s not in snares and rng.random() < (0.9 if style == "train" else 0.15)
        ]
    return hits + _time_keeping(rng, metre, style)


def _time_keeping(rng: np.random.Generator, metre: Metre, style: str) -> list[tuple[int, int, float]]:
    steps, parts = metre.steps, metre.parts
    key = int(rng.choice([HAT, RIDE, OPEN_HAT, SHAKER], p=[0.66, 0.2, 0.06, 0.08]))
    if style == "ride":
        key = RIDE
    pulse = str(rng.choice(["none", "beat", "eighth", "all", "off", "random"], p=[0.06, 0.16, 0.44, 0.2, 0.1, 0.04]))
    if parts == 3:
        swung = [s for s in range(steps) if s % 3 != 1]
        at = {"none": [], "beat": range(0, steps, 3), "off": range(2, steps, 3), "random": swung}.get(
            pulse, range(steps)
        )
        if metre.beats >= 3 and rng.random() < 0.55:
            at = swung
    elif parts == 2:
        at = {"none": [], "beat": np.cumsum([0, *metre.groups[:-1]]) * 2, "all": range(steps)}.get(
            pulse, range(0, steps, 2)
        )
    else:
        at = {
            "none": [], "beat": range(0, steps, 4), "eighth": range(0, steps, 2), "all": range(steps),
            "off": range(2, steps, 4), "random": [s for s in range(steps) if rng.random() < 0.5],
        }[pulse]  # fmt: skip
    soft = float(rng.uniform(0.3, 1.0))
    return [(int(s), key, 0.7 if s % parts == 0 else 0.7 * soft) for s in at]


def _bass_bar(rng: np.random.Generator, metre: Metre) -> list[tuple[int, float, int]]:
    """Step, length in steps, tone above the root."""
    steps, parts = metre.steps, metre.parts
    style = str(rng.choice(["whole", "beats", "eighths", "off", "walk", "random"], p=[0.2, 0.18, 0.2, 0.05, 0.1, 0.27]))
    unit = {4: 2, 3: 1, 2: 2}[parts]
    if style == "whole":
        return [(0, steps * 0.95, 0)]
    if style == "beats":
        return [(s, parts * 0.9, 0 if s == 0 else int(rng.choice((0, 7)))) for s in range(0, steps, parts)]
    if style == "eighths":
        return [(s, unit * 0.9, 0) for s in range(0, steps, unit)]
    if style == "off":
        return [(s, unit * 0.9, 0) for s in range(parts // 2, steps, parts)]
    if style == "walk":
        return [(s, parts * 0.9, int(rng.choice((0, 4, 7, 9, 11, 2)))) for s in range(0, steps, parts)]
    on = [0] if rng.random() < 0.85 else []
    on += [s for s in range(1, steps) if rng.random() < (0.35 if s % unit == 0 else 0.1)]
    return [(s, (after - s) * 0.8, int(rng.choice((0, 0, 7, 12)))) for s, after in _until_next(on, steps)]


def _comp_bar(rng: np.random.Generator, metre: Metre) -> tuple[list[tuple[int, float]], bool]:
    """Step and length in steps of every chord, and whether chords are broken into single tones."""
    steps, parts = metre.steps, metre.parts
    style = str(rng.choice(
        ["whole", "beats", "eighths", "skank", "oompah", "arpeggio", "random"],
        p=[0.24, 0.12, 0.12, 0.1, 0.1, 0.14, 0.18],
    ))  # fmt: skip
    unit = {4: 2, 3: 1, 2: 2}[parts]
    if style == "whole":
        return [(0, steps * 0.97)], False
    if style == "beats":
        return [(s, parts * 0.8) for s in range(0, steps, parts)], False
    if style in ("eighths", "arpeggio"):
        fine = 1 if style == "arpeggio" and rng.random() < 0.3 else unit
        return [(s, fine * 0.9) for s in range(0, steps, fine)], style == "arpeggio"
    if style == "skank":
        return [(s, unit * 0.5) for s in range(parts // 2 if parts != 3 else 2, steps, parts)], False
    if style == "oompah":
        starts = {int(s) for s in np.cumsum([0, *metre.groups[:-1]]) * parts}
        return [(s, unit * 0.8) for s in range(0, steps, parts) if s not in starts], False
    on = [0] if rng.random() < 0.6 else []
    on += [s for s in range(1, steps) if rng.random() < (0.3 if s % unit == 0 else 0.08)]
    return [(s, (after - s) * 0.8) for s, after in _until_next(on, steps)], False
