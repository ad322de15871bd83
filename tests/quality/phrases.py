"""Random polyphonic music with exactly known notes, for fitting the polyphonic transcriber.

Chords, strums, arpeggios, riffs, pads, melodies and two-handed piano over random progressions; one to four instruments
of one key and tempo at once, with the octaves and unisons that come of it.  Played by ``fluidsynth`` with FluidR3 GM
and MuseScore General (both MIT; in Debian: fluidsynth, fluid-soundfont-gm, musescore-general-soundfont-lossless) and
by the additive voices of :mod:`phrase_voices`; then reverb, tone, distortion and what may leak from a rhythm section.
"""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import mido
import numpy as np
import scipy.signal
import soundfile
from phrase_voices import random_voice, sound

RATE_HZ = 44_100
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2"),
)
SYNTHESIZED = 2  # in Part.source: neither soundfont, but an additive voice
# General MIDI programs: lowest and highest key played.
RANGES = {
    **dict.fromkeys(range(0, 8), (30, 98)),  # pianos
    **dict.fromkeys(range(8, 16), (58, 98)),  # mallets
    **dict.fromkeys(range(16, 24), (40, 88)),  # organs
    **dict.fromkeys(range(24, 32), (40, 84)),  # guitars
    **dict.fromkeys(range(40, 48), (43, 90)),  # strings
    **dict.fromkeys(range(48, 56), (40, 86)),  # ensembles
    **dict.fromkeys(range(56, 64), (41, 82)),  # brass
    **dict.fromkeys(range(64, 72), (46, 86)),  # reeds
    **dict.fromkeys(range(72, 80), (58, 96)),  # pipes
    **dict.fromkeys(range(80, 88), (45, 92)),  # leads
    **dict.fromkeys(range(88, 96), (42, 84)),  # pads
    **dict.fromkeys(range(104, 112), (48, 86)),  # plucked and blown instruments of the world
}
PIANOS, GUITARS, ORGANS = tuple(range(0, 8)), tuple(range(24, 31)), tuple(range(16, 24))
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 5, 7, 9, 10))
CELLS = (  # rhythms of one chord, in beats
    (4,), (2, 2), (1, 1, 1, 1), (0.5,) * 8, (1.5, 0.5, 2), (0.75, 0.75, 0.5, 0.75, 0.75, 0.5), (1.5, 1.5, 1), (3, 1),
    (0.5, 1, 0.5, 0.5, 1, 0.5), (0.25,) * 16, (1 / 3,) * 12, (1, 0.5, 0.5, 1, 0.5, 0.5),
)  # fmt: skip
ONSET_LEVEL = 0.2  # of the attack's peak (-14 dB): from here on a note counts as audible
CALIBRATED_KEYS = tuple(range(36, 97, 12))
CALIBRATION_SLOT_S = 1.8  # by then all but the longest releases are over
TAIL_S = 2.0
TICKS_PER_S = 1920


@dataclass(frozen=True)
class Played:
    """A note: MIDI key, key down and key up in s, velocity 1-127."""

    pitch: int
    start_s: float
    end_s: float
    velocity: int


@dataclass(frozen=True)
class Part:
    """One instrument's notes; ``source`` is an index into SOUNDFONTS or SYNTHESIZED."""

    program: int
    source: int
    notes: list[Played]


@dataclass(frozen=True)
class Phrase:
    """A rendered stem: float32 mono at 44.1 kHz, and its notes from audible onset to key up."""

    samples: np.ndarray
    notes: list[Played]


@dataclass(frozen=True)
class Harmony:
    """What all parts of a phrase share: seconds of a beat, the scale's pitch classes, and (beat, pitch classes)."""

    beat_s: float
    scale: tuple[int, ...]
    chords: list[tuple[float, tuple[int, ...]]]
    chord_beats: float
    duration_s: float


def harmony(rng: np.random.Generator, duration_s: float) -> Harmony:
    beat_s = 60 / rng.uniform(62, 178)
    steps = SCALES[rng.integers(len(SCALES))]
    root = rng.integers(12)
    chord_beats = float(rng.choice([2, 4, 4, 4]))
    n_chords = int(duration_s / (beat_s * chord_beats)) + 1
    loop = []
    for _ in range(int(rng.choice([2, 4, 4, 8]))):
        degree = int(rng.integers(7))
        size = int(rng.choice([3, 3, 3, 4, 4, 5]))
        if rng.random() < 0.12:  # a chord from outside the key
            chord = tuple(int(root + rng.integers(12) + i) % 12 for i in (0, 4, 7, 10)[:size])
        else:
            chord = tuple(int(root + steps[(degree + 2 * i) % 7]) % 12 for i in range(size))
        loop.append(chord)
    chords = [(i * chord_beats, loop[i % len(loop)]) for i in range(n_chords)]
    return Harmony(beat_s, tuple(sorted(int(root + s) % 12 for s in steps)), chords, chord_beats, duration_s)


def voicing(rng: np.random.Generator, chord: tuple[int, ...], low: int, high: int, n: int) -> list[int]:
    """``n`` keys of a chord, close or spread, somewhere in [low, high]."""
    keys = [key for key in range(low, high + 1) if key % 12 in chord]
    n = min(n, len(keys))
    first = int(rng.integers(len(keys) - n + 1))
    if rng.random() < 0.25 and len(keys) > n:  # spread
        return sorted(rng.choice(keys, n, replace=False).tolist())
    return keys[first : first + n]


Event = tuple[float, float, int, float]  # start and end in beats, key, accent


def chords(rng: np.random.Generator, h: Harmony, low: int, high: int) -> list[Event]:
    """Block chords in a rhythm; strummed when the spread is drawn wide."""
    cell = CELLS[rng.integers(len(CELLS))]
    n, held = int(rng.integers(2, 7)), rng.uniform(0.25, 1.0)
    strum = rng.choice([0, 0, 0.01, 0.03])
    rest = rng.uniform(0, 0.2)
    out: list[Event] = []
    for begin, chord in h.chords:
        keys = voicing(rng, chord, low, high, n)
        at = 0.0
        for i, length in enumerate(cell):
            if at >= h.chord_beats:
                break
            if rng.random() >= rest:
                order = keys if i % 2 == 0 else keys[::-1]
                out += [
                    (begin + at + j * strum, begin + at + length * held, k, at % 1 == 0) for j, k in enumerate(order)
                ]
            at += length
    return out


def arpeggio(rng: np.random.Generator, h: Harmony, low: int, high: int) -> list[Event]:
    step = float(rng.choice([0.25, 0.5, 0.5, 1 / 3, 1.0]))
    n, ringing = int(rng.integers(3, 8)), rng.random() < 0.4
    held = rng.uniform(0.4, 1.1)
    shape = rng.integers(4)
    out: list[Event] = []
    for begin, chord in h.chords:
        keys = voicing(rng, chord, low, high, n)
        order = (keys, keys[::-1], keys + keys[-2:0:-1], rng.permutation(keys).tolist())[shape] or keys
        for i in range(round(h.chord_beats / step)):
            at = begin + i * step
            out.append((at, begin + h.chord_beats if ringing else at + step * held, order[i % len(order)], i % 4 == 0))
    return out


def melody(rng: np.random.Generator, h: Harmony, low: int, high: int) -> list[Event]:
    """A walk on the scale with repeated notes, leaps and rests; sometimes doubled at an interval."""
    keys = [key for key in range(low, high + 1) if key % 12 in h.scale]
    at, where, out = 0.0, int(rng.integers(len(keys))), []
    lengths = rng.choice([0.25, 0.5, 0.5, 1, 1, 1.5, 2, 3], int(rng.integers(2, 6)))
    rest, held = rng.uniform(0.02, 0.3), rng.uniform(0.5, 1.02)
    doubled = int(rng.choice([0, 0, 0, 12, -12, 4, 7, 9]))
    end = len(h.chords) * h.chord_beats
    while at < end:
        length = float(rng.choice(lengths))
        if rng.random() >= rest:
            out.append((at, at + length * held, keys[where], at % 1 == 0))
            if doubled and low <= keys[where] + doubled <= high:
                out.append((at, at + length * held, keys[where] + doubled, at % 1 == 0))
        leap = rng.choice([0, 0, 1, -1, 1, -1, 2, -2, 3, -3, 5, -5])
        where = int(np.clip(where + leap, 0, len(keys) - 1))
        at += length
    return out


def pad(rng: np.random.Generator, h: Harmony, low: int, high: int) -> list[Event]:
    n, out = int(rng.integers(2, 6)), []
    held = rng.uniform(0.85, 1.0)
    for begin, chord in h.chords:
        out += [(begin, begin + h.chord_beats * held, key, True) for key in voicing(rng, chord, low, high, n)]
    return out


def riff(rng: np.random.Generator, h: Harmony, low: int, high: int) -> list[Event]:
    """One bar repeated: single notes, or root and fifth, with short repeated notes among them."""
    power = rng.random() < 0.5
    steps = float(rng.choice([0.25, 0.5]))
    n = round(h.chord_beats / steps)
    pattern = rng.choice([0, 0, 0, 7, 12, 3, 5, 10, -2], n)
    sounding, held = rng.random(n) < rng.uniform(0.5, 1.0), rng.uniform(0.3, 1.0, n)
    register = int(rng.integers(low, max(low + 1, min(high - 19, low + 25))))
    out: list[Event] = []
    for begin, chord in h.chords:
        root = register + (chord[0] - register) % 12
        for i in np.flatnonzero(sounding):
            key = root + (0 if power and rng.random() < 0.7 else int(pattern[i]))
            at = begin + i * steps
            for k in (key, key + 7, key + 12)[: int(rng.integers(2, 4)) if power else 1]:
                out.append((at, at + steps * held[i], k, i % 4 == 0))
    return out


def two_hands(rng: np.random.Generator, h: Harmony, low: int, high: int) -> list[Event]:
    split = int(np.clip(rng.integers(52, 66), low + 14, high - 14))
    left = (arpeggio, chords, riff, pad)[rng.integers(4)](rng, h, low, split)
    return left + (melody, chords, arpeggio)[rng.integers(3)](rng, h, split, high)


Style = Callable[[np.random.Generator, Harmony, int, int], list[Event]]
STYLES: dict[str, tuple[Style, ...]] = {
    "piano": (chords, arpeggio, melody, pad, two_hands, two_hands, two_hands, riff),
    "guitar": (chords, chords, arpeggio, arpeggio, melody, riff, riff, pad),
    "other": (chords, arpeggio, melody, melody, pad, pad, riff),
}


def play(rng: np.random.Generator, h: Harmony, kind: str, program: int, source: int) -> Part:
    """A part in one of the kind's styles, with its own loudness, dynamics and looseness of time."""
    low, high = RANGES[program]
    width = int(rng.integers(20, 44))
    low = int(rng.integers(low, max(low + 1, high - width + 1)))
    high = min(high, low + width)
    events = STYLES[kind][rng.integers(len(STYLES[kind]))](rng, h, low, high)
    mean, spread, accent = rng.uniform(48, 116), rng.choice([0, 4, 10, 18]), rng.uniform(0, 16)
    swell = rng.uniform(0, 12) * np.sin(2 * np.pi * (np.arange(4096) / rng.uniform(60, 400) + rng.random()))
    loose_s = rng.choice([0, 0, 0.006, 0.014])
    sounding: dict[int, int] = {}
    notes: list[Played] = []
    for begin, end, key, strong in sorted(events):
        start_s = max(0.05, 0.1 + begin * h.beat_s + loose_s * rng.standard_normal())
        end_s = max(0.1 + end * h.beat_s, start_s + 0.06)
        if start_s > h.duration_s - 0.4:
            continue
        level = mean + spread * rng.standard_normal() + accent * strong + swell[len(notes) % 4096]
        before = sounding.get(key)
        if before is not None:  # one string, one key: no note sounds twice at once
            if start_s - notes[before].start_s < 0.06:
                continue
            notes[before] = replace(notes[before], end_s=min(notes[before].end_s, start_s - 0.01))
        sounding[key] = len(notes)
        notes.append(Played(key, start_s, min(end_s, h.duration_s - 0.05), int(np.clip(level, 8, 127))))
    return Part(program, source, notes)


def instruments(rng: np.random.Generator, kind: str) -> list[tuple[str, int]]:
    """(style, program) of each part of a stem: one instrument, or for ``other`` up to four of any family."""
    if kind == "piano":
        return [("piano", int(rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 6, 7])))]
    if kind == "guitar":
        return [("guitar", int(p)) for p in rng.choice(GUITARS, int(rng.choice([1, 1, 2])), replace=False)]
    rest = [p for p in RANGES if p not in PIANOS + GUITARS]
    drawn = []
    for _ in range(int(rng.choice([1, 1, 2, 2, 3, 4]))):
        family = rng.random()
        if family < 0.2:
            drawn.append(("guitar", int(rng.choice(GUITARS))))
        elif family < 0.35:
            drawn.append(("piano", int(rng.choice(PIANOS))))
        else:
            drawn.append(("other", int(rng.choice(rest))))
    return drawn


def fluidsynth(parts: list[Part], source: int, sends: list[int], slot_s: float) -> np.ndarray:
    """Plays parts one after the other with a soundfont, which takes longer to load than to play.

    Args:
        parts: each no longer than ``slot_s``, release included.
        source: index of the soundfont.
        sends: how much of each goes to reverb and chorus, 0-127.
        slot_s: seconds from one part's start to the next one's.

    Returns:
        float32 mono at 44.1 kHz, shape (n_parts, slot_s * 44 100).
    """
    track, now = mido.MidiTrack(), 0
    for slot, (part, send) in enumerate(zip(parts, sends, strict=True)):
        at = round(slot * slot_s * TICKS_PER_S)
        events = [(at, 0, mido.Message("program_change", program=part.program))]
        events += [(at, 0, mido.Message("control_change", control=control, value=send)) for control in (91, 93)]
        for n in part.notes:
            down, up = (at + round(time_s * TICKS_PER_S) for time_s in (n.start_s, n.end_s))
            events.append((down, 2, mido.Message("note_on", note=n.pitch, velocity=n.velocity)))
            events.append((up, 1, mido.Message("note_off", note=n.pitch)))
        for tick, _, message in sorted(events, key=lambda event: event[:2]):
            track.append(message.copy(time=tick - now))
            now = tick
    track.append(mido.MetaMessage("end_of_track", time=round(len(parts) * slot_s * TICKS_PER_S) - now))
    with tempfile.TemporaryDirectory() as folder:
        midi_path, wav_path = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2, tracks=[track]).save(midi_path)
        command = ["fluidsynth", "-ni", "-q", "-r", str(RATE_HZ), "-g", "0.4", "-T", "wav", "-F", str(wav_path)]
        subprocess.run([*command, str(SOUNDFONTS[source]), str(midi_path)], check=True, capture_output=True)
        audio = soundfile.read(wav_path, dtype="float32", always_2d=True)[0].mean(axis=1)
    n_samples = round(slot_s * RATE_HZ)
    return np.pad(audio, (0, max(0, len(parts) * n_samples - len(audio))))[: len(parts) * n_samples].reshape(
        -1, n_samples
    )


@cache
def onset_delays() -> dict[tuple[int, int], np.ndarray]:
    """Seconds from key down to audible onset by (soundfont, program), at CALIBRATED_KEYS; nan where nothing sounds."""
    delays = {}
    for source in range(len(SOUNDFONTS)):
        parts = [Part(program, source, [Played(key, 0.1, 0.6, 90)]) for program in RANGES for key in CALIBRATED_KEYS]
        heard = fluidsynth(parts, source, [0] * len(parts), CALIBRATION_SLOT_S)
        first = round(0.1 * RATE_HZ)
        found = []
        for audio in heard:
            power = np.maximum(scipy.signal.lfilter(np.ones(132) / 132, 1, audio.astype(float) ** 2), 0)
            attack = np.sqrt(power[first : first + round(0.45 * RATE_HZ)])
            late_s = np.argmax(attack >= ONSET_LEVEL * attack.max()) / RATE_HZ
            found.append(max(late_s - 0.0015, 0.0) if attack.max() > 1e-4 else np.nan)  # the filter looks back 3 ms
        for program, of_program in zip(RANGES, np.array(found).reshape(-1, len(CALIBRATED_KEYS)), strict=True):
            delays[source, program] = of_program
    return delays


def audible(part: Part) -> list[Played]:
    """A part's notes from when they can be heard; without those that sound too late or not at all."""
    if part.source == SYNTHESIZED:
        return part.notes
    delays = np.interp([n.pitch for n in part.notes], CALIBRATED_KEYS, onset_delays()[part.source, part.program])
    heard = [replace(n, start_s=n.start_s + d) for n, d in zip(part.notes, delays.tolist(), strict=True)]
    return [n for n in heard if n.end_s > n.start_s + 0.02]  # nan compares false


def worn(rng: np.random.Generator, audio: np.ndarray, *, amplified: bool) -> np.ndarray:
    """What a mixing desk may do: an amplifier's distortion, tone, a room."""
    audio = audio / max(float(np.abs(audio).max()), 1e-6)
    if amplified and rng.random() < 0.35:
        drive = rng.uniform(1.5, 12)
        audio = np.tanh(drive * audio) / np.tanh(drive)
    if rng.random() < 0.6:  # shelves: low or high ends raised or lowered
        b, a = scipy.signal.butter(1, rng.uniform(200, 3000), fs=RATE_HZ)
        lows = scipy.signal.lfilter(b, a, audio)
        audio = lows + 10 ** (rng.uniform(-10, 8) / 20) * (audio - lows)
    if rng.random() < 0.4:
        length_s = rng.uniform(0.2, 1.8)
        tail = rng.standard_normal(round(length_s * RATE_HZ)) * np.exp(
            -6.9 * np.linspace(0, 1, round(length_s * RATE_HZ))
        )
        tail /= np.sqrt((tail**2).sum())
        wet = scipy.signal.fftconvolve(audio, tail)[: len(audio)]
        audio = audio + rng.uniform(0.05, 0.45) * wet
    return np.asarray(audio / max(float(np.abs(audio).max()), 1e-6), dtype=np.float32)


def render(rng: np.random.Generator, stems: list[list[Part]], duration_s: float) -> list[Phrase]:
    """Each list of parts to one stem."""
    sounds: dict[tuple[int, int], np.ndarray] = {}
    for source in range(len(SOUNDFONTS)):
        own = [(s, p) for s, parts in enumerate(stems) for p, part in enumerate(parts) if part.source == source]
        if own:
            sends = rng.choice([0, 0, 40, 127], len(own)).tolist()
            heard = fluidsynth([stems[s][p] for s, p in own], source, sends, duration_s + TAIL_S)
            sounds |= dict(zip(own, heard, strict=True))
    phrases = []
    for s, parts in enumerate(stems):
        out = np.zeros(round(duration_s * RATE_HZ), dtype=np.float32)
        for p, part in enumerate(parts):
            audio = sounds[s, p] if (s, p) in sounds else synthesized(rng, part, duration_s)
            dry_organ = part.program in ORGANS + GUITARS or part.source == SYNTHESIZED
            out += 10 ** (rng.uniform(-14, 0) / 20) * worn(rng, audio[: len(out)], amplified=dry_organ)
        notes = sorted((n for part in parts for n in audible(part)), key=lambda n: (n.start_s, n.pitch))
        phrases.append(Phrase(out * (rng.uniform(0.05, 0.9) / max(float(np.abs(out).max()), 1e-6)), notes))
    return phrases


def synthesized(rng: np.random.Generator, part: Part, duration_s: float) -> np.ndarray:
    """A part played by an additive voice; float32 mono at 44.1 kHz."""
    voice = random_voice(rng)
    audio = np.zeros(round((duration_s + TAIL_S) * RATE_HZ), dtype=np.float32)
    for n in part.notes:
        at = round(n.start_s * RATE_HZ)
        heard = sound(voice, n.pitch, n.end_s - n.start_s, n.velocity / 127, RATE_HZ)[: len(audio) - at]
        audio[at : at + len(heard)] += heard
    return audio


def phrases(rng: np.random.Generator, kinds: list[str], duration_s: float) -> list[Phrase]:
    """Random stems, each of a kind: ``piano``, ``guitar`` or ``other``."""
    stems = []
    for kind in kinds:
        shared = harmony(rng, duration_s)
        parts = []
        for style, program in instruments(rng, kind):
            source = SYNTHESIZED if rng.random() < 0.2 else int(rng.integers(len(SOUNDFONTS)))
            parts.append(play(rng, shared, style, program, source))
        stems.append(parts)
    return render(rng, stems, duration_s)
