"""Gravel Road: rock for drums, bass and two guitars, 4/4 in E minor."""

from quality.compositions.notation import Composition, TempoMap, phrase, steps
from quality.song_rendering import (
    CLOSED_HAT,
    CRASH,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    MID_TOM,
    OPEN_HAT,
    RIDE,
    SNARE,
    Event,
    Part,
)

_ROOTS = ("E", "E", "C", "D", "E", "E", "C", "B", "G", "D", "A", "C", "G", "D", "C", "D")
_LOW = {"E": "E2+B2+E3", "C": "C3+G3+C4", "D": "D3+A3+D4", "B": "B2+F#3+B3", "G": "G2+D3+G3", "A": "A2+E3+A3"}
_BASS = {"E": "E1", "C": "C2", "D": "D2", "B": "B1", "G": "G1", "A": "A1"}


def _drums() -> list[Event]:
    verse = {KICK: "X.......X.x.....", SNARE: "....X.......X..o", CLOSED_HAT: "x.o.x.o.x.o.x.o."}
    chorus = {KICK: "X..x....x.X.....", SNARE: "....X..o....X...", RIDE: "x.o.x.o.x.o.x.o."}
    fill = {
        KICK: "X.......x.......",
        SNARE: "....X...xx......",
        HIGH_TOM: "..........xX....",
        MID_TOM: "............xX..",
    }
    events = []
    for bar in range(16):
        lines = dict(fill | {LOW_TOM: "..............XX"} if bar in (7, 15) else chorus if bar >= 8 else verse)
        if bar in (0, 8, 12):
            lines[CRASH] = "X..............."
        if bar in (3, 5):
            lines[OPEN_HAT], lines[CLOSED_HAT] = "..............x.", "x.o.x.o.x.o.x..."
        events += steps(4.0 * bar, 0.25, lines, level=6 if bar >= 8 else -6)
    return events + steps(64.0, 0.25, {KICK: "X", CRASH: "X"})


def _bass() -> list[Event]:
    events = []
    for bar, root in enumerate(_ROOTS):
        low = _BASS[root]
        line = (
            f"{low}!/.5 {low}/.5 {low}/.5 {low}/.5 {low}!/1 {low}/.5 {low}/.5"
            if bar < 8
            else (f"{low}!/.75 {low}/.75 {low}/.5 {low}!/.5 {low}/.5 {low}/.5 {low}/.5")
        )
        events += phrase(4.0 * bar, line, 84 if bar < 8 else 94)
    return events + phrase(64.0, "E1!/3", 96)


def _rhythm_guitar() -> list[Event]:
    events = []
    for bar, root in enumerate(_ROOTS):
        chord = _LOW[root]
        line = f"{chord}!/1 r/.5 {chord}/.5 r/.5 {chord}/1.5" if bar < 8 else f"{chord}!/1.5 {chord}/1 {chord}!/1.5"
        events += phrase(4.0 * bar, line, 78 if bar < 8 else 92)
    return events + phrase(64.0, "E2+B2+E3!/3", 94)


def _lead_guitar() -> list[Event]:
    return [
        *phrase(16.0, "r/1 B4/.5 D5/.5 E5!/1.5 D5/.5 B4/1 A4/.5 B4/.5 G4/2 r/1 G4/.5 A4/.5 B4!/1", 84),
        *phrase(26.5, "A4/.5 G4/1 F#4/1.5 r/.5 D#4/1 F#4/1", 78),
        *phrase(32.0, "B4!/1.5 D5/.5 G5!/1.5 F#5/.5 F#5/1 E5/.5 D5/.5 A4/2 C5!/1 E5/1 A5!/1.5 G5/.5 G5/1 E5/3", 98),
        *phrase(48.0, "D5/.5 E5/.5 G5!/1 B5!/1.5 A5/.5 A5/1 F#5/.5 D5/.5 F#5/2 E5/.5 G5/.5 E5/.5 D5/.5 C5!/2", 102),
        *phrase(60.0, "D5/.5 E5/.5 F#5/.5 A5/.5 B5!/2 E5!/3", 108),
    ]


SONG = Composition(
    name="rock-trio",
    title="Gravel Road",
    style="rock",
    tempo=TempoMap(0.1, ((0.0, 138.0), (32.0, 142.0))),
    metre="4/4",
    beats_per_bar=4,
    beat_unit="quarter",
    key="E minor",
    n_bars=16,
    duration_s=30.0,
    seed=31,
    parts=(
        Part("Power Drum Kit", 16, True, "drums", 1.1, 0.0, 0.005, tuple(_drums())),
        Part("Electric Bass (pick)", 34, False, "bass", 1.0, 0.0, 0.006, tuple(_bass())),
        Part("Distortion Guitar", 30, False, "guitar", 0.5, -0.4, 0.007, tuple(_rhythm_guitar())),
        Part("Overdriven Guitar", 29, False, "guitar", 0.5, 0.3, 0.01, tuple(_lead_guitar())),
    ),
)
