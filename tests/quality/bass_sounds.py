"""Players of bass lines: soundfonts through fluidsynth, sampled patches, a synthesiser, a plucked string.

Sounds: FluidR3 GM and MuseScore General (both MIT) and freepats (GPL with an exception for music), all from Debian.
"""

import struct
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mido
import numpy as np
import scipy.signal
import soundfile

RATE_HZ = 44_100
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2"),
)
PATCHES = Path("/usr/share/midi/freepats/Tone_000")
LOWEST, HIGHEST = 21, 67  # A0, a tone below a five-string bass, to G4
ONSET_LEVEL = 0.1  # of the attack's peak: where a note becomes audible
TICKS_PER_S = 9600


@dataclass(frozen=True)
class BassNote:
    """Times in s, velocity 0-1; ``slide`` semitones are glided through from below (positive) at the start."""

    pitch: int
    start_s: float
    end_s: float
    velocity: float
    slide: float = 0.0


def messages(notes: list[BassNote], overlap_s: float) -> list[tuple[float, mido.Message]]:
    """MIDI with times in s; notes that touch are held on for ``overlap_s``."""
    events: list[tuple[float, mido.Message]] = []
    for index, note in enumerate(notes):
        held_s = note.end_s
        following = notes[index + 1] if index + 1 < len(notes) else None
        if following and following.pitch != note.pitch and following.start_s - note.end_s < 0.005:
            held_s += overlap_s
        velocity = max(1, round(note.velocity * 127))
        events.append((note.start_s, mido.Message("note_on", note=note.pitch, velocity=velocity)))
        events.append((held_s - 0.0005, mido.Message("note_off", note=note.pitch)))
        if note.slide:
            glide_s = min(0.12, 0.4 * (note.end_s - note.start_s))
            for part in np.linspace(1.0, 0.0, 12):
                bend = int(np.clip(-note.slide * part / 12 * 8192, -8192, 8191))
                events.append((note.start_s - 0.001 + (1 - part) * glide_s, mido.Message("pitchwheel", pitch=bend)))
    return sorted(events, key=lambda event: event[0])


def play(
    notes: list[BassNote],
    soundfont: Path,
    program: int,
    duration_s: float,
    *,
    reverb: bool = False,
    overlap_s: float = 0.0,
) -> np.ndarray:
    """The line played by fluidsynth: float32 mono at 44.1 kHz."""
    track = mido.MidiTrack([mido.Message("program_change", program=program)])
    for control, value in ((101, 0), (100, 0), (6, 12)):  # pitch wheel reaches an octave
        track.append(mido.Message("control_change", control=control, value=value))
    now = 0
    for time_s, message in messages(notes, overlap_s):
        at = max(round(time_s * TICKS_PER_S), now)
        track.append(message.copy(time=at - now))
        now = at
    track.append(mido.MetaMessage("end_of_track", time=TICKS_PER_S))
    file = mido.MidiFile(ticks_per_beat=TICKS_PER_S)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)]))
    file.tracks.append(track)
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "line.mid"), Path(folder, "line.wav")
        file.save(midi)
        sound = ["-g", "0.6", "-C", "0", "-R", "1" if reverb else "0", "-o", "synth.dynamic-sample-loading=1"]
        subprocess.run(
            ["fluidsynth", "-ni", "-q", "-r", str(RATE_HZ), *sound, "-F", str(wav), str(soundfont), str(midi)],
            check=True,
            capture_output=True,
        )
        samples, _ = soundfile.read(wav, dtype="float32")
    mono = samples.mean(axis=1)
    out = np.zeros(round(duration_s * RATE_HZ), dtype=np.float32)
    out[: len(mono)] = mono[: len(out)]
    return out


@cache
def onset_delays_s(soundfont: Path, program: int) -> dict[int, float]:
    """From key to audible sound, by pitch: every second one is played alone, its neighbour taken to be like it."""
    pitches = range(LOWEST, HIGHEST + 1, 2)
    notes = [BassNote(pitch, 0.2 + 0.8 * i, 0.6 + 0.8 * i, 0.8) for i, pitch in enumerate(pitches)]
    samples = play(notes, soundfont, program, 0.8 * len(notes) + 1.0)
    delays: dict[int, float] = {}
    for note in notes:
        start = round(note.start_s * RATE_HZ)
        level = np.abs(samples[start : start + round(0.15 * RATE_HZ)])
        delay_s = float(np.argmax(level >= ONSET_LEVEL * level.max()) / RATE_HZ)
        delays[note.pitch] = delays[note.pitch + 1] = min(delay_s, 0.08)
    return delays


@dataclass(frozen=True)
class _Sample:
    low_hz: float
    high_hz: float
    root_hz: float
    rate_hz: int
    loop: tuple[int, int] | None
    samples: np.ndarray


@cache
def patch(path: Path) -> tuple[_Sample, ...]:
    """Samples of a Gravis Ultrasound patch."""
    data = path.read_bytes()
    n_samples, at = data[129 + 63 + 6], 129 + 63 + 47
    found = []
    for _ in range(n_samples):
        size, loop_start, loop_end, rate_hz, low, high, root = struct.unpack_from("<IIIHIII", data, at + 8)
        modes = data[at + 55]
        at += 96
        wide = modes & 1
        values = np.frombuffer(data[at : at + size // 2 * 2], "<i2" if wide else "i1").astype(np.float32)
        if modes & 2:
            values = (values + (65536 if wide else 256) * (values < 0)) - (32768 if wide else 128)
        at += size
        loop = (loop_start // (2 if wide else 1), loop_end // (2 if wide else 1)) if modes & 4 else None
        values /= np.abs(values).max() + 1e-9
        found.append(_Sample(low / 1000, high / 1000, root / 1000, rate_hz, loop, values))
    return tuple(found)


def sampled(notes: list[BassNote], path: Path, duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """The line played with a patch."""
    out = np.zeros(round(duration_s * RATE_HZ) + RATE_HZ, dtype=np.float32)
    release_s, decay_s = rng.choice([0.005, 0.03, 0.08]), rng.choice([0.4, 1.0, 3.0])
    samples = patch(path)
    for note in notes:
        hz = 440 * 2 ** ((note.pitch - 69) / 12)
        inside = [s for s in samples if s.low_hz <= hz <= s.high_hz]
        sample = inside[0] if inside else min(samples, key=lambda s: abs(np.log(s.root_hz / hz)))
        held_s = note.end_s - note.start_s
        time_s = np.arange(round((held_s + 5 * release_s) * RATE_HZ)) / RATE_HZ
        glide = note.slide * np.clip(1 - time_s / min(0.12, 0.4 * held_s), 0, 1)
        place = np.cumsum(2 ** (-glide / 12)) * hz / sample.root_hz * sample.rate_hz / RATE_HZ
        if sample.loop and sample.loop[1] > sample.loop[0] + 8:
            first, last = sample.loop
            place = np.where(place < last, place, first + (place - last) % (last - first))
        tone = np.interp(place, np.arange(len(sample.samples)), sample.samples, right=0.0)
        tone *= np.exp(-time_s / decay_s - np.maximum(time_s - held_s, 0) / release_s) * note.velocity**1.7
        start = round(note.start_s * RATE_HZ)
        piece = tone.astype(np.float32)[: len(out) - start]
        out[start : start + len(piece)] += piece
    return out[: round(duration_s * RATE_HZ)]


def synthesise(notes: list[BassNote], duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """The line played by a random synthesiser: partials of a falling spectrum under a closing filter."""
    out = np.zeros(round(duration_s * RATE_HZ) + RATE_HZ, dtype=np.float32)
    slope, odd = rng.uniform(0.6, 2.2), rng.choice([1.0, 1.0, 0.1, 0.0])
    attack_s = rng.choice([0.002, 0.005, 0.01, 0.03])
    release_s = rng.choice([0.005, 0.02, 0.06, 0.15])
    decay_s = rng.choice([0.15, 0.4, 1.0, 3.0, 1e3])
    closing = rng.uniform(0.0, 2.0)
    vibrato = rng.uniform(0.1, 0.4) if rng.random() < 0.15 else 0.0
    fundamental = 10 ** rng.uniform(-1.3, 0.2)
    for note in notes:
        held_s = note.end_s - note.start_s
        time_s = np.arange(round((held_s + 5 * release_s) * RATE_HZ)) / RATE_HZ
        glide = note.slide * np.clip(1 - time_s / min(0.12, 0.4 * held_s), 0, 1)
        wobble = vibrato * np.sin(2 * np.pi * 5.5 * time_s) * np.clip(time_s / 0.3, 0, 1)
        phase = 2 * np.pi * np.cumsum(440 * 2 ** ((note.pitch - glide + wobble - 69) / 12)) / RATE_HZ
        tone = np.zeros(len(time_s))
        for k in range(1, 25):
            weight = k**-slope * (odd if k % 2 == 0 else 1.0) * (fundamental if k == 1 else 1.0)
            weight *= 0.3 + 0.7 * note.velocity if k > 4 else 1.0
            if weight > 0.003:
                tone += weight * np.exp(-time_s * (1 / decay_s + closing * (k - 1) * 0.5)) * np.sin(k * phase)
        envelope = np.clip(time_s / attack_s, 0, 1) * np.exp(-np.maximum(time_s - held_s, 0) / release_s)
        start = round(note.start_s * RATE_HZ)
        piece = (tone * envelope * note.velocity**1.6).astype(np.float32)[: len(out) - start]
        out[start : start + len(piece)] += piece
    return out[: round(duration_s * RATE_HZ)]


def plucked(notes: list[BassNote], duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """The line played on a string: stiff partials weighted by where it is plucked, and the sound of fingers.

    Each note differs a little in place, brightness and pitch, as no two of a player are alike.
    """
    out = np.zeros(round(duration_s * RATE_HZ) + RATE_HZ, dtype=np.float32)
    place, pickup, slope = rng.uniform(0.08, 0.4), rng.uniform(0.05, 0.3), rng.uniform(0.4, 1.8)
    ring_s, damping, stiffness = rng.uniform(0.3, 3.0), rng.uniform(0.1, 1.5), 10 ** rng.uniform(-5, -3.7)
    release_s, finger = 10 ** rng.uniform(-2, -0.6), 10 ** rng.uniform(-2.5, -0.8)
    body = 10 ** rng.uniform(-1.5, 0.2)
    b, a = scipy.signal.butter(2, np.array([rng.uniform(80, 600), rng.uniform(1500, 8000)]) / (RATE_HZ / 2), "band")
    before: BassNote | None = None
    for note in notes:
        held_s = note.end_s - note.start_s
        tied = before is not None and note.start_s - before.end_s < 0.01 and abs(note.pitch - before.pitch) in (1, 2, 3)
        hammered = tied and rng.random() < 0.3
        before = note
        time_s = np.arange(round((held_s + 5 * release_s) * RATE_HZ)) / RATE_HZ
        glide = note.slide * np.clip(1 - time_s / min(0.12, 0.4 * held_s), 0, 1)
        sharp = rng.uniform(0, 0.25) * note.velocity * np.exp(-time_s / 0.04) + rng.normal(0, 0.06)
        phase = 2 * np.pi * np.cumsum(440 * 2 ** ((note.pitch - glide + sharp - 69) / 12)) / RATE_HZ
        where, bright = place * np.exp(rng.normal(0, 0.15)), slope + 0.6 * (0.7 - note.velocity) + rng.normal(0, 0.1)
        if hammered:
            bright += 0.5
        tone = np.zeros(len(time_s))
        for k in range(1, 25):
            weight = k**-bright * np.sin(np.pi * k * where) * np.sin(np.pi * k * pickup) * (body if k == 1 else 1.0)
            weight *= np.exp(rng.normal(0, 0.3))
            fading = np.exp(-time_s / ring_s * (1 + damping * (k - 1)))
            if abs(weight) > 0.002:
                tone += weight * fading * np.sin(k * np.sqrt(1 + stiffness * k * k) * phase + rng.uniform(0, 6))
        tone *= np.clip(time_s / 0.003, 0, 1) * np.exp(-np.maximum(time_s - held_s, 0) / release_s)
        noise = rng.standard_normal(len(time_s)) * np.exp(-time_s / 0.015)
        tone = tone * (0.5 if hammered else 1.0) + (0.2 if hammered else 1.0) * finger * scipy.signal.lfilter(
            b, a, noise
        )
        start = round(note.start_s * RATE_HZ)
        piece = (tone * note.velocity**1.4).astype(np.float32)[: len(out) - start]
        out[start : start + len(piece)] += piece
    return out[: round(duration_s * RATE_HZ)]
