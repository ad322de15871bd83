"""Composes and renders the demo song, "Harbour Lights": thirteen bars of original music with known notes.

Run from the repository root::

    python tests/quality/compose_demo_song.py [--soundfont FluidR3_GM.sf2] [--out service/demo/song]

Needs the ``fluidsynth`` command and the FluidR3 GM soundfont (MIT licence; Debian packages ``fluidsynth`` and
``fluid-soundfont-gm``).  It writes ``harbour-lights.ogg`` (the mix) and ``harbour-lights.notes.json`` (the truth).
The same soundfont and fluidsynth give the same samples and the same notes; only the Ogg stream's serial number differs.

Truth is what is heard: a sampled flute starts to sound later than its key goes down, so each key of each instrument is
played alone once, its delay measured, and added to the note's times in the truth file.  ``end`` is the key release,
``velocity`` is 0-1.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile

RATE_HZ = 44_100
TEMPO_BPM = 100.0
BEAT_S = 60.0 / TEMPO_BPM
BEATS_PER_BAR = 4
SEED = 20
DURATION_S = 33.0  # thirteen bars and the ring of the last chord
PEAK_DBFS = -1.0
PROBE_GAP_S = 3.0  # lets each probed key ring out before the next one is measured
ONSET_FRACTION = 0.1  # heard from -20 dB below the peak of the attack
VORBIS_QUALITY = 0.4  # soundfile's compression_level, 0 = best: about Vorbis q6

KICK, SNARE, LOW_TOM, CLOSED_HAT, MID_TOM, OPEN_HAT, HIGH_TOM, CRASH, RIDE = 36, 38, 41, 42, 45, 46, 48, 49, 51


@dataclass(frozen=True)
class Event:
    """One note of the composition; times in beats from the start of the song, velocity as MIDI 1-127."""

    beat: float
    beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """One instrument: what it plays, how tightly, and where it sits in the mix."""

    name: str
    program: int
    is_drum: bool
    stem: str
    gain: float
    pan: float  # -1 left .. 1 right
    timing_s: float  # standard deviation of the player's timing
    events: tuple[Event, ...]


@dataclass(frozen=True)
class PlayedNote:
    """One note as played: key down and key up in seconds, velocity as MIDI 1-127."""

    pitch: int
    start_s: float
    end_s: float
    velocity: int


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


def humanise(part: Part, rng: np.random.Generator) -> list[PlayedNote]:
    """Seconds instead of beats, with the player's small deviations; keys of one pitch never overlap."""
    notes = []
    for event in sorted(part.events, key=lambda e: (e.beat, e.pitch)):
        start_s = max(0.02, event.beat * BEAT_S + 0.05 + rng.normal(0.0, part.timing_s))
        velocity = int(np.clip(event.velocity + round(rng.normal(0.0, 4.0)), 20, 127))
        notes.append(PlayedNote(event.pitch, start_s, start_s + event.beats * BEAT_S, velocity))
    for index, note in enumerate(notes):
        later = [n.start_s for n in notes[index + 1 :] if n.pitch == note.pitch]
        if later and note.end_s > later[0] - 0.01:
            notes[index] = replace(note, end_s=later[0] - 0.01)
    return notes


def render(part: Part, notes: list[PlayedNote], duration_s: float, soundfont: Path) -> np.ndarray:
    """Plays the notes with fluidsynth; float64, shape (n_samples, 2), 44.1 kHz."""
    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=TEMPO_BPM)
    instrument = pretty_midi.Instrument(program=part.program, is_drum=part.is_drum)
    instrument.notes = [pretty_midi.Note(n.velocity, n.pitch, n.start_s, n.end_s) for n in notes]
    # A last event keeps fluidsynth rendering until the tail has rung out.
    instrument.control_changes = [pretty_midi.ControlChange(11, 127, duration_s)]
    midi.instruments.append(instrument)
    with tempfile.TemporaryDirectory() as folder:
        midi_path, wav_path = Path(folder) / "part.mid", Path(folder) / "part.wav"
        midi.write(str(midi_path))
        command = ["fluidsynth", "-ni", "-q", "-r", str(RATE_HZ), "-g", "0.6", "-T", "wav", "-O", "float"]
        subprocess.run([*command, "-F", str(wav_path), str(soundfont), str(midi_path)], check=True, capture_output=True)
        audio, rate_hz = soundfile.read(wav_path, dtype="float64", always_2d=True)
    if rate_hz != RATE_HZ:
        raise RuntimeError(f"fluidsynth rendered at {rate_hz} Hz instead of {RATE_HZ} Hz")
    length = round(duration_s * RATE_HZ)
    return np.pad(audio[:length], ((0, max(0, length - len(audio))), (0, 0)))


def onset_delays_s(part: Part, soundfont: Path) -> dict[int, float]:
    """How long after key-down each pitch of the part is heard, in seconds."""
    pitches = sorted({event.pitch for event in part.events})
    probes = [PlayedNote(p, PROBE_GAP_S * i + 0.1, PROBE_GAP_S * i + 1.1, 90) for i, p in enumerate(pitches)]
    audio = render(part, probes, PROBE_GAP_S * len(probes) + 1.0, soundfont)
    window = np.ones(round(0.002 * RATE_HZ))
    power = np.convolve((audio**2).sum(axis=1), window / len(window), mode="same")
    delays = {}
    for note in probes:
        first = round(note.start_s * RATE_HZ)
        attack = np.sqrt(power[first : first + round(0.2 * RATE_HZ)])
        delays[note.pitch] = float(np.argmax(attack >= ONSET_FRACTION * attack.max())) / RATE_HZ
    return delays


def pan(audio: np.ndarray, position: float) -> np.ndarray:
    """Balance control: turns the far channel down, leaves the near one."""
    return audio * np.array([min(1.0, 1.0 - position), min(1.0, 1.0 + position)])


def write_ogg(path: Path, mix: np.ndarray) -> None:
    """Writes Vorbis in blocks of a second: libsndfile's encoder can overflow its stack on one long write."""
    with soundfile.SoundFile(
        path, "w", RATE_HZ, 2, format="OGG", subtype="VORBIS", compression_level=VORBIS_QUALITY
    ) as file:
        for first in range(0, len(mix), RATE_HZ):
            file.write(mix[first : first + RATE_HZ])


def compose(soundfont: Path, out_dir: Path) -> None:
    """Renders all parts, mixes them and writes the song and its notes."""
    rng = np.random.default_rng(SEED)
    mix = np.zeros((round(DURATION_S * RATE_HZ), 2))
    instruments = []
    for part in (drum_part(), bass_part(), piano_part(), lead_part()):
        notes = humanise(part, rng)
        delays = onset_delays_s(part, soundfont)
        mix += part.gain * pan(render(part, notes, DURATION_S, soundfont), part.pan)
        truth = [
            {
                "pitch": n.pitch,
                "start": round(n.start_s + delays[n.pitch], 4),
                "end": round(n.end_s + delays[n.pitch], 4),
                "velocity": round(n.velocity / 127, 3),
            }
            for n in notes
        ]
        truth.sort(key=lambda n: (n["start"], n["pitch"]))
        fields = {"name": part.name, "program": part.program, "is_drum": part.is_drum, "stem": part.stem}
        instruments.append({**fields, "notes": truth})
        print(f"{part.name}: {len(notes)} notes, heard {1000 * np.median(list(delays.values())):.1f} ms after the key")
    fade = np.ones(len(mix))
    fade[-RATE_HZ:] = np.linspace(1.0, 0.0, RATE_HZ)
    mix *= fade[:, None]
    mix *= 10 ** (PEAK_DBFS / 20) / np.abs(mix).max()
    meta = {
        "title": "Harbour Lights",
        "licence": "MIT, as the repository; rendered with FluidR3 GM samples by Frank Wen (MIT)",
        "soundfont": "FluidR3_GM.sf2",
        "tempo_bpm": TEMPO_BPM,
        "time_signature": "4/4",
        "rate": RATE_HZ,
        "duration": DURATION_S,
        "chords": [name for name, _, _ in CHORDS],
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    write_ogg(out_dir / "harbour-lights.ogg", mix)
    notes_path = out_dir / "harbour-lights.notes.json"
    lines = json.dumps({"meta": meta, "instruments": instruments}, indent=1)
    notes_path.write_text(lines + "\n", encoding="utf-8")
    print(f"{DURATION_S:.0f} s, {(out_dir / 'harbour-lights.ogg').stat().st_size} bytes")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    parser.add_argument("--out", type=Path, default=Path("service/demo/song"))
    arguments = parser.parse_args()
    if shutil.which("fluidsynth") is None or not arguments.soundfont.is_file():
        parser.error("needs the fluidsynth command and the FluidR3 GM soundfont (see --help)")
    compose(arguments.soundfont, arguments.out)


if __name__ == "__main__":
    main()
