"""What the players of made-up songs play: bass lines, chords, arpeggios, tunes, riffs, as keys held for some time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipeline.training.harmony import Frame
from pipeline.training.sounds.base import Played

SHORTEST_S = 0.04
_GAP_S = 0.012  # between two strokes of one key
_LAST_MOMENTS_S = 0.3
_FAITHFUL_SHARE = 0.6  # of parts that repeat another: with its dynamics
_MAKE_ROOM_S = 0.04  # two strokes of one key nearer than this are one


@dataclass(frozen=True, slots=True)
class Touch:
    """How somebody plays; velocities are shares of the highest.

    Attributes:
        level: velocity on the whole.
        accent: how much more the bar has than what lies between beats.
        spread: standard deviation of what is uneven.
        swell: half of what a phrase grows and fades by.
        phrase_s: how long it takes to grow and to fade.
        voicing: how much more each octave above the middle of the instrument has.
        jitter_s: standard deviation of how late strokes are.
        hold: how long keys are held; 1: until the next.
    """

    level: float
    accent: float
    spread: float
    swell: float
    phrase_s: float
    voicing: float
    jitter_s: float
    hold: float

    def velocity(self, rng: np.random.Generator, weight: float, start_s: float, octaves: float) -> int:
        """MIDI velocity of a stroke; ``weight`` is 1 on the bar, 0 between beats, ``octaves`` count from the middle."""
        value = self.level + self.accent * (weight - 0.5) + self.spread * rng.standard_normal()
        value += self.swell * np.sin(2 * np.pi * start_s / self.phrase_s) + self.voicing * octaves
        return int(np.clip(round(127 * value), 12, 127))


def touch(rng: np.random.Generator) -> Touch:
    """Somebody: some even as a machine, most with 10 to 20 of the 127 velocities to both sides."""
    jitter_s = 0.0 if rng.random() < 0.35 else float(rng.uniform(0.002, 0.014))
    hold = float(
        rng.choice([rng.uniform(0.25, 0.6), rng.uniform(0.6, 0.95), rng.uniform(0.95, 1.05)], p=[0.25, 0.4, 0.35])
    )
    return Touch(
        level=float(rng.uniform(0.3, 0.9)),
        accent=float(rng.uniform(0, 0.3)),
        spread=float(rng.uniform(0.01, 0.17)),
        swell=float(rng.uniform(0, 0.2)),
        phrase_s=float(rng.uniform(5, 30)),
        voicing=float(rng.uniform(-0.05, 0.12)),
        jitter_s=jitter_s,
        hold=hold,
    )


class Writer:
    """Collects the strokes of one part, and keeps one key from being struck while it is down."""

    def __init__(self, frame: Frame, rng: np.random.Generator, keys: tuple[int, int]) -> None:
        self.frame, self.rng, self.keys = frame, rng, keys
        self.touch = touch(rng)
        self._notes: list[Played] = []

    def stroke(self, beats: float, length_beats: float, pitch: int, later_s: float = 0.0) -> None:
        """Strike a key at a position in beats; it is held for the touch's share of the length."""
        weight = 1.0 if beats % self.frame.beats_per_bar == 0 else 0.6 if beats % 1 == 0 else 0.1
        held_s = length_beats * self.frame.beat_s * self.touch.hold
        self.strike(self.frame.at(beats) + later_s, held_s, pitch, weight)

    def strike(self, start_s: float, held_s: float, pitch: int, weight: float) -> None:
        """Strike a key, an octave or more away if the instrument does not have it; nothing in the last moments."""
        low, high = self.keys
        while pitch < low:
            pitch += 12
        while pitch > high:
            pitch -= 12
        if pitch < low:
            return
        start_s += abs(self.touch.jitter_s * self.rng.standard_normal())
        held_s = max(held_s, SHORTEST_S)
        if start_s + held_s > self.frame.length_s - _LAST_MOMENTS_S:
            return
        octaves = (pitch - (low + high) / 2) / 12
        velocity = self.touch.velocity(self.rng, weight, start_s, octaves)
        self._notes.append(Played(start_s, start_s + held_s, int(pitch), velocity))

    def take(self, notes: list[Played]) -> None:
        """Strokes written elsewhere."""
        self._notes += notes

    def notes(self) -> list[Played]:
        """All strokes, in order."""
        return without_overlaps(self._notes)


def without_overlaps(notes: list[Played]) -> list[Played]:
    """A key that is struck again is let go before; strokes of one key at the same time become one."""
    kept: dict[int, list[Played]] = {}
    for note in sorted(notes, key=lambda n: (n.start_s, n.pitch)):
        same = kept.setdefault(note.pitch, [])
        if same and note.start_s - same[-1].start_s < _MAKE_ROOM_S + _GAP_S:
            continue
        if same and same[-1].end_s > note.start_s - _GAP_S:
            last = same[-1]
            same[-1] = Played(last.start_s, note.start_s - _GAP_S, last.pitch, last.velocity)
        same.append(note)
    return sorted((note for same in kept.values() for note in same), key=lambda n: (n.start_s, n.pitch))


def _silences(rng: np.random.Generator, frame: Frame) -> Callable[[float], bool]:
    """Some parts rest for whole sections of eight bars' length."""
    section = frame.beats_per_bar * int(rng.choice([2, 4, 8]))
    resting = rng.random(int(frame.n_beats / section) + 2) < rng.choice([0.0, 0.15, 0.4])
    return lambda beats: bool(resting[int(beats / section)])


def bass(writer: Writer) -> None:
    """Roots, fifths and octaves in a repeated rhythm, or a walking line."""
    rng, frame = writer.rng, writer.frame
    register = int(rng.integers(30, 44))
    step = float(rng.choice([0.25, 0.5, 0.5, 1.0, 1.0, 2.0]))
    pattern = rng.random(int(2 * frame.beats_per_bar / step)) < rng.uniform(0.4, 1.0)
    pattern[0] = True
    walking = rng.random() < 0.2
    moves = rng.choice([0, 0, 0, 7, 12, -5, 3, 10], len(pattern))
    resting = _silences(rng, frame)
    pitch = register
    for index in range(int(frame.n_beats / step)):
        beats = index * step
        if not pattern[index % len(pattern)] or resting(beats):
            continue
        chord = frame.chord_at(frame.at(beats))
        if walking:
            pitch = frame.near(pitch + int(rng.choice([-3, -2, 2, 3, 5])), frame.scale)
        else:
            pitch = frame.near(register, (chord.root,)) + int(moves[index % len(pattern)])
        ahead = next((k for k in range(1, len(pattern) + 1) if pattern[(index + k) % len(pattern)]), 1)
        writer.stroke(beats, min(ahead * step, 4.0), pitch)


def _voicing(writer: Writer, centre: int, classes: tuple[int, ...], n_notes: int) -> list[int]:
    return sorted({writer.frame.near(centre + 4 * (k - n_notes // 2), classes) for k in range(n_notes)})


def chords(writer: Writer) -> None:
    """Chords in a repeated rhythm; strummed, broken or struck at once."""
    rng, frame = writer.rng, writer.frame
    step = float(rng.choice([0.5, 0.5, 1.0, 1.0, 2.0, 4.0]))
    pattern = rng.random(max(int(frame.beats_per_bar / step), 1) * 2) < rng.uniform(0.35, 1.0)
    pattern[rng.integers(len(pattern))] = True
    centre, n_notes = int(rng.integers(50, 76)), int(rng.choice([2, 3, 3, 4, 4, 5, 6]))
    strum_s = float(rng.choice([0.0, 0.0, rng.uniform(0.004, 0.03)]))
    resting = _silences(rng, frame)
    for index in range(int(frame.n_beats / step)):
        beats = index * step
        if not pattern[index % len(pattern)] or resting(beats):
            continue
        chord = frame.chord_at(frame.at(beats))
        ahead = next((k for k in range(1, len(pattern) + 1) if pattern[(index + k) % len(pattern)]), 1)
        voicing = _voicing(writer, centre, chord.classes, n_notes)
        if rng.random() < 0.5:
            voicing.reverse()
        for order, pitch in enumerate(voicing):
            writer.stroke(beats, ahead * step, pitch, order * strum_s)


def pad(writer: Writer) -> None:
    """Held chords that change when the harmony does."""
    rng, frame = writer.rng, writer.frame
    centre, n_notes = int(rng.integers(48, 78)), int(rng.choice([1, 2, 3, 3, 4, 5]))
    resting = _silences(rng, frame)
    for chord in frame.chords:
        beats = chord.start_s / frame.beat_s
        if resting(beats):
            continue
        for pitch in _voicing(writer, centre, chord.classes, n_notes):
            writer.stroke(beats, (chord.end_s - chord.start_s) / frame.beat_s, pitch)


def arpeggio(writer: Writer) -> None:
    """Broken chords, up, down or at random; short or ringing on."""
    rng, frame = writer.rng, writer.frame
    step = float(rng.choice([0.25, 0.25, 0.5, 0.5, 1 / 3, 1.0]))
    centre, n_notes = int(rng.integers(48, 80)), int(rng.choice([3, 4, 5, 6]))
    order = str(rng.choice(["up", "down", "both", "random", "alberti"]))
    ringing = float(rng.choice([1.0, 1.0, 2.0, 4.0]))
    resting = _silences(rng, frame)
    for index in range(int(frame.n_beats / step)):
        beats = index * step
        if resting(beats):
            continue
        voicing = _voicing(writer, centre, frame.chord_at(frame.at(beats)).classes, n_notes)
        if order == "down":
            voicing.reverse()
        elif order == "both":
            voicing += voicing[-2:0:-1]
        elif order == "alberti":
            voicing = [voicing[0], voicing[-1], voicing[len(voicing) // 2], voicing[-1]]
        place = int(rng.integers(len(voicing))) if order == "random" else index % len(voicing)
        writer.stroke(beats, step * ringing, voicing[place])


def tune(writer: Writer) -> None:
    """A melody of motifs that come back, with rests, runs and leaps; now and then in thirds, sixths or octaves."""
    rng, frame = writer.rng, writer.frame
    motifs = [_motif(rng, frame.beats_per_bar) for _ in range(3)]
    pitch = centre = int(rng.integers(52, 86))
    together = int(rng.choice([0, 0, 0, 0, 2, 5, 7, -7]))
    beats = float(rng.integers(0, 2 * frame.beats_per_bar))
    while beats < frame.n_beats:
        motif = motifs[rng.integers(3)]
        for length, move, sounds in motif:
            if abs(pitch - centre) > 11:
                pitch = centre
            pitch = _moved(frame, pitch, move)
            if sounds:
                writer.stroke(beats, length, pitch)
                if together:
                    writer.stroke(beats, length, _moved(frame, pitch, together))
            beats += length
        if rng.random() < 0.3:
            beats += float(rng.integers(1, frame.beats_per_bar + 1))


def _motif(rng: np.random.Generator, beats: int) -> list[tuple[float, int, bool]]:
    """Lengths in beats that fill one or two bars, steps in the scale, whether it sounds."""
    lengths = [float(rng.choice([0.25, 0.5, 1.0, 1.5, 2.0, 1 / 3], p=[0.17, 0.38, 0.25, 0.08, 0.08, 0.04]))]
    total = float(beats * rng.choice([1, 2]))
    while sum(lengths) < total - 1e-6:
        again = lengths[-1] if rng.random() < 0.5 else float(rng.choice([0.25, 0.5, 0.5, 1.0, 2.0]))
        lengths.append(min(again, total - sum(lengths)))
    moves = rng.choice([-7, -4, -3, -2, -1, -1, 0, 0, 1, 1, 2, 3, 4, 7], len(lengths))
    return [(length, int(move), bool(rng.random() > 0.08)) for length, move in zip(lengths, moves, strict=True)]


def _moved(frame: Frame, pitch: int, steps: int) -> int:
    """So many steps of the scale up or down."""
    direction = 1 if steps > 0 else -1
    for _ in range(abs(steps)):
        pitch += direction
        while pitch % 12 not in frame.scale:
            pitch += direction
    return pitch


def riff(writer: Writer) -> None:
    """An ostinato of a bar or two, low: single notes, or power chords; some strokes damped."""
    rng, frame = writer.rng, writer.frame
    step = float(rng.choice([0.25, 0.5, 0.5, 1.0]))
    n_steps = int(frame.beats_per_bar / step) * int(rng.choice([1, 2]))
    sounds = rng.random(n_steps) < rng.uniform(0.4, 0.95)
    moves = rng.choice([0, 0, 0, 0, 1, 2, -1, 3, 4, -2], n_steps)
    damped = rng.random(n_steps) < rng.choice([0.0, 0.5])
    power = ((0, 7), (0, 7, 12), (0,), (0,), (0, 12))[rng.integers(5)]
    register = int(rng.integers(38, 58))
    follows = rng.random() < 0.5
    resting = _silences(rng, frame)
    for index in range(int(frame.n_beats / step)):
        beats, place = index * step, index % n_steps
        if not sounds[place] or resting(beats):
            continue
        root = frame.chord_at(frame.at(beats)).root if follows else frame.scale[0]
        pitch = _moved(frame, frame.near(register, (root,)), int(moves[place]))
        ahead = next((k for k in range(1, n_steps + 1) if sounds[(place + k) % n_steps]), 1)
        for up in power:
            writer.stroke(beats, step * (0.4 if damped[place] else min(ahead, 8)), pitch + up)


def two_hands(writer: Writer) -> None:
    """A pianist: a left hand of basses, fifths and tenths, a right hand of chords or a tune above them."""
    rng = writer.rng
    left = Writer(writer.frame, rng, (writer.keys[0], min(62, writer.keys[1])))
    right = Writer(writer.frame, rng, (max(55, writer.keys[0]), writer.keys[1]))
    (bass, arpeggio, chords)[rng.integers(3)](left)
    (tune, chords, arpeggio)[rng.integers(3)](right)
    if rng.random() < 0.4:
        tune(right)
    writer.take(left.notes() + right.notes())


def anything(writer: Writer) -> None:
    """No harmony at all: any pitches at any time, one or several, so that nothing is learned by heart."""
    rng, frame = writer.rng, writer.frame
    centre, width = int(rng.integers(40, 84)), int(rng.integers(4, 22))
    time_s, mean_gap_s = 0.3, float(np.exp(rng.uniform(np.log(0.08), np.log(0.8))))
    while time_s < frame.length_s:
        pitch = centre + int(rng.integers(-width, width + 1))
        for _ in range(int(rng.choice([1, 1, 1, 2, 3, 5]))):
            length_s = float(np.exp(rng.uniform(np.log(0.06), np.log(2.5))))
            writer.stroke(time_s / frame.beat_s, length_s / frame.beat_s, pitch)
            pitch += int(rng.integers(-9, 10))
        time_s += float(rng.exponential(mean_gap_s)) + 0.03


def doubled(writer: Writer, notes: list[Played]) -> None:
    """Another part once more, in unison or octaves, by somebody else's hands; mostly as loud and soft as it was."""
    rng = writer.rng
    if rng.random() < _FAITHFUL_SHARE:
        writer.touch = replace(writer.touch, accent=1.0, spread=0.02, swell=0.0, voicing=0.0)
    up = int(rng.choice([-12, 0, 0, 12, 12]))
    for note in notes:
        writer.strike(note.start_s, note.end_s - note.start_s, note.pitch + up, note.velocity / 127)
