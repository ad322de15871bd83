"""Random but musical bass lines with known notes: composed, played by bass_sounds.py, worn down as in mixes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
import scipy.signal
from bass_sounds import (
    HIGHEST,
    LOWEST,
    PATCHES,
    RATE_HZ,
    SOUNDFONTS,
    BassNote,
    onset_delays_s,
    play,
    plucked,
    sampled,
    synthesise,
)

# Basses mostly; now and then what else plays bass parts: piano, organ, guitars, low strings, winds, leads.
BASS_PROGRAMS = (32, 33, 33, 34, 34, 35, 36, 37, 38, 38, 39, 39)
OTHER_PROGRAMS = (0, 4, 5, 16, 18, 24, 25, 27, 28, 30, 42, 43, 45, 48, 57, 58, 70, 80, 81, 87)
CHORDS = 0.06  # share of lines that teach what is not one voice
SAMPLED_PATCHES = tuple(
    f"{name}.pat"
    for name in (
        "032_Acoustic_Bass",
        "033_Finger_Bass",
        "034_Pick_Bass",
        "035_Fretless_Bass",
        "036_Slap_Bass_1",
        "037_Slap_Bass_2",
        "038_Synth_Bass_1",
        "024_Nylon_Guitar",
        "027_Clean_Electric_Guitar",
        "058_Tuba",
        "080_Square_Wave",
    )
)


@dataclass(frozen=True)
class Line:
    """One performance: float32 mono at 44.1 kHz, and its notes."""

    samples: np.ndarray
    notes: list[BassNote]


# ---- composition: each style gives the notes of a bar as (step of 16, length in steps, interval, loudness) ----

Bar = list[tuple[float, float, int, float]]


def _rock(rng: np.random.Generator) -> Bar:
    every = int(rng.choice([2, 2, 2, 1, 4]))
    length = every * rng.uniform(0.45, 1.0)
    bar = [(step, length, 0, 0.85 if step % 4 == 0 else 0.7) for step in range(0, 16, every) if rng.random() < 0.93]
    if rng.random() < 0.3:
        fill = [(12, int(rng.choice([5, 7, -5]))), (14, int(rng.choice([7, 10, -2])))]
        bar = [*bar[:-2], *((step, length, interval, 0.8) for step, interval in fill)]
    return bar


def _walking(rng: np.random.Generator) -> Bar:
    steps = [0, int(rng.choice([2, 3, 4])), int(rng.choice([5, 7])), int(rng.choice([8, 9, 10, 11, 1, -1]))]
    bar = [(4 * i, 4 * rng.uniform(0.8, 1.0), step, rng.uniform(0.65, 0.85)) for i, step in enumerate(steps)]
    if rng.random() < 0.2:
        bar.append((4 * int(rng.integers(4)) + 2.67, 1.2, steps[0], 0.5))
    return bar


def _funk(rng: np.random.Generator) -> Bar:
    bar: Bar = [(0, rng.uniform(0.6, 2.0), 0, 0.95)]
    for step in range(1, 16):
        if rng.random() < 0.42:
            ghost = rng.random() < 0.25
            interval = int(rng.choice([0, 0, 0, 12, 10, 7, 5, 3, -2]))
            bar.append(
                (step, 0.35 if ghost else rng.uniform(0.5, 1.0), interval, 0.25 if ghost else rng.uniform(0.6, 0.95))
            )
    return bar


def _octaves(rng: np.random.Generator) -> Bar:
    length = rng.uniform(0.7, 1.8)
    return [(step, length, 12 if step % 4 else 0, 0.8) for step in range(0, 16, 2)]


def _legato(rng: np.random.Generator) -> Bar:
    scale = np.array([-5, -3, -1, 0, 2, 3, 5, 7, 8, 10, 12])
    at = int(rng.integers(2, 8))
    bar: Bar = []
    step = 0
    while step < 16:
        length = int(rng.choice([1, 2, 2, 3, 4]))
        bar.append((step, length * rng.uniform(0.95, 1.06), int(scale[at]), rng.uniform(0.5, 0.9)))
        at = int(np.clip(at + rng.choice([-2, -1, -1, 1, 1, 2]), 0, len(scale) - 1))
        step += length
    return bar


def _reggae(rng: np.random.Generator) -> Bar:
    bar: Bar = []
    for step in sorted(rng.choice(np.arange(0, 16, 2), size=int(rng.integers(2, 6)), replace=False)):
        bar.append((int(step), rng.uniform(1.5, 5.0), int(rng.choice([0, 0, 3, 5, 7, 12, -5])), rng.uniform(0.7, 0.95)))
    return bar


def _sustained(rng: np.random.Generator) -> Bar:
    if rng.random() < 0.5:
        return [(0, rng.uniform(13, 16), 0, rng.uniform(0.5, 0.9))]
    return [(0, rng.uniform(6, 8), 0, 0.8), (8, rng.uniform(6, 8), int(rng.choice([0, 5, 7, -2])), 0.75)]


def _synth(rng: np.random.Generator) -> Bar:
    length = rng.uniform(0.4, 1.0)
    pattern = rng.choice([0, 0, 0, 12, 7, 3, 10], size=16)
    return [(step, length, int(pattern[step]), rng.uniform(0.6, 0.9)) for step in range(16) if rng.random() < 0.8]


STYLES: tuple[Callable[[np.random.Generator], Bar], ...] = (
    _rock, _rock, _walking, _funk, _octaves, _legato, _reggae, _sustained, _synth,
)  # fmt: skip


def compose(rng: np.random.Generator, duration_s: float) -> list[BassNote]:
    """A line of one style, one tempo and one register; bars repeat and vary; a voice: no two notes at once."""
    style = STYLES[rng.integers(len(STYLES))]
    step_s = 60.0 / rng.uniform(60, 190) / 4
    if style in (_funk, _synth):
        step_s = max(step_s, 0.09)
    swing = rng.uniform(0.0, 0.33) if rng.random() < 0.2 else 0.0
    low = int(rng.integers(LOWEST, 34)) if rng.random() < 0.8 else int(rng.integers(34, 48))
    roots = low + rng.choice([0, 2, 3, 5, 7, 8, 9, 10], size=4)
    bars = [style(rng) for _ in range(int(rng.integers(1, 4)))]
    slides = 0.15 if rng.random() < 0.2 else 0.0
    jitter_s = rng.uniform(0.0, 0.008)
    touch = rng.uniform(0.05, 0.2)
    notes: list[BassNote] = []
    start_s, bar = rng.uniform(0.05, 0.6), 0
    while start_s < duration_s - 1.0:
        root = int(roots[(bar // int(rng.choice([1, 1, 2]))) % 4])
        plan = bars[bar % len(bars)] if rng.random() < 0.8 else style(rng)
        if rng.random() < 0.04:
            plan = []
        for step, length, interval, loudness in sorted(plan):
            at = start_s + (step + (swing if step % 2 == 1 else 0.0)) * step_s + rng.normal() * jitter_s
            velocity = float(np.clip(loudness + rng.normal() * touch, 0.1, 1.0))
            slide = float(rng.choice([-3, -2, 2, 3, 5])) if rng.random() < slides and length > 1.5 else 0.0
            pitch = int(np.clip(root + interval, LOWEST, HIGHEST))
            notes.append(BassNote(pitch, max(at, 0.0), at + max(length * step_s, 0.05), velocity, slide))
        start_s += 16 * step_s
        bar += 1
    return _one_voice([note for note in notes if note.end_s < duration_s - 0.1])


def _one_voice(notes: list[BassNote]) -> list[BassNote]:
    """Each note ends when the next begins, at the latest; what is then shorter than 40 ms is left out."""
    ordered = sorted(notes, key=lambda note: note.start_s)
    ended = []
    for note, following in zip(ordered, [*ordered[1:], None], strict=True):
        end_s = note.end_s if following is None else min(note.end_s, following.start_s)
        if end_s - note.start_s >= 0.04:
            ended.append(replace(note, end_s=end_s))
    return ended


# ---- wear ----


def _drums(rng: np.random.Generator, duration_s: float) -> np.ndarray:
    """What leaks of a drum kit into a bass stem: kick thuds, snare and hats."""
    out = np.zeros(round(duration_s * RATE_HZ) + RATE_HZ)
    step_s = 60.0 / rng.uniform(70, 170) / 2
    time_s = np.arange(RATE_HZ // 3) / RATE_HZ
    floor_hz, drop_hz, ring_s = rng.uniform(40, 65), rng.uniform(60, 200), rng.uniform(0.04, 0.15)
    thud = np.sin(2 * np.pi * np.cumsum(floor_hz + drop_hz * np.exp(-time_s / 0.02)) / RATE_HZ) * np.exp(
        -time_s / ring_s
    )
    crack = rng.standard_normal(len(time_s)) * np.exp(-time_s / 0.06)
    tick = scipy.signal.lfilter([1, -1], [1], rng.standard_normal(len(time_s))) * np.exp(-time_s / 0.02)
    for index, at in enumerate(np.arange(0.1, duration_s, step_s)):
        place = round(at * RATE_HZ)
        if index % 4 == 0 or rng.random() < 0.15:
            out[place : place + len(thud)] += thud
        if index % 4 == 2:
            out[place : place + len(crack)] += 0.3 * crack
        out[place : place + len(tick)] += 0.05 * tick
    return out[: round(duration_s * RATE_HZ)]


def _chords(rng: np.random.Generator, duration_s: float) -> np.ndarray:
    """What leaks of guitars, keys and voices: chords of decaying partials."""
    out = np.zeros(round(duration_s * RATE_HZ) + 3 * RATE_HZ)
    at = 0.0
    while at < duration_s - 0.1:
        held_s = rng.uniform(0.2, 2.0)
        time_s = np.arange(round(held_s * RATE_HZ)) / RATE_HZ
        root = rng.integers(45, 62)
        for pitch in root + rng.choice([0, 3, 4, 7, 10, 12, 16], size=3, replace=False):
            hz = 440 * 2 ** ((pitch - 69) / 12)
            for k in range(1, 7):
                tone = np.sin(2 * np.pi * hz * k * time_s + rng.uniform(0, 6)) * np.exp(-time_s * rng.uniform(0.5, 4))
                out[round(at * RATE_HZ) : round(at * RATE_HZ) + len(tone)] += tone / k**1.3
        at += held_s
    return out[: round(duration_s * RATE_HZ)]


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) + 1e-9


def worn(samples: np.ndarray, rng: np.random.Generator, *, leaks: bool) -> np.ndarray:
    """Equaliser, saturation, room, leakage of other instruments, level; at times muffled as separators leave it."""
    out = samples.astype(np.float64)
    duration_s = len(samples) / RATE_HZ
    for _ in range(int(rng.integers(0, 3))):
        cutoff_hz = np.exp(rng.uniform(np.log(60), np.log(3000)))
        b, a = scipy.signal.butter(1, cutoff_hz / (RATE_HZ / 2), "high" if rng.random() < 0.5 else "low")
        out += rng.uniform(-0.7, 1.5) * scipy.signal.lfilter(b, a, out)
    if rng.random() < 0.3:
        drive = rng.uniform(2, 12) / (np.abs(out).max() + 1e-9)
        out = np.tanh(out * drive) / drive
    if rng.random() < 0.4:
        tail_s = rng.uniform(0.15, 1.2)
        time_s = np.arange(round(tail_s * 2 * RATE_HZ)) / RATE_HZ
        echo = rng.standard_normal(len(time_s)) * np.exp(-6.9 * time_s / (tail_s * 2)) * (time_s > 0.01)
        wet = scipy.signal.fftconvolve(out, echo)[: len(out)]
        out += wet * _rms(out) / _rms(wet) * 10 ** (rng.uniform(-30, -12) / 20)
    if leaks:
        for leak in (_drums(rng, duration_s), _chords(rng, duration_s)):
            if rng.random() < 0.75:
                out += leak * _rms(out) / _rms(leak) * 10 ** (rng.uniform(-34, -14) / 20)
        if rng.random() < 0.5:
            b, a = scipy.signal.butter(2, rng.uniform(300, 3000) / (RATE_HZ / 2))
            out = scipy.signal.lfilter(b, a, out)
    out += rng.standard_normal(len(out)) * _rms(out) * 10 ** (rng.uniform(-70, -40) / 20)
    peak = 10 ** (rng.uniform(-24, -0.5) / 20)
    return (out * peak / (np.abs(out).max() + 1e-9)).astype(np.float32)


def separated(bass: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a separator might make of the bass in a mix: a mask takes some of it and lets some of the rest through."""
    others = others[: len(bass)]
    others = others * _rms(bass) / _rms(others) * 10 ** (rng.uniform(-3, 12) / 20)
    heard = [scipy.signal.stft(part, nperseg=4096, noverlap=3072)[2] for part in (bass, others)]
    ours, theirs = (np.abs(part) ** 2 for part in heard)
    error_db = scipy.ndimage.gaussian_filter(rng.standard_normal(ours.shape), (3, 4))
    error_db *= rng.uniform(1, 6) / (error_db.std() + 1e-9)
    odds = ours * 10 ** (error_db / 10) / (theirs * 10 ** (rng.uniform(-12, 0) / 10) + 1e-12)
    mask = odds / (1 + odds)
    _, out = scipy.signal.istft(mask * (heard[0] + heard[1]), nperseg=4096, noverlap=3072)
    return out[: len(bass)]


def _loudness_changes(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Gains of a piece with quiet and loud parts."""
    n_parts = int(rng.integers(2, 5))
    gains_db = np.repeat(rng.uniform(-14, 0, n_parts), 2)
    at = np.sort(rng.uniform(0, n_samples, n_parts - 1))
    edges = np.concatenate([[0], np.repeat(at, 2) + np.tile([0, RATE_HZ / 4], n_parts - 1), [n_samples]])
    return 10 ** (np.interp(np.arange(n_samples), edges, gains_db) / 20)


def _played(notes: list[BassNote], duration_s: float, rng: np.random.Generator) -> Line:
    """The line by a random player; notes start when they become audible."""
    choice = rng.random()
    if choice < 0.15:
        return Line(synthesise(notes, duration_s, rng), notes)
    if choice < 0.5:
        return Line(plucked(notes, duration_s, rng), notes)
    if choice < 0.65:
        return Line(sampled(notes, PATCHES / str(rng.choice(SAMPLED_PATCHES)), duration_s, rng), notes)
    soundfont = SOUNDFONTS[rng.integers(len(SOUNDFONTS))]
    program = int(rng.choice(BASS_PROGRAMS if choice < 0.9 else OTHER_PROGRAMS))
    overlap_s = rng.uniform(0.0, 0.03) if rng.random() < 0.3 else 0.0
    samples = play(notes, soundfont, program, duration_s, reverb=rng.random() < 0.3, overlap_s=overlap_s)
    delays_s = onset_delays_s(soundfont, program)
    sounding = [replace(note, start_s=note.start_s + delays_s[note.pitch]) for note in notes]
    return Line(samples, [note for note in sounding if note.end_s - note.start_s > 0.02])


def _in_chords(notes: list[BassNote], rng: np.random.Generator) -> list[BassNote]:
    """What is plainly not one voice."""
    above = rng.choice([4, 7, 10, 12, 15], size=int(rng.integers(1, 4)), replace=False)
    chords = [replace(note, pitch=note.pitch + up, slide=0.0) for note in notes for up in (0, *above.tolist())]
    return [note for note in chords if note.pitch <= HIGHEST]


def random_line(rng: np.random.Generator, others: Sequence[np.ndarray] = (), duration_s: float = 24.0) -> Line:
    """A composed, played and worn line, now and then in chords.

    Its notes start when they become audible and end when the key is released.

    Args:
        rng: decides everything.
        others: what else may be in the mix, float mono at 44.1 kHz, at least as long; half the lines are then as a
            separator might leave them.
        duration_s: length.
    """
    composed = compose(rng, duration_s)
    line = _played(_in_chords(composed, rng) if rng.random() < CHORDS else composed, duration_s, rng)
    if len(line.notes) < 3:
        return random_line(rng, others, duration_s)
    detuned = 2 ** (float(np.clip(rng.normal(0, 0.12), -0.4, 0.4)) / 12)  # played a little faster or slower
    samples = np.interp(np.arange(0, len(line.samples) - 1, detuned), np.arange(len(line.samples)), line.samples)
    notes = [replace(note, start_s=note.start_s / detuned, end_s=note.end_s / detuned) for note in line.notes]
    if rng.random() < 0.3:
        samples *= _loudness_changes(len(samples), rng)
    if others and rng.random() < 0.5:
        mixed = others[rng.integers(len(others))]
        first = int(rng.integers(0, max(len(mixed) - len(samples), 0) + 1))
        samples = separated(samples, np.pad(mixed[first:], (0, len(samples))), rng)
        return Line(worn(samples, rng, leaks=False), notes)
    return Line(worn(samples, rng, leaks=rng.random() < 0.5), notes)
