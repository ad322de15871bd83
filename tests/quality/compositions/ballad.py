"""Slow Tide: a ballad with a voice, piano, strings, fretless bass and drums, 6/8 in B flat major.

The beat is the dotted quarter; ``unit`` below is the eighth, a third of it.
"""

from quality.compositions.notation import Composition, TempoMap, phrase, steps
from quality.song_rendering import CLOSED_HAT, CRASH, KICK, RIDE, SNARE, Event, Part

_EIGHTH = 1 / 3
_STICK = 37
_BARS = 14
_ROOTS = ("Bb1", "G1", "Eb2", "F1", "Bb1", "D2", "Eb2", "F1", "G1", "Eb2", "Bb1", "F1", "Eb2", "F1")
_CHORDS = {
    "Bb1": ("Bb2", "F3", "Bb3", "D4"), "G1": ("G2", "D3", "G3", "Bb3"), "Eb2": ("Eb3", "G3", "Bb3", "Eb4"),
    "F1": ("F2", "C3", "F3", "A3"), "D2": ("D3", "F3", "A3", "D4"),
}  # fmt: skip

_VOICE = (
    "r/3 F4/1 G4/1 A4/1 Bb4!/3 A4/1 G4/2 G4/3 F4/1 Eb4/2 F4/5 r/1 D4/2 F4/1 Bb4!/3 A4/2 D5/1 C5/3 "
    "Bb4/3 G4/2 Bb4/1 C5!/5 r/1 D5!/3 C5/1 Bb4/2 G4/3 Bb4/2 G4/1 F4/2 Bb4/1 D5!/3 C5/4 A4/2 "
    "Bb4!/2 G4/1 Eb4/3 F4/3 G4/1 A4/2 Bb4!/6"
)


def _drums() -> list[Event]:
    verse = {KICK: "X.....", _STICK: "...x..", CLOSED_HAT: "xooxoo"}
    chorus = {KICK: "X....x", SNARE: "...X..", RIDE: "xooxoo"}
    events = []
    for bar in range(2, _BARS):
        lines = dict(chorus if bar >= 8 else verse)
        if bar == 7:
            lines = {KICK: "X.....", SNARE: "...xoX", CLOSED_HAT: "xoo..."}
        if bar == 8:
            lines[CRASH] = "x....."
        events += steps(2.0 * bar, _EIGHTH, lines, level=0 if bar >= 8 else -18)
    return events + steps(2.0 * _BARS, _EIGHTH, {KICK: "x", CRASH: "o"})


def _bass() -> list[Event]:
    events = []
    for bar, root in list(enumerate(_ROOTS))[2:]:
        line = f"{root}!/5 {root}/1" if bar < 8 else f"{root}!/3 {root}/2 {_CHORDS[root][0]}/1"
        events += phrase(2.0 * bar, line, 78 if bar < 8 else 88, unit=_EIGHTH)
    return events + phrase(2.0 * _BARS, "Bb1!/6", 80, unit=_EIGHTH)


def _piano() -> list[Event]:
    events = []
    for bar, root in enumerate(_ROOTS):
        low, a, b, c = _CHORDS[root]
        line = f"{low}!/1 {a}/1 {b}/1 {c}/1 {b}/1 {a}/1"
        events += phrase(2.0 * bar, line, 58 if bar < 8 else 70, length=1.6, unit=_EIGHTH)
    return events + phrase(2.0 * _BARS, "Bb2+F3+Bb3+D4/6", 62, unit=_EIGHTH)


def _strings() -> list[Event]:
    low = "G4+D5/6 G4+Eb5/6 F4+D5/6 F4+C5/6 G4+Bb4/6 A4+C5/6 Bb4+D5/6"
    return phrase(16.0, low, 74, length=0.97, unit=_EIGHTH)


SONG = Composition(
    name="ballad",
    title="Slow Tide",
    style="ballad",
    tempo=TempoMap(0.2, ((0.0, 56.0), (16.0, 59.0), (26.0, 52.0))),
    metre="6/8",
    beats_per_bar=2,
    beat_unit="dotted quarter",
    key="Bb major",
    n_bars=_BARS,
    duration_s=34.0,
    seed=35,
    parts=(
        Part("Standard Drum Kit", 0, True, "drums", 1.6, 0.0, 0.006, tuple(_drums())),
        Part("Fretless Bass", 35, False, "bass", 0.5, 0.0, 0.008, tuple(_bass())),
        Part("Acoustic Grand Piano", 0, False, "piano", 1.6, -0.3, 0.008, tuple(_piano())),
        Part("String Ensemble 1", 48, False, "other", 1.4, 0.3, 0.01, tuple(_strings())),
        Part("Voice Oohs", 53, False, "vocals", 0.8, 0.0, 0.012, tuple(phrase(0.0, _VOICE, 84, 0.96, _EIGHTH)), 40),
    ),
)
