"""Who plays a stem, by notes whose families are made up."""

import numpy as np
import pretty_midi
import pytest

from pipeline.instrument_families import FAMILIES, family_of_program
from pipeline.notes import Note
from pipeline.transcription.note_reading import ReadNote
from pipeline.transcription.players import INSTRUMENTS, Ensemble, players

RNG = np.random.default_rng(7)


def read(*chances: tuple[str, float], length_s: float = 0.5, start_s: float = 0.0, pitch: int = 60) -> ReadNote:
    """A note that some families may have played, with these probabilities; the others share the rest."""
    family = np.full(len(FAMILIES), 1e-3)
    for name, chance in chances:
        family[FAMILIES.index(name)] = chance
    return ReadNote(Note(pitch, start_s, start_s + length_s, 0.5), tuple(np.log(family / family.sum()).tolist()))


def told(notes: list[ReadNote], ensemble: Ensemble | None = None) -> dict[str, int]:
    return {family: len(theirs) for family, theirs in players(notes, ensemble or Ensemble()).items()}


def test_every_family_has_its_general_midi_instrument() -> None:
    assert tuple(INSTRUMENTS) == FAMILIES
    for family, (name, program) in INSTRUMENTS.items():
        assert pretty_midi.program_to_instrument_name(program) == name
        assert family_of_program(program) == family


def test_families_that_play_are_told_apart_and_the_longest_comes_first() -> None:
    notes = [read(("piano", 0.9), length_s=0.25)] * 30 + [read(("strings", 0.9), length_s=2.0)] * 20
    assert list(told(notes).items()) == [("strings", 20), ("piano", 30)]


def test_a_doubtful_note_belongs_to_who_plays_anyway() -> None:
    doubtful = read(("brass", 0.5), ("organ", 0.4))
    assert told([doubtful] * 6) == {"brass": 6}
    assert told([read(("organ", 0.9))] * 40 + [read(("brass", 0.95))] * 10 + [doubtful] * 6) == {
        "organ": 46,
        "brass": 10,
    }


def test_a_few_mistaken_notes_make_no_instrument() -> None:
    notes = [read(("guitar", 0.8), ("piano", 0.1))] * 60 + [read(("mallets", 0.95))] * 4 + [read(("voice", 0.9))]
    assert told(notes) == {"guitar": 65}


def test_many_notes_that_hardly_sound_make_none_either() -> None:
    notes = [read(("synth pad", 0.9), length_s=3.0)] * 100 + [read(("mallets", 0.9), length_s=0.02)] * 20
    assert told(notes) == {"synth pad": 120}
    assert told(notes, Ensemble(least_share=0.001)) == {"synth pad": 100, "mallets": 20}


def test_notes_of_those_who_are_left_out_go_to_the_likeliest_of_the_others() -> None:
    lost = read(("synth lead", 0.8), ("strings", 0.1), ("piano", 0.01))
    notes = [read(("piano", 0.9))] * 40 + [read(("strings", 0.9))] * 40 + [lost] * 3
    assert told(notes) == {"strings": 43, "piano": 40}


@pytest.mark.parametrize("n_notes", [1, 2, 3])
def test_a_few_notes_alone_are_one_instrument(n_notes: int) -> None:
    notes = [read(("piano", 0.7)), read(("organ", 0.6)), read(("piano", 0.5), ("organ", 0.4))][:n_notes]
    assert told(notes) == {"piano": n_notes}


def test_no_notes_have_no_player() -> None:
    assert players([], Ensemble()) == {}


def test_only_those_that_may_play_do() -> None:
    notes = [read(("brass", 0.9), ("distorted guitar", 0.05))] * 10 + [read(("guitar", 0.9), length_s=0.2)] * 20
    assert told(notes, Ensemble(("guitar", "distorted guitar"))) == {"distorted guitar": 10, "guitar": 20}


def test_one_alone_is_who_sounds_for_longest() -> None:
    clean, distorted = [read(("guitar", 0.9), length_s=0.3)] * 20, [read(("distorted guitar", 0.9), length_s=0.9)] * 10
    alone = Ensemble(("guitar", "distorted guitar"), most=1)
    assert told(clean + distorted, alone) == {"distorted guitar": 30}
    assert told(clean * 2 + distorted, alone) == {"guitar": 50}


def test_there_are_never_more_than_may_be() -> None:
    notes = [read((family, 0.99)) for index, family in enumerate(FAMILIES) for _ in range(20 + index)]
    assert len(told(notes, Ensemble(least_share=0.01))) == 8
    assert sum(told(notes, Ensemble(least_share=0.01)).values()) == len(notes)
    assert set(told(notes, Ensemble(most=3))) == {"synth pad", "synth lead", "reeds and pipes"}


def test_notes_keep_their_order_and_none_is_lost() -> None:
    families = RNG.choice(FAMILIES[:3], 300)
    notes = [read((str(family), 0.9), start_s=index / 10) for index, family in enumerate(families)]
    found = players(notes, Ensemble())
    assert sorted(found) == sorted(FAMILIES[:3])
    for theirs in found.values():
        assert [one.note.start_s for one in theirs] == sorted(one.note.start_s for one in theirs)
    assert sorted(one.note.start_s for theirs in found.values() for one in theirs) == [n.note.start_s for n in notes]
