"""Music without drums: what leaks into a separated drum stem, and what drums are mixed with to be separated again.

Played by fluidsynth: pieces of POP909 (Wang et al. 2020, MIT) with other instruments, or a band at random where no
folder of pieces is given.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pretty_midi

from pipeline.training.drums.kits import RATE_HZ, SOUNDFONTS, FloatArray, one_of, rendered

_BASSES = tuple(range(32, 40))
_CHORDS = (0, 2, 4, 5, 16, 18, 24, 25, 26, 27, 28, 29, 30, 48, 50, 62, 81, 89)
_LEADS = (11, 25, 26, 29, 30, 40, 52, 53, 54, 56, 61, 65, 66, 73, 80, 81, 85)
# Lowest and highest key and notes at once of the three, when they play at random.
_RANGES = ((28, 48, 1), (48, 76, 3), (57, 84, 1))
_BASS_BELOW, _LEAD_FROM = 53, 72


def _random_notes(
    rng: np.random.Generator, duration_s: float, beat_s: float, limits: tuple[int, int, int]
) -> list[pretty_midi.Note]:
    low, high, voices = limits
    notes = []
    time_s = 0.0
    while time_s < duration_s:
        length_s = beat_s * rng.choice([0.25, 0.5, 0.5, 1, 1, 2, 4])
        for _ in range(voices if rng.random() < 0.85 else 0):
            velocity, pitch = int(rng.integers(60, 120)), int(rng.integers(low, high))
            notes.append(pretty_midi.Note(velocity, pitch, time_s + 0.01, time_s + length_s * 0.95))
        time_s += length_s
    return notes


def _excerpt(piece: pretty_midi.PrettyMIDI, first_s: float, duration_s: float) -> tuple[list[pretty_midi.Note], ...]:
    """Bass, chords and lead of some seconds of a piece, by their pitches: whichever tracks its edition has."""
    parts: tuple[list[pretty_midi.Note], ...] = ([], [], [])
    for note in (note for track in piece.instruments if not track.is_drum for note in track.notes):
        start_s = note.start - first_s
        if not 0 <= start_s < duration_s:
            continue
        row = 0 if note.pitch < _BASS_BELOW else (2 if note.pitch >= _LEAD_FROM else 1)
        pitch = note.pitch - 12 if row == 0 and note.pitch >= 40 else note.pitch
        parts[row].append(pretty_midi.Note(note.velocity, pitch, start_s, note.end - first_s))
    return parts


def band(rng: np.random.Generator, duration_s: float, pieces: Sequence[Path]) -> tuple[FloatArray, float]:
    """Some music without drums, and its tempo.

    Args:
        rng: draws instruments and what is played.
        duration_s: of the music.
        pieces: MIDI files to choose from; may be empty.

    Returns:
        Samples, peak 1, shape (duration_s * 44100,), and the tempo in beats per minute; a beat is at 0.
    """
    tempo_bpm = float(rng.uniform(70, 170))
    if pieces and rng.random() < 0.8:
        piece = pretty_midi.PrettyMIDI(str(one_of(rng, pieces)))
        tempo_bpm = float(piece.get_tempo_changes()[1][0])
        bars = piece.get_downbeats()
        bars = bars[bars < max(piece.get_end_time() - duration_s, 1.0)]
        parts = _excerpt(piece, float(bars[rng.integers(len(bars))]), duration_s)
    else:
        parts = tuple(_random_notes(rng, duration_s, 60 / tempo_bpm, limits) for limits in _RANGES)
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for notes, programs in zip(parts, (_BASSES, _CHORDS, _LEADS), strict=True):
        instrument = pretty_midi.Instrument(int(rng.choice(programs)))
        loudness = rng.uniform(0.5, 1.0)
        for note in notes:
            note.velocity = max(1, round(note.velocity * loudness))
        instrument.notes = notes
        if rng.random() < 0.85:
            midi.instruments.append(instrument)
    length = round(duration_s * RATE_HZ)
    audio = np.zeros(length, dtype=np.float32)
    if any(part.notes for part in midi.instruments):
        played = rendered(midi, SOUNDFONTS[int(rng.random() < 0.3)])[:length]
        audio[: len(played)] = played
    return audio / (np.abs(audio).max() + 1e-9), tempo_bpm
