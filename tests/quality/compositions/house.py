"""Night Ferry: house with synthesisers, 4/4 in A minor, to the machine's clock."""

from quality.compositions.notation import Composition, TempoMap, phrase, steps
from quality.song_rendering import CLOSED_HAT, CRASH, KICK, OPEN_HAT, SNARE, Event, Part

_CLAP = 39
_BARS = 14
_CHORDS = ("A3+C4+E4+G4", "F3+A3+C4+E4", "D3+F3+A3+C4", "E3+G3+B3+D4")
_BASS = ("A1", "F1", "D2", "E1")


def _drums() -> list[Event]:
    events = []
    for bar in range(_BARS):
        lines = {KICK: "X...X...X...X...", CLOSED_HAT: "o.o.o.o.o.o.o.o." if bar < 2 else "xoo.xoo.xoo.xoox"}
        if bar >= 2:
            lines |= {_CLAP: "....X.......X...", OPEN_HAT: "..x...x...x...x."}
            lines[CLOSED_HAT] = "xo.oxo.oxo.oxo.o"
        if bar in (5, 9):
            lines = {KICK: "X...X...X.......", _CLAP: "....X.......X.x.", SNARE: "........o.oxx.xX"}
        if bar in (2, 6, 10):
            lines[CRASH] = "X..............."
        events += steps(4.0 * bar, 0.25, lines)
    return events + steps(4.0 * _BARS, 0.25, {KICK: "X", CRASH: "x"})


def _bass() -> list[Event]:
    events = []
    for bar in range(2, _BARS):
        low = _BASS[bar % 4]
        high = f"{low[0]}{int(low[1]) + 1}"
        line = f"r/.5 {low}!/.5 r/.25 {low}/.25 {high}!/.25 r/.25 r/.5 {low}!/.5 {high}/.25 {low}/.25 r/.25 {low}/.25"
        events += phrase(4.0 * bar, line, 92, length=0.8)
    return events + phrase(4.0 * _BARS, "A1!/2", 100)


def _stabs() -> list[Event]:
    events = []
    for bar in range(_BARS):
        chord = _CHORDS[bar % 4]
        line = f"{chord}!/.5 r/.25 {chord}/.5 r/.25 {chord}/.5 r/.5 {chord}!/.5 r/1"
        events += phrase(4.0 * bar, line, 66 if bar < 2 else 82, length=0.7)
    return events + phrase(4.0 * _BARS, f"{_CHORDS[0]}!/2", 84)


def _pad() -> list[Event]:
    chords = (f"{_CHORDS[bar % 4].replace('3', '4', 1)}/4" for bar in range(6, _BARS))
    return phrase(24.0, " ".join(chords), 70, length=0.98)


def _lead() -> list[Event]:
    first = "E5!/.75 D5/.75 C5/.5 A4/1 C5/.5 D5/.5 E5!/.75 G5/.75 E5/.5 C5/2 "
    second = "F5!/.75 E5/.75 D5/.5 A4/1 D5/.5 F5/.5 G5!/.75 F5/.75 E5/.5 B4/2"
    return phrase(24.0, first + second, 84) + phrase(40.0, first + second.replace("B4/2", "B4/1 D5/1"), 94)


SONG = Composition(
    name="house",
    title="Night Ferry",
    style="house",
    tempo=TempoMap(0.05, ((0.0, 124.0),)),
    metre="4/4",
    beats_per_bar=4,
    beat_unit="quarter",
    key="A minor",
    n_bars=_BARS,
    duration_s=29.5,
    seed=33,
    parts=(
        Part("Electronic Drum Kit", 24, True, "drums", 1.2, 0.0, 0.0, tuple(_drums())),
        Part("Synth Bass 1", 38, False, "bass", 1.0, 0.0, 0.0, tuple(_bass())),
        Part("Poly Synth", 90, False, "other", 0.5, -0.3, 0.0, tuple(_stabs())),
        Part("Warm Pad", 89, False, "other", 0.4, 0.3, 0.0, tuple(_pad())),
        Part("Square Lead", 80, False, "other", 0.3, 0.15, 0.0, tuple(_lead())),
    ),
)
