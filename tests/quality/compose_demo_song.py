"""Composes and renders the demo song, "Harbour Lights": thirteen bars of original music with known notes.

Run from the repository root::

    python tests/quality/compose_demo_song.py [--soundfont FluidR3_GM.sf2] [--out service/demo/song]

It writes ``harbour-lights.ogg`` (the mix) and ``harbour-lights.notes.json`` (the truth; ``velocity`` is 0-1).  What it
needs, and what truth means, says song_rendering.py.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality.song_rendering import (
    CLOSED_HAT,
    CRASH,
    HIGH_TOM,
    KICK,
    LICENCE,
    LOW_TOM,
    MID_TOM,
    OPEN_HAT,
    RATE_HZ,
    RIDE,
    SNARE,
    Event,
    Part,
    faded,
    peak_gain,
    perform,
    rendering_arguments,
    write_ogg,
)

TEMPO_BPM = 100.0
BEAT_S = 60.0 / TEMPO_BPM
FIRST_BEAT_S = 0.05
BEATS_PER_BAR = 4
SEED = 20
DURATION_S = 33.0  # thirteen bars and the ring of the last chord
COMPRESSION_LEVEL = 0.4

# One line per bar: chord name, piano voicing, bass root.
CHORDS = (
    ("Dmaj9", (54, 57, 61, 64), 38),
    ("Dmaj9", (54, 57, 61, 64), 38),
    ("Bm7", (57, 59, 62, 66), 35),
    ("Gmaj7", (55, 59, 62, 66), 43),
    ("A7sus4", (55, 57, 62, 64), 33),
    ("Dmaj9", (54, 57, 61, 64), 38),
    ("F#m7", (57, 61, 64, 66), 42),
    ("Gmaj7", (55, 59, 62, 66), 43),
    ("A7", (55, 57, 61, 64), 33),
    ("Bm7", (57, 59, 62, 66), 35),
    ("Gmaj7", (55, 59, 62, 66), 43),
    ("A7sus4", (55, 57, 62, 64), 33),
    ("D", (54, 57, 62, 66), 38),
)

# The lead, bar by bar: (beat in the bar, beats, pitch).
MELODY: dict[int, tuple[tuple[float, float, int], ...]] = {
    0: ((3.0, 0.5, 69), (3.5, 0.5, 71)),
    1: ((0.0, 1.5, 74), (1.5, 0.5, 76), (2.0, 1.5, 78), (3.5, 0.5, 76)),
    2: ((0.0, 1.5, 74), (1.5, 0.5, 71), (2.0, 1.0, 74), (3.0, 0.5, 73), (3.5, 0.5, 71)),
    3: ((0.0, 1.0, 71), (1.0, 1.0, 74), (2.0, 1.5, 79), (3.5, 0.5, 78)),
    4: ((0.0, 2.0, 76), (2.5, 0.5, 73), (3.0, 0.5, 69), (3.5, 0.5, 71)),
    5: ((0.0, 0.5, 73), (0.5, 0.5, 74), (1.0, 1.0, 78), (2.0, 1.5, 81), (3.5, 0.5, 79)),
    6: ((0.0, 1.0, 78), (1.0, 0.5, 76), (1.5, 1.0, 73), (2.5, 0.5, 76), (3.0, 1.0, 78)),
    7: ((0.0, 0.75, 79), (0.75, 0.25, 78), (1.0, 1.0, 74), (2.0, 1.0, 71), (3.0, 0.5, 74), (3.5, 0.5, 76)),
    8: ((0.0, 1.5, 76), (1.5, 0.5, 73), (2.0, 1.5, 69)),
    9: ((0.0, 1.0, 83), (1.0, 0.5, 81), (1.5, 1.0, 78), (2.5, 0.5, 74), (3.0, 1.0, 78)),
    10: ((0.0, 1.0, 83), (1.0, 0.5, 81), (1.5, 0.5, 79), (2.0, 0.5, 78), (2.5, 1.0, 74), (3.5, 0.5, 76)),
    11: ((0.0, 1.5, 79), (1.5, 0.5, 78), (2.0, 1.0, 76), (3.0, 1.0, 73)),
    12: ((0.0, 3.5, 74),),
}


def bar_start(bar: int) -> float:
    """Beat at which a bar (counted from 0) starts."""
    return float(bar * BEATS_PER_BAR)


def lead_part() -> Part:
    """The flute melody; longer and higher notes a little louder."""
    events = [
        Event(bar_start(bar) + beat, beats * 0.92, pitch, 74 + round(6 * min(beats, 2.0)) + (pitch - 74))
        for bar, phrase in MELODY.items()
        for beat, beats, pitch in phrase
    ]
    return Part("Flute", 73, False, "other", 0.62, 0.2, 0.008, tuple(events))


def piano_part() -> Part:
    """Broken chord in the intro, syncopated comping in the groove, a held chord at the end."""
    events = []
    for bar, (_, voicing, _) in enumerate(CHORDS):
        start = bar_start(bar)
        if bar == 0:
            arpeggio = (*voicing, 66, 64, 61, 57)
            events += [Event(start + i / 2, 0.95, p, 62 + 2 * i) for i, p in enumerate(arpeggio)]
        elif bar == len(CHORDS) - 1:
            events += [Event(start, 5.5, p, 84) for p in (*voicing, 69)]
        else:
            hits = ((0.0, 1.3, 78), (1.5, 0.9, 70), (3.0, 0.8, 74)) if bar % 2 else ((0.0, 1.3, 78), (1.5, 1.9, 72))
            events += [Event(start + at, beats, p, v) for at, beats, v in hits for p in voicing]
    return Part("Acoustic Grand Piano", 0, False, "other", 1.0, -0.3, 0.006, tuple(events))


def bass_part() -> Part:
    """Root on one with the kick, syncopation, and an approach note into the next bar."""
    events = []
    for bar, (_, _, root) in enumerate(CHORDS[1:], start=1):
        start = bar_start(bar)
        if bar == len(CHORDS) - 1:
            events.append(Event(start, 5.0, root, 100))
            continue
        next_root = CHORDS[bar + 1][2]
        fifth = root + 7 if root < 40 else root - 5
        approach = next_root + (-2 if next_root > root else 2)
        line = ((0.0, 1.3, root, 100), (1.5, 0.8, root, 88), (2.5, 0.45, fifth, 84), (3.0, 0.45, root, 92))
        events += [Event(start + at, beats, p, v) for at, beats, p, v in line]
        events.append(Event(start + 3.5, 0.42, approach, 86))
    return Part("Electric Bass (finger)", 33, False, "bass", 0.7, 0.0, 0.006, tuple(events))


def groove_bar(bar: int) -> list[tuple[float, int, int]]:
    """One bar of drums as (beat in the bar, key, velocity)."""
    if bar == 0:
        return [(i / 2, CLOSED_HAT, 84 if i % 2 == 0 else 58) for i in range(7)] + [(3.5, SNARE, 70), (3.75, SNARE, 88)]
    if bar == len(CHORDS) - 1:
        return [(0.0, KICK, 112), (0.0, CRASH, 108)]
    fill = bar in (8, 11)
    chorus = bar >= 9
    timekeeper = RIDE if chorus else CLOSED_HAT
    last = 2.0 if fill else 4.0
    hits = [(i / 2, timekeeper, 92 if i % 2 == 0 else 66) for i in range(int(last * 2))]
    kicks = (0.0, 1.5, 2.5) if bar % 2 else (0.0, 2.5)
    hits += [(at, KICK, 108 if at == 0.0 else 92) for at in kicks if at < last]
    hits += [(at, SNARE, 104) for at in (1.0, 3.0) if at < last]
    if fill:
        toms = ((2.0, SNARE), (2.25, SNARE), (2.5, HIGH_TOM), (2.75, HIGH_TOM))
        toms += ((3.0, MID_TOM), (3.25, MID_TOM), (3.5, LOW_TOM), (3.75, LOW_TOM))
        hits += [(at, key, 86 + 4 * i) for i, (at, key) in enumerate(toms)] + [(2.0, KICK, 96), (3.0, KICK, 96)]
    else:
        hits.append((1.75 if bar % 2 else 3.75, SNARE, 42))  # ghost note
    if bar in (4, 7):  # the open hat replaces the closed one just before the next bar
        hits = [hit for hit in hits if hit[:2] != (3.5, CLOSED_HAT)] + [(3.5, OPEN_HAT, 90)]
    if bar in (1, 9):
        hits = [hit for hit in hits if hit[:2] != (0.0, timekeeper)] + [(0.0, CRASH, 104)]
    return hits


def drum_part() -> Part:
    """The kit: hats in the verse, ride in the chorus, two fills, a closing crash."""
    events = [
        Event(bar_start(bar) + beat, 0.2, key, velocity)
        for bar in range(len(CHORDS))
        for beat, key, velocity in groove_bar(bar)
    ]
    return Part("Standard Drum Kit", 0, True, "drums", 1.25, 0.0, 0.004, tuple(events))


def at_s(beat: float) -> float:
    """When a beat comes."""
    return beat * BEAT_S + FIRST_BEAT_S


def compose(soundfont: Path, out_dir: Path) -> None:
    """Renders all parts, mixes them and writes the song and its notes."""
    rng = np.random.default_rng(SEED)
    mix = np.zeros((round(DURATION_S * RATE_HZ), 2))
    instruments = []
    for part in (drum_part(), bass_part(), piano_part(), lead_part()):
        performance = perform(part, at_s, DURATION_S, soundfont, rng)
        mix += performance.audio
        truth = [
            {"pitch": n.pitch, "start": n.start_s, "end": n.end_s, "velocity": round(n.velocity / 127, 3)}
            for n in performance.notes
        ]
        fields = {"name": part.name, "program": part.program, "is_drum": part.is_drum, "stem": part.stem}
        instruments.append({**fields, "notes": truth})
    mix = faded(mix)
    mix *= peak_gain(mix)
    meta = {
        "title": "Harbour Lights",
        "licence": LICENCE,
        "soundfont": "FluidR3_GM.sf2",
        "tempo_bpm": TEMPO_BPM,
        "time_signature": "4/4",
        "rate": RATE_HZ,
        "duration": DURATION_S,
        "chords": [name for name, _, _ in CHORDS],
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    write_ogg(out_dir / "harbour-lights.ogg", mix, COMPRESSION_LEVEL)
    notes_path = out_dir / "harbour-lights.notes.json"
    lines = json.dumps({"meta": meta, "instruments": instruments}, indent=1)
    notes_path.write_text(lines + "\n", encoding="utf-8")
    print(f"{DURATION_S:.0f} s, {(out_dir / 'harbour-lights.ogg').stat().st_size} bytes")


def main() -> None:
    """Command line."""
    arguments = rendering_arguments(__doc__, Path("service/demo/song"))
    compose(arguments.soundfont, arguments.out)


if __name__ == "__main__":
    main()
