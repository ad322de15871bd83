"""A synthetic singer: unaccompanied singing whose notes are known exactly, for tuning the vocals transcriber.

Sung as people sing: vibrato, scoops, portamento, overshoot, drift, falls, intonation errors, melismas and quick runs,
vowels struck again, glottal stops, breaths, a whole voice out of tune.  A note's truth is what a transcriber would
write: it starts with the vowel (a little earlier with a sonorous consonant; half-way through the step of a melisma),
has the pitch of the score and ends where the sound dies or the next note starts.  See ``voices.py`` for what
this needs installed.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyworld
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from pipeline.training.singing.voices import FFT_SIZE, FRAME_S, RATE_HZ, SONOROUS, STOPS, VOICES, Syllable, bank

FloatArray = NDArray[np.float64]
MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
SYLLABLES_PER_VOICE = 40
JOINED_S = 0.02  # notes closer than this are sung without a break


@dataclass(frozen=True)
class Manner:
    """How one singer sings; shares are 0-1, pitches in semitones, times in seconds."""

    offset: float
    mistuning: float
    scoop_share: float
    vibrato_share: float
    vibrato_depth: float
    vibrato_hz: float
    glide_s: float
    overshoot: float
    drift: float
    jitter: float
    legato: float
    melisma_share: float
    restrike_share: float
    fall_share: float
    timing_s: float
    run_share: float
    chromatic_share: float


@dataclass
class ScoreNote:
    """One note to sing; ``kind``: "syllable", "melisma" (same vowel, other pitch) or "restrike" (same vowel again)."""

    start_s: float
    end_s: float
    pitch: int
    level_db: float
    kind: str
    syllable: Syllable
    first: bool
    truth_start_s: float = 0.0
    truth_end_s: float = 0.0


def _manner(rng: np.random.Generator) -> Manner:
    skill = rng.beta(2, 2)
    return Manner(
        offset=float(np.clip(rng.normal(0, 0.17), -0.4, 0.4)),
        mistuning=rng.uniform(0.04, 0.26) * (1.2 - skill) if rng.random() < 0.8 else rng.uniform(0.25, 0.4),
        scoop_share=rng.uniform(0.05, 0.5),
        vibrato_share=rng.choice((rng.uniform(0, 0.2), rng.uniform(0.4, 1.0))),
        vibrato_depth=rng.uniform(0.15, 0.8) * (1.0 if rng.random() < 0.8 else 1.5),
        vibrato_hz=rng.uniform(4.5, 7.0),
        glide_s=rng.uniform(0.04, 0.16),
        overshoot=rng.uniform(0.0, 0.25),
        drift=rng.uniform(0.03, 0.18),
        jitter=rng.uniform(0.02, 0.12),
        legato=rng.uniform(0.55, 1.0),
        melisma_share=rng.uniform(0.02, 0.22),
        restrike_share=rng.uniform(0.0, 0.08),
        fall_share=rng.uniform(0.0, 0.35),
        timing_s=rng.uniform(0.004, 0.025),
        run_share=rng.choice((0.0, rng.uniform(0.05, 0.3))),
        chromatic_share=rng.uniform(0.0, 0.08),
    )


def _score(
    rng: np.random.Generator, syllables: tuple[Syllable, ...], manner: Manner, lowest: int, length_s: float
) -> list[ScoreNote]:
    beat_s = 60 / rng.uniform(60, 150)
    scale = MAJOR if rng.random() < 0.6 else MINOR
    steps = [lowest + 12 * octave + step for octave in range(2) for step in scale]
    values, shares = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0), rng.dirichlet((0.5, 3, 3, 1, 1.2, 0.6))
    notes: list[ScoreNote] = []
    time_s, at = rng.uniform(0.3, 1.0), int(rng.integers(4, 9))
    while time_s < length_s - 2.0:
        phrase_db = rng.normal(0, 3)
        for position in range(int(rng.integers(3, 13))):
            duration_s = max(float(rng.choice(values, p=shares)) * beat_s, 0.11) * rng.normal(1, 0.03)
            running = position > 0 and rng.random() < manner.run_share
            if running:
                duration_s = rng.uniform(0.08, 0.16)
            at = int(np.clip(at + (rng.choice((-2, -1, 1, 2)) if running else round(rng.laplace(0, 1.6))), 0, 13))
            pitch = steps[at] + (int(rng.choice((-1, 1))) if rng.random() < manner.chromatic_share else 0)
            start_s = time_s + float(np.clip(rng.normal(0, manner.timing_s), -0.04, 0.04))
            draw = rng.random()
            kind = "syllable"
            if position and (running or draw < manner.melisma_share) and pitch != notes[-1].pitch:
                kind = "melisma"
            elif position and draw > 1 - manner.restrike_share:
                kind = "restrike"
            syllable = syllables[rng.integers(len(syllables))] if kind == "syllable" else notes[-1].syllable
            end_s = start_s + duration_s * (1.0 if rng.random() < 0.5 else rng.uniform(manner.legato, 1.0))
            level_db = phrase_db + rng.normal(0, 2)
            notes.append(ScoreNote(start_s, end_s, pitch, level_db, kind, syllable, position == 0))
            if position and (kind != "syllable" or rng.random() < 0.5):
                notes[-2].end_s = start_s
            time_s += duration_s
            if time_s > length_s - 1.0:
                break
        time_s += float(rng.choice((0.0, 0.3, 0.8, 1.6), p=(0.15, 0.35, 0.3, 0.2)))
    for note, following in pairwise(notes):
        note.end_s = max(min(note.end_s, following.start_s), note.start_s + 0.06)
    return notes


class _Take:
    """The frames of one performance: spectrum and aperiodicity, voicing, pitch and gain; filled note by note."""

    def __init__(self, n_frames: int) -> None:
        self.spectrum = np.full((n_frames, FFT_SIZE // 2 + 1), -27.0)
        self.aperiodicity = np.ones((n_frames, FFT_SIZE // 2 + 1))
        self.voiced = np.zeros(n_frames, dtype=bool)
        self.gain_db = np.zeros(n_frames)

    def put(self, start: int, syllable: Syllable, frames: FloatArray, *, db: float | FloatArray = 0.0) -> None:
        """Lay frames of a syllable (fractional indices) from ``start`` on."""
        stop = min(start + len(frames), len(self.voiced))
        if start < 0 or stop <= start:
            return
        index = np.clip(np.rint(frames[: stop - start]).astype(int), 0, len(syllable.voiced) - 1)
        self.spectrum[start:stop] = syllable.spectrum[index]
        self.aperiodicity[start:stop] = syllable.aperiodicity[index]
        self.voiced[start:stop] = syllable.voiced[index]
        self.gain_db[start:stop] = db if np.isscalar(db) else np.asarray(db)[: stop - start]

    def smooth(self) -> None:
        """Soften the seams over 15 ms, as a mouth would."""
        self.spectrum = scipy.ndimage.uniform_filter1d(self.spectrum, 3, axis=0)
        self.gain_db = scipy.ndimage.uniform_filter1d(self.gain_db, 3)


def _frames(rng: np.random.Generator, shortest_s: float, longest_s: float) -> int:
    return round(rng.uniform(shortest_s, longest_s) / FRAME_S)


def _lay_consonant(rng: np.random.Generator, take: _Take, note: ScoreNote, start: int, busy_until: int) -> None:
    """What comes before the vowel at frame ``start``; a sonorous consonant is part of the note."""
    syllable = note.syllable
    length = min(syllable.vowel_start, _frames(rng, 0.04, 0.13), max(start - busy_until, 4))
    closure = _frames(rng, 0.02, 0.06) if syllable.consonant in STOPS else 0
    take.gain_db[max(start - length - closure, 0) : start] = -60.0
    if length:
        spoken = np.linspace(0, syllable.vowel_start, length, endpoint=False)
        take.put(start - length, syllable, spoken, db=note.level_db)
    if syllable.consonant in SONOROUS:
        note.truth_start_s -= 0.25 * min(length * FRAME_S, 0.08)
    if not syllable.consonant and rng.random() < 0.35 and start > 8:  # a glottal stop
        take.gain_db[start - int(rng.integers(4, 9)) : start] = -45.0


def _lay_vowel(rng: np.random.Generator, take: _Take, note: ScoreNote, start: int, length: int, fade: int) -> None:
    """The vowel, ``length`` frames of it; it fades out over the last ``fade``, 0 if the next note follows at once."""
    vowel = np.arange(note.syllable.vowel_start, note.syllable.vowel_end)
    lead = min(12, length // 2, len(vowel) // 2)
    path = np.concatenate([vowel[:lead], np.linspace(vowel[lead], vowel[-1], max(length - lead, 0))])
    if note.kind == "melisma" or (note.kind == "restrike" and rng.random() < 0.7):
        path = np.linspace(vowel[len(vowel) // 2], vowel[-1], length)
    db = np.full(length, note.level_db) + np.interp(np.arange(length), (0, length), (0, -rng.uniform(0, 5)))
    if note.kind != "melisma" and rng.random() < 0.4:  # a soft attack
        ramp = min(_frames(rng, 0.03, 0.1), length // 2)
        db[:ramp] += np.linspace(-rng.uniform(4, 12), 0, ramp)
    if note.kind == "restrike":
        dip = min(_frames(rng, 0.03, 0.08), start)
        take.gain_db[start - dip : start] -= np.hanning(dip + 2)[1:-1] * rng.uniform(6, 30)
    db[length - fade :] += np.linspace(0, -rng.uniform(8, 30), fade)
    take.put(start, note.syllable, path, db=db)


def _lay(rng: np.random.Generator, take: _Take, notes: list[ScoreNote]) -> None:
    """Write the syllables into the take and the true start and end into the notes."""
    busy_until = 0
    for i, note in enumerate(notes):
        start, end = round(note.start_s / FRAME_S), round(note.end_s / FRAME_S)
        joined = i + 1 < len(notes) and notes[i + 1].start_s - note.end_s < JOINED_S
        note.truth_start_s = note.start_s
        if note.kind == "syllable":
            _lay_consonant(rng, take, note, start, busy_until)
        fade = 0 if joined else min(_frames(rng, 0.02, 0.15), end - start)
        _lay_vowel(rng, take, note, start, end - start, fade)
        note.truth_end_s = note.end_s - 0.4 * fade * FRAME_S
        busy_until = end
        syllable = note.syllable
        if syllable.coda and (not joined or rng.random() < 0.4):
            coda = np.arange(float(syllable.vowel_end), len(syllable.voiced))[: _frames(rng, 0.05, 0.16)]
            take.put(end - len(coda) if joined else end, syllable, coda, db=note.level_db - (2 if joined else 4))
            busy_until = end if joined else end + len(coda)
        if note.first and rng.random() < 0.4:
            _breathe(rng, take, syllable, start - syllable.vowel_start)
    for note, following in pairwise(notes):
        if following.start_s - note.end_s < JOINED_S:
            spoken_s = min(following.syllable.vowel_start * FRAME_S, 0.1) if following.kind == "syllable" else 0.0
            hard = following.kind == "syllable" and following.syllable.consonant not in SONOROUS
            note.truth_end_s = following.truth_start_s - (0.7 * spoken_s if hard else 0.0)
        note.truth_end_s = min(note.truth_end_s, following.truth_start_s)
    for note in notes:
        note.truth_end_s = max(note.truth_end_s, note.truth_start_s + 0.04)


def _breathe(rng: np.random.Generator, take: _Take, syllable: Syllable, before: int) -> None:
    length = round(rng.uniform(0.15, 0.45) / FRAME_S)
    start = before - length - round(rng.uniform(0.03, 0.2) / FRAME_S)
    if start > 0 and not take.voiced[start : start + length].any():
        whisper = np.full(length, syllable.vowel_start + 10.0)
        take.put(start, syllable, whisper, db=np.hanning(length) * 12 - rng.uniform(30, 40))
        take.voiced[start : start + length] = False


def _approach(
    rng: np.random.Generator, manner: Manner, note: ScoreNote, interval: float, times: FloatArray
) -> FloatArray:
    """From the note before to this one, ``interval`` semitones away: portamento and overshoot, and perhaps a scoop."""
    change = np.zeros(len(times))
    if note.first:
        change[times >= note.start_s - 0.2] = interval
    else:
        glide_s = min(manner.glide_s * rng.uniform(0.6, 1.5), 0.7 * (note.end_s - note.start_s))
        centre = note.start_s if note.kind == "melisma" else note.start_s + rng.uniform(-0.6, 0.4) * glide_s
        shape = np.clip((times - centre) / glide_s + 0.5, 0, 1)
        late = np.maximum(times - centre - 0.5 * glide_s, 0) / 0.04
        jump = np.clip(manner.overshoot * interval, -0.8, 0.8)
        change += (0.5 - 0.5 * np.cos(np.pi * shape)) * interval + jump * late * np.exp(1 - late)
    if note.kind != "melisma" and rng.random() < manner.scoop_share * (1.6 if note.first else 1.0):
        reach_s = min(rng.uniform(0.06, 0.2), 0.5 * (note.end_s - note.start_s))
        depth = rng.choice((-1, 1), p=(0.85, 0.15)) * rng.uniform(0.6, 3.5)
        within = (times >= note.start_s - 0.1) & (times < note.start_s + reach_s)
        fall = np.clip((times[within] - note.start_s) / reach_s, 0, 1)
        change[within] += depth * (0.5 + 0.5 * np.cos(np.pi * fall))
    return change


def _ornament(rng: np.random.Generator, manner: Manner, note: ScoreNote, last: bool, times: FloatArray) -> FloatArray:
    """Vibrato, and at the end of a phrase perhaps a fall."""
    change = np.zeros(len(times))
    length_s = note.end_s - note.start_s
    within = (times >= note.start_s) & (times < note.end_s)
    if length_s > 0.3 and rng.random() < manner.vibrato_share:
        since = times[within] - note.start_s
        phase = 2 * np.pi * manner.vibrato_hz * rng.uniform(0.93, 1.07) * since + rng.uniform(0, 6.3)
        swell = np.clip((since - rng.uniform(0.05, 0.3)) / 0.25, 0, 1)
        change[within] += manner.vibrato_depth * rng.uniform(0.6, 1.2) * swell * np.sin(phase)
    if last and rng.random() < manner.fall_share:
        fall_s = min(rng.uniform(0.08, 0.25), 0.5 * length_s)
        ending = (times >= note.end_s - fall_s) & (times < note.end_s + 0.2)
        change[ending] -= rng.uniform(0.5, 4) * np.clip((times[ending] - note.end_s + fall_s) / fall_s, 0, 1) ** 2
    return change


def _pitch(rng: np.random.Generator, manner: Manner, notes: list[ScoreNote], voiced: NDArray[np.bool_]) -> FloatArray:
    """The pitch sung, in fractional MIDI numbers, one value per frame."""
    n_frames = len(voiced)
    times = np.arange(float(n_frames)) * FRAME_S
    sung = [note.pitch + manner.offset + rng.normal(0, manner.mistuning) for note in notes]
    before = float(notes[0].pitch)
    pitch = np.full(n_frames, before)
    for i, (note, target) in enumerate(zip(notes, sung, strict=True)):
        last = i + 1 == len(notes) or notes[i + 1].start_s - note.end_s > 0.05
        pitch += _approach(rng, manner, note, target - before, times) + _ornament(rng, manner, note, last, times)
        before = target
    drift = scipy.ndimage.gaussian_filter1d(rng.normal(size=n_frames), 60)
    jitter = scipy.ndimage.gaussian_filter1d(rng.normal(size=n_frames), 3)
    pitch += manner.drift * drift / drift.std() + manner.jitter * jitter / jitter.std()
    edges = np.flatnonzero(np.diff(voiced.astype(int)) != 0)
    dips = np.zeros(n_frames)
    dips[edges] = -rng.uniform(0, 1.5, len(edges))  # consonants disturb the pitch next to them
    return np.asarray(pitch + scipy.ndimage.gaussian_filter1d(dips, 3) * 7.5 * rng.uniform(0, 0.6))


def sing(
    rng: np.random.Generator, voices: tuple[str, ...] = VOICES, length_s: float = 25.0
) -> tuple[FloatArray, list[ScoreNote]]:
    """One performance.

    Args:
        rng: decides everything.
        voices: names from ``voices.VOICES`` to choose from.
        length_s: about how long.

    Returns:
        Samples, float64 mono at 22.05 kHz, peak 0.5, and the notes (:class:`ScoreNote`), by onset.
    """
    voice = str(rng.choice(voices))
    manner = _manner(rng)
    female = "+f" in voice
    lowest = int(rng.integers(52, 61) if female else rng.integers(38, 52))
    notes = _score(rng, bank(voice, SYLLABLES_PER_VOICE, 0), manner, lowest, length_s)
    take = _Take(round((notes[-1].end_s + 1.0) / FRAME_S))
    _lay(rng, take, notes)
    take.smooth()
    pitch = _pitch(rng, manner, notes, take.voiced)
    f0 = np.where(take.voiced, 440 * 2 ** ((pitch - 69) / 12), 0.0)
    # A throat of another size, wider formants, another tilt, another breathiness.
    warp = np.clip(np.arange(FFT_SIZE // 2 + 1) * rng.uniform(0.88, 1.14), 0, FFT_SIZE // 2)
    below = np.minimum(warp.astype(int), FFT_SIZE // 2 - 1)
    spectrum = take.spectrum[:, below] * (1 - warp + below) + take.spectrum[:, below + 1] * (warp - below)
    spectrum = scipy.ndimage.gaussian_filter1d(spectrum, rng.uniform(0.5, 5.0), axis=1)
    tilt = rng.uniform(-0.35, 0.35) * np.log1p(np.arange(FFT_SIZE // 2 + 1) * RATE_HZ / FFT_SIZE / 300.0)
    level = np.exp(spectrum + tilt + (take.gain_db * np.log(10) / 10)[:, None]) + 1e-16
    breath = np.clip(take.aperiodicity * rng.uniform(0.8, 1.6), 0.001, 1.0)
    samples = pyworld.synthesize(f0, level, breath, RATE_HZ, 1000 * FRAME_S)
    return 0.5 * samples / np.abs(samples).max(), notes


def recorded(rng: np.random.Generator, dry: FloatArray, music: FloatArray | None) -> FloatArray:
    """A performance as it comes out of a microphone, a studio or a separator.

    Args:
        rng: decides what happens to it.
        dry: from :func:`sing`.
        music: what leaks into it, at least as long, 22.05 kHz; None for none.

    Returns:
        As long as ``dry``, peak between 0.05 and 0.9.
    """
    wet = dry
    if rng.random() < 0.5:  # compression
        envelope = np.sqrt(scipy.ndimage.uniform_filter1d(wet**2, RATE_HZ // 20) + 1e-8)
        wet = wet * envelope ** -rng.uniform(0.2, 0.6)
    if rng.random() < 0.7:  # a room
        tail_s, depth_db = rng.uniform(0.15, 1.6), rng.uniform(-28, -7)
        response = rng.normal(size=round(tail_s * RATE_HZ)) * 10 ** (-3 * np.linspace(0, 1, round(tail_s * RATE_HZ)))
        response[: round(rng.uniform(0.002, 0.03) * RATE_HZ)] = 0
        echo = scipy.signal.fftconvolve(wet, response)[: len(wet)]
        wet = wet + echo * (wet.std() / (echo.std() + 1e-12)) * 10 ** (depth_db / 20)
    corners = np.sort(rng.uniform(np.log(80), np.log(9000), 4))
    grid = np.linspace(0, RATE_HZ / 2, 257)
    gains = 10 ** (np.interp(np.log(grid + 1), corners, rng.uniform(-8, 8, 4)) / 20)
    wet = scipy.signal.fftconvolve(wet, scipy.signal.firwin2(257, grid, gains, fs=RATE_HZ), mode="same")
    loud = np.sqrt(np.mean(np.sort(wet**2)[-len(wet) // 3 :]))
    if music is not None:
        music = music[: len(wet)] * loud / (music[: len(wet)].std() + 1e-9)
        if rng.random() < 0.6:
            wet = _separated(rng, wet, music * 10 ** (rng.uniform(-6, 6) / 20))
        else:
            wet = wet + music * 10 ** (rng.uniform(-38, -16) / 20)
    wet = wet + rng.normal(size=len(wet)) * loud * 10 ** (rng.uniform(-75, -38) / 20)
    return np.asarray(wet / np.abs(wet).max() * rng.uniform(0.05, 0.9))


def _separated(rng: np.random.Generator, voice: FloatArray, music: FloatArray) -> FloatArray:
    """The voice masked out of a mix by a separator that knows both levels only roughly."""
    size, hop = 2048, 512
    spectra = [scipy.signal.stft(part, nperseg=size, noverlap=size - hop)[2] for part in (voice, music)]
    powers = [scipy.ndimage.gaussian_filter(np.abs(part) ** 2, (1.0, 1.0)) for part in spectra]
    doubt = np.exp(scipy.ndimage.gaussian_filter(rng.normal(size=powers[0].shape), (3, 2)) * rng.uniform(2, 8))
    mask = powers[0] / (powers[0] + powers[1] * doubt * rng.uniform(0.05, 1.0) + 1e-12)
    joined = scipy.signal.istft((spectra[0] + spectra[1]) * mask, nperseg=size, noverlap=size - hop)[1]
    return np.asarray(joined[: len(voice)])
