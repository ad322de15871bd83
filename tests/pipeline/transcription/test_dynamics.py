"""Velocities of a stem's notes beside each other: levels, and who has the tune."""

import numpy as np
import pytest

from pipeline.instrument_families import FAMILIES
from pipeline.notes import Note
from pipeline.transcription.dynamics import above_line, highest, tune_share, with_dynamics
from pipeline.transcription.note_reading import ReadNote


def read(start_s: float, pitch: int, velocity: float = 0.5, level: float = 0.5) -> ReadNote:
    note = Note(pitch=pitch, start_s=start_s, end_s=start_s + 0.4, velocity=velocity, confidence=0.9)
    return ReadNote(note, (0.0,) * len(FAMILIES), level)


def test_what_is_mostly_highest_is_the_tune():
    start_s = np.tile(np.arange(40) * 0.5, 2)
    pitches = np.repeat([60, 40], 40)
    pitches[39] = 35  # once the voices cross
    share = tune_share(start_s, start_s + 0.4, pitches)
    tune, under, crossing = share[:39], share[40:79], share[79]
    assert tune.min() > 0.99
    assert np.all(np.diff(under) >= -1e-9)
    assert under.max() < crossing + 1e-9 < 0.2  # it is still the same voice


def test_highest_is_what_nothing_sounds_above():
    start_s = np.array([0.0, 0.5, 0.97, 1.0, 1.5, 2.5, 2.6])
    end_s = np.array([1.2, 0.9, 2.0, 2.0, 2.0, 2.51, 3.0])
    pitches = np.array([60, 55, 50, 64, 62, 40, 30])
    # alone; under the first; before the next by less than 50 ms; over all; under it; short and alone; after it
    expected = [True, False, False, True, False, True, True]
    assert highest(start_s, end_s, pitches).tolist() == expected


def test_levels_are_judged_by_those_of_other_pitches():
    pitches = np.arange(40, 80)
    levels = 0.8 - 0.005 * pitches
    levels[7] += 0.1
    above = above_line(levels, pitches)
    assert above.argmax() == 7
    assert above.sum() == pytest.approx(0)
    assert np.abs(np.delete(above, 7)).max() < 0.02


def test_louder_notes_and_the_tune_are_struck_harder():
    notes = [read(0.5 * i, pitch, level=0.5 + 0.05 * (i % 4 == 0)) for i in range(20) for pitch in (50, 70)]
    heard = with_dynamics(notes)
    assert [one.note.pitch for one in heard] == [one.note.pitch for one in notes]
    strong = [one.note.velocity for i, one in enumerate(heard) if i // 2 % 4 == 0]
    weak = [one.note.velocity for i, one in enumerate(heard) if i // 2 % 4]
    assert np.mean(strong) > np.mean(weak) + 0.05
    high, low = ([one.note.velocity for one in heard if one.note.pitch == pitch] for pitch in (70, 50))
    assert np.mean(high) > np.mean(low) + 0.05
    assert all(0 < one.note.velocity <= 1 for one in heard)


def test_of_few_notes_the_network_alone_is_believed():
    notes = [read(0.5 * i, 60 + i, velocity=0.3, level=0.1 * i) for i in range(5)]
    assert with_dynamics(notes) == notes
