"""Paper Lanterns: a waltz for piano and upright bass, 3/4 in G major, slowing down at its end."""

from quality.compositions.notation import Composition, TempoMap, phrase
from quality.song_rendering import Event, Part

# Bass note, then the chord that the left hand plays on two and three.
_BARS = (
    ("G2", "B3+D4"), ("E2", "G3+B3"), ("A2", "C4+E4"), ("D2", "C4+F#4"),
    ("B2", "D4+F#4"), ("E2", "G#3+D4"), ("A2", "G3+C4"), ("D2", "F#3+C4"),
    ("G2", "B3+F4"), ("C2", "E3+B3"), ("F#2", "A3+E4"), ("B2", "A3+D#4"),
    ("E2", "G3+D4"), ("A2", "G3+C#4"), ("A2", "G3+C4"), ("D2", "F#3+C4"),
    ("G2", "B3+D4"), ("C2", "E3+G3"), ("D2", "F#3+C4"), ("G2", "B3+D4+G4"),
)  # fmt: skip

_TUNE = (
    "B4/1.5 D5/.5 G5!/1 F#5/2 E5/1 E5/1 C5/.5 D5/.5 E5/1 D5!/2 A4/1 "
    "D5/1.5 C#5/.5 D5/1 G#4!/2 B4/1 C5/.5 B4/.5 A4/1 G4/1 F#4/1 A4/1 C5/1 "
    "B4/1 D5/1 F5!/1 E5/2 G5/1 E5/.5 F#5/.5 G5/1 A5!/1 F#5/1.5 D#5/.5 B4/1 "
    "G5!/1.5 F#5/.5 E5/1 C#5/2 E5/1 D5/.5 C5/.5 B4/1 C5/1 A4/1 F#4/1 D4/1 "
    "G4/1 B4/1 D5/1 E5!/1.5 D5/.5 C5/1 B4/1 A4/2 G4+B4+D5+G5!/3"
)


def _piano() -> list[Event]:
    events = []
    for bar, (_, chord) in enumerate(_BARS[:-1]):
        events += phrase(3.0 * bar, f"r/1 {chord}/1 {chord}/1", 46 if bar < 8 else 56, length=0.6)
    tune = phrase(0.0, _TUNE, 74, length=0.97)
    swell = (0, 2, 4, 2, 0, 4, 2, -4, 6, 10, 12, 8, 12, 6, 2, -4, 0, 2, -6, -10)
    return events + [Event(e.beat, e.beats, e.pitch, e.velocity + swell[min(int(e.beat / 3), 19)]) for e in tune]


def _bass() -> list[Event]:
    events = []
    for bar, (root, _) in enumerate(_BARS[:-1]):
        walks = bar in (3, 7, 11, 13, 15)
        line = {3: "D2/1 C2/1 B1/1", 7: "D2/1 E2/1 F#2/1", 11: "B2/1 A2/1 F#2/1", 13: "A2/1 G2/1 E2/1"}.get(
            bar, "D2/1 F#2/1 A2/1"
        )
        events += phrase(3.0 * bar, line if walks else f"{root}!/2.5", 80 if walks else 76)
    return events + phrase(57.0, "G1!/3", 78)


SONG = Composition(
    name="waltz",
    title="Paper Lanterns",
    style="waltz",
    tempo=TempoMap(0.15, ((0.0, 132.0), (24.0, 138.0), (48.0, 128.0), (51.0, 116.0), (54.0, 100.0))),
    metre="3/4",
    beats_per_bar=3,
    beat_unit="quarter",
    key="G major",
    n_bars=20,
    duration_s=31.0,
    seed=32,
    parts=(
        Part("Acoustic Bass", 32, False, "bass", 0.75, 0.1, 0.009, tuple(_bass())),
        Part("Acoustic Grand Piano", 0, False, "piano", 1.0, -0.1, 0.008, tuple(_piano())),
    ),
)
