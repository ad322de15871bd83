"""Several instruments of one stem, in every file there is of a song's notes."""

import csv
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import mido
import pretty_midi
import pytest
import soundfile as sf

from pipeline.artefacts.sonify import sonify
from pipeline.midi import midi_channels, write_midi
from pipeline.notes import Instrument, Note
from pipeline.song_notes import HeardSong, SongNotes, write_song_notes
from pipeline.transcription.players import INSTRUMENTS, Ensemble


def instrument(family: str, stem: str, *pitches: int) -> Instrument:
    name, program = INSTRUMENTS[family]
    notes = tuple(Note(pitch, 0.5 * index, 0.5 * index + 0.4, 0.7) for index, pitch in enumerate(pitches))
    return Instrument(name, program, False, stem, notes, 0.8)


PIANO = instrument("piano", "piano", 48, 52)
STRINGS = instrument("strings", "other", 60, 64, 67)
OTHER_PIANO = instrument("piano", "other", 72)
DRUMS = Instrument("Drums", 0, True, "drums", (Note(36, 0.0, 0.1, 0.9),))
ALL = (DRUMS, PIANO, STRINGS, OTHER_PIANO)


@pytest.fixture
def made(tmp_path: Path) -> SongNotes:
    return write_song_notes(HeardSong(ALL, 2.0), tmp_path)


def parts(path: Path) -> list[tuple[str, int, list[int]]]:
    """Name, program and pitches of each track of a MIDI file."""
    return [
        (one.name, one.program, [note.pitch for note in one.notes])
        for one in pretty_midi.PrettyMIDI(str(path)).instruments
    ]


def test_the_midi_file_has_a_track_of_its_own_for_each(made: SongNotes) -> None:
    tracks = mido.MidiFile(made.midi).tracks[1:]
    assert [track.name for track in tracks] == [one.name for one in ALL]
    assert len({message.channel for track in tracks for message in track if not message.is_meta}) == len(ALL)


def test_a_stems_midi_file_has_all_its_instruments(made: SongNotes) -> None:
    assert {name: path.name for name, path in made.stem_midi.items()} == {
        "drums": "drums.mid", "piano": "piano.mid", "other": "other.mid",
    }  # fmt: skip
    assert parts(made.stem_midi["piano"]) == [("Acoustic Grand Piano", 0, [48, 52])]
    assert parts(made.stem_midi["other"]) == [
        ("String Ensemble 1", 48, [60, 64, 67]), ("Acoustic Grand Piano", 0, [72]),
    ]  # fmt: skip


def test_the_list_says_which_instrument_of_which_stem_plays_each_note(made: SongNotes) -> None:
    with made.csv.open(encoding="utf-8", newline="") as file:
        rows = [(row["instrument"], row["stem"], int(row["pitch_midi"])) for row in csv.DictReader(file)]
    assert sorted(rows) == sorted((one.name, one.stem, note.pitch) for one in ALL for note in one.notes)


def test_score_and_picture_tell_instruments_of_one_name_apart(made: SongNotes) -> None:
    names = [element.text for element in ET.parse(made.score).getroot().iter("part-name")]  # noqa: S314
    assert names == ["Drums", "Acoustic Grand Piano (piano)", "String Ensemble 1", "Acoustic Grand Piano (other)"]
    picture = made.piano_roll.read_text(encoding="utf-8")
    assert all(f"{one.name} ({one.stem})" in picture for one in ALL)


def test_all_of_them_are_played(made: SongNotes, tmp_path: Path) -> None:
    assert made.preview.stat().st_size > 1000
    both, one = (
        sf.read(sonify(instruments, 2.0, tmp_path / "played.wav", None).path)[0]
        for instruments in ((STRINGS, OTHER_PIANO), (STRINGS,))
    )
    assert abs(both[:22_050] - one[:22_050]).max() > 0.01


def test_a_full_song_of_six_stems_has_a_channel_for_each() -> None:
    """As many as there may be of `other`, beside the five stems of one instrument."""
    others = [instrument(family, "other", 60) for family in list(INSTRUMENTS)[: Ensemble().most]]
    song = [DRUMS, *(instrument(family, family, 60) for family in ("bass", "voice", "guitar", "piano")), *others]
    channels = midi_channels(song)
    assert len(set(channels)) == len(song)
    assert channels[0] == 9


def test_instruments_of_one_program_share_a_channel_where_there_are_not_enough(tmp_path: Path) -> None:
    song = [DRUMS, *(instrument(family, f"take {take}", 60 + take) for take in range(3) for family in INSTRUMENTS)]
    channels = midi_channels(song)
    programs: dict[int, set[int]] = {}
    for one, channel in zip(song[1:], channels[1:], strict=True):
        programs.setdefault(channel, set()).add(one.program)
    assert 9 not in programs
    assert all(len(of_channel) == 1 for of_channel in programs.values())
    write_midi([replace(one, name=str(index)) for index, one in enumerate(song)], tmp_path / "song.mid")
    assert len(mido.MidiFile(tmp_path / "song.mid").tracks) == 1 + len(song)
