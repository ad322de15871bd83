"""Copper Pans: funk with slap bass, muted guitar, clavinet and brass, 4/4 in D dorian."""

from quality.compositions.notation import Composition, TempoMap, phrase, steps
from quality.song_rendering import CLOSED_HAT, CRASH, HIGH_TOM, KICK, LOW_TOM, OPEN_HAT, SNARE, Event, Part

_BARS = 12


def _drums() -> list[Event]:
    groove = (
        {
            KICK: "X..x..x...x..x..",
            SNARE: "....X..o.o..X..o",
            CLOSED_HAT: "xoxoxoxoxoxoxo.o",
            OPEN_HAT: "..............x.",
        },
        {KICK: "X.....x..xx.....", SNARE: "....X..o.o..X.o.", CLOSED_HAT: "xoxoxoxoxoxoxoxo"},
    )
    fill = {
        KICK: "X..x..x.........",
        SNARE: "....X..oX.xx....",
        HIGH_TOM: "............xx..",
        LOW_TOM: "..............xX",
    }
    events = []
    for bar in range(_BARS):
        lines = dict(fill if bar in (3, 7, 11) else groove[bar % 2])
        if bar in (0, 4, 8):
            lines[CRASH] = "x..............."
        events += steps(4.0 * bar, 0.25, lines)
    return events + steps(4.0 * _BARS, 0.25, {KICK: "X", CRASH: "X"})


def _bass() -> list[Event]:
    first = "D2!/.5 r/.25 D3/.25 r/.25 C3!/.25 D3/.5 r/.5 A2/.25 C3/.25 D2!/.5 F2/.25 G2/.25"
    second = "D2!/.5 r/.25 D3/.25 r/.5 G2/.25 A2/.25 r/.25 C3!/.5 A2/.25 G2/.5 F2/.25 E2/.25"
    up = "G2!/.5 r/.25 G3/.25 r/.25 F3!/.25 G3/.5 r/.5 D3/.25 F3/.25 G2!/.5 A2/.25 B2/.25"
    back = "G2!/.5 r/.25 G3/.25 r/.5 D3/.25 E3/.25 A2!/.75 A3/.25 A2/.5 C3/.25 C#3/.25"
    text = " ".join((first, second, first, second, up, back, first, second, up, back, first, second))
    return [*phrase(0.0, text, 90, length=0.8), *phrase(4.0 * _BARS, "D2!/2", 100)]


def _guitar() -> list[Event]:
    d = "F4+A4+C5"
    g = "F4+B4+D5"
    events = []
    for bar in range(_BARS):
        c = g if bar in (4, 5, 8, 9) else d
        line = f"r/.5 {c}!/.25 {c}/.25 r/.75 {c}/.25 r/.5 {c}!/.25 {c}/.25 r/.25 {c}/.25 {c}!/.25 r/.25"
        events += phrase(4.0 * bar, line, 74, length=0.7)
    return events


def _clavinet() -> list[Event]:
    first = "D4!/.25 r/.5 F4/.25 r/.25 G4/.25 A4!/.25 r/.25 C5/.25 A4/.25 r/.25 G4/.25 F4/.25 D4/.25 r/.25 C4/.25 "
    second = "D4!/.25 r/.5 F4/.25 G4/.25 r/.25 G#4/.25 A4!/.25 r/.5 D4+A4/.25 r/.25 C4+G4!/.5 r/.5 "
    up = "G4!/.25 r/.5 B4/.25 r/.25 C5/.25 D5!/.25 r/.25 F5/.25 D5/.25 r/.25 C5/.25 B4/.25 G4/.25 r/.25 F4/.25 "
    return phrase(8.0, (first + second + up + second + first + second + up + second + first + second).strip(), 82, 0.85)


def _brass() -> list[Event]:
    hit, high = "D4+F4+A4+C5", "F4+B4+D5+G5"
    return [
        *phrase(14.0, f"r/.5 {hit}!/.5 r/.25 {hit}!/.75", 92),
        *phrase(16.0, f"{high}!/2 r/1.5 {high}/.25 r/.25 {high}!/.5 r/3.5", 88),
        *phrase(28.0, "r/1 A4+C5/.5 C5+E5/.5 D5+F5!/1 C5+E5/.5 A4+C5/.5", 90),
        *phrase(32.0, f"{high}!/3 r/.5 {high}/.25 r/.25 {high}!/2 A4+C#5+E5+G5!/1.75", 98),
        *phrase(40.0, f"{hit}!/.5 r/1 {hit}/.25 r/.25 {hit}!/.5 r/1.5 {hit}!/.5 r/.5 {hit}/.25 r/.25 {hit}!/1", 102),
        *phrase(4.0 * _BARS, f"{hit}!/2", 106),
    ]


SONG = Composition(
    name="funk",
    title="Copper Pans",
    style="funk",
    tempo=TempoMap(0.1, ((0.0, 104.0),)),
    metre="4/4",
    beats_per_bar=4,
    beat_unit="quarter",
    key="D dorian",
    n_bars=_BARS,
    duration_s=30.0,
    seed=34,
    parts=(
        Part("Room Drum Kit", 8, True, "drums", 1.1, 0.0, 0.006, tuple(_drums())),
        Part("Slap Bass 1", 36, False, "bass", 1.2, 0.0, 0.006, tuple(_bass())),
        Part("Electric Guitar (muted)", 28, False, "guitar", 1.5, 0.5, 0.006, tuple(_guitar())),
        Part("Clavinet", 7, False, "piano", 1.3, -0.5, 0.006, tuple(_clavinet())),
        Part("Brass Section", 61, False, "other", 0.55, 0.1, 0.01, tuple(_brass())),
    ),
)
