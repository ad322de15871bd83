"""Made-up songs: what players may play, and that the same seed gives the same song."""

from itertools import pairwise

import numpy as np
import pretty_midi
import pytest

from pipeline.instrument_families import FAMILIES, family_of_program
from pipeline.training.harmony import made_up_frame
from pipeline.training.parts import Writer, without_overlaps
from pipeline.training.songs import ROLES, Composer
from pipeline.training.sounds.base import Played
from pipeline.training.sounds.synthesis import synthetic_sounds

LENGTH_S = 15.0


def composer(pieces=()):
    return Composer(synthetic_sounds(np.random.default_rng(1), 60), list(pieces))


@pytest.mark.parametrize("role", ROLES)
def test_parts_stay_on_their_keys_and_within_the_song(role):
    played = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        writer = Writer(made_up_frame(rng, LENGTH_S), rng, (40, 76))
        ROLES[role][0](writer)
        notes = writer.notes()  # some rest throughout
        assert all(40 <= note.pitch <= 76 and 1 <= note.velocity <= 127 for note in notes)
        assert all(0 <= note.start_s < note.end_s <= LENGTH_S for note in notes)
        played += bool(notes)
    assert played >= 4


def test_no_key_is_struck_while_it_is_down():
    rng = np.random.default_rng(0)
    notes = [
        Played(float(start), float(start + length), int(pitch), 80)
        for start, length, pitch in zip(
            rng.uniform(0, 10, 400), rng.uniform(0.05, 2, 400), rng.integers(60, 66, 400), strict=True
        )
    ]
    kept = without_overlaps(notes)
    assert kept
    for pitch in range(60, 66):
        same = [note for note in kept if note.pitch == pitch]
        assert all(before.end_s < after.start_s for before, after in pairwise(same))
        assert all(note.end_s > note.start_s for note in same)


def test_a_song_follows_from_its_seed():
    first, again, other = (composer().song(np.random.default_rng(seed), LENGTH_S, 4) for seed in (3, 3, 4))
    assert [part.notes for part in first.parts] == [part.notes for part in again.parts]
    assert [part.notes for part in first.parts] != [part.notes for part in other.parts]


def test_chords_of_a_frame_leave_no_gap():
    frame = made_up_frame(np.random.default_rng(5), 30.0)
    assert frame.chords[0].start_s == 0
    assert frame.chords[-1].end_s >= 30.0
    assert all(before.end_s == after.start_s for before, after in pairwise(frame.chords))


def test_borrowed_parts_are_those_of_the_piece(tmp_path):
    midi = pretty_midi.PrettyMIDI(initial_tempo=100)
    tune = pretty_midi.Instrument(0)
    tune.notes = [pretty_midi.Note(90, 60 + step % 12, step * 0.3, step * 0.3 + 0.25) for step in range(60)]
    midi.instruments = [tune]
    midi.write(str(tmp_path / "piece.mid"))
    borrowing = Composer(synthetic_sounds(np.random.default_rng(1), 60), [tmp_path / "piece.mid"], borrowed_share=1.0)
    song = borrowing.song(np.random.default_rng(2), LENGTH_S, 3)
    (borrowed,) = [part for part in song.parts if part.role == "borrowed"]
    steps = [(after.pitch - before.pitch) % 12 for before, after in pairwise(borrowed.notes)]
    assert steps.count(1) > 0.9 * len(steps)


def test_every_general_midi_program_has_a_family():
    assert {family_of_program(program) for program in range(128)} == set(FAMILIES)
