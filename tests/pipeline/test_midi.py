from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest

from pipeline.midi import midi_velocity, write_midi
from pipeline.notes import Instrument, Note

BASS = Instrument(
    "Electric Bass (finger)",
    33,
    False,
    "bass",
    (Note(40, 0.5, 1.0, 0.8), Note(43, 1.0, 1.62, 0.5), Note(40, 2.1, 2.5, 1.0)),
)
DRUMS = Instrument("Drums", 0, True, "drums", (Note(36, 0.0, 0.1, 0.9), Note(42, 0.25, 0.35, 0.4)))
VOICE = Instrument("Voice Oohs", 53, False, "vocals", (Note(64, 0.333333, 1.777777, 0.6),))


def written(tmp_path: Path, *instruments: Instrument) -> mido.MidiFile:
    path = tmp_path / "song.mid"
    write_midi(instruments, path)
    return mido.MidiFile(path, charset="utf-8")


def played(track: mido.MidiTrack) -> list[tuple[int, float, float, int]]:
    """(pitch, start, end, velocity) in seconds, by start; every note-on must be followed by its own note-off."""
    tick, sounding, notes = 0, {}, []
    for message in track:
        tick += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        on = message.type == "note_on" and message.velocity > 0
        assert on != (message.note in sounding), "a note starts that sounds already, or ends that does not sound"
        if on:
            sounding[message.note] = (tick, message.velocity)
        else:
            start, velocity = sounding.pop(message.note)
            notes.append((message.note, start / 960, tick / 960, velocity))
    assert not sounding
    return sorted(notes, key=lambda note: note[1])


def test_one_named_track_per_instrument_with_its_program(tmp_path):
    file = written(tmp_path, DRUMS, BASS, VOICE)
    assert file.type == 1
    assert len(file.tracks) == 4
    for track, instrument in zip(file.tracks[1:], (DRUMS, BASS, VOICE), strict=True):
        assert track.name == instrument.name
        (program,) = [message for message in track if message.type == "program_change"]
        assert program.program == instrument.program
        channels = {message.channel for message in track if not message.is_meta}
        assert (channels == {9}) is instrument.is_drum
        assert len(channels) == 1
    assert len({track[1].channel for track in file.tracks[1:]}) == 3


def test_notes_come_back_within_a_millisecond(tmp_path):
    file = written(tmp_path, BASS)
    for (pitch, start_s, end_s, velocity), note in zip(played(file.tracks[1]), BASS.notes, strict=True):
        assert pitch == note.pitch
        assert start_s == pytest.approx(note.start_s, abs=0.001)
        assert end_s == pytest.approx(note.end_s, abs=0.001)
        assert velocity == round(127 * note.velocity)


def test_seconds_hold_through_a_file_of_an_hour_and_a_half(tmp_path):
    rng = np.random.default_rng(0)
    starts = np.sort(rng.uniform(0, 5400, 3000))
    notes = tuple(Note(index % 128, float(start), float(start) + 0.2, 0.5) for index, start in enumerate(starts))
    path = tmp_path / "long.mid"
    write_midi([Instrument("Acoustic Grand Piano", 0, False, "piano", notes)], path)
    (instrument,) = pretty_midi.PrettyMIDI(str(path)).instruments
    read = np.sort([note.start for note in instrument.notes])
    assert len(read) == len(starts)
    assert np.abs(read - starts).max() < 0.00053


def test_neither_a_tempo_nor_a_time_signature_is_claimed(tmp_path):
    file = written(tmp_path, BASS, DRUMS)
    metas = [message for track in file.tracks for message in track if message.is_meta]
    assert not [meta for meta in metas if meta.type in ("time_signature", "key_signature")]
    assert [meta.tempo for meta in metas if meta.type == "set_tempo"] == [500_000]
    (text,) = [meta.text for meta in metas if meta.type == "text"]
    assert "Tempo not detected" in text


def test_more_than_fifteen_instruments_leave_channel_10_to_the_drums(tmp_path):
    many = [Instrument(f"Part {n}", n, False, "other", (Note(60, 0.0, 1.0, 0.5),)) for n in range(40)]
    file = written(tmp_path, *many[:20], DRUMS, *many[20:])
    on_10 = [track.name for track in file.tracks[1:] if any(getattr(m, "channel", None) == 9 for m in track)]
    assert on_10 == ["Drums"]


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([(60, 0.0, 2.0), (60, 1.0, 3.0)], [(60, 0.0, 1.0), (60, 1.0, 3.0)]),  # the later one cuts in
        ([(60, 0.0, 3.0), (60, 1.0, 2.0)], [(60, 0.0, 1.0), (60, 1.0, 2.0)]),  # one inside the other
        ([(60, 0.0, 1.0), (60, 1.0, 2.0)], [(60, 0.0, 1.0), (60, 1.0, 2.0)]),  # end and start in one tick
        ([(60, 1.0, 2.0), (60, 1.0, 3.0)], [(60, 1.0, 3.0)]),  # both at once
        ([(60, 1.0, 1.0001)], [(60, 1.0, 1.0 + 1 / 960)]),  # shorter than a tick
        ([(60, 0.0, 2.0), (61, 1.0, 3.0)], [(60, 0.0, 2.0), (61, 1.0, 3.0)]),  # other pitches do not matter
    ],
)
def test_notes_of_one_pitch_never_overlap(tmp_path, notes, expected):
    instrument = Instrument("Voice Oohs", 53, False, "vocals", tuple(Note(*note, 0.5) for note in notes))
    found = [note[:3] for note in played(written(tmp_path, instrument).tracks[1])]
    assert found == [pytest.approx(note) for note in expected]


def test_dense_random_notes_are_well_formed(tmp_path):
    rng = np.random.default_rng(1)
    starts = rng.uniform(0, 10, 2000)
    notes = tuple(
        Note(int(rng.integers(60, 66)), float(s), float(s + rng.exponential(0.05)), 0.5) for s in np.sort(starts)
    )
    instrument = Instrument("Voice Oohs", 53, False, "vocals", notes)
    found = played(written(tmp_path, instrument).tracks[1])
    heard = {(note.pitch, round(note.start_s * 960)) for note in notes}
    assert {(pitch, round(start_s * 960)) for pitch, start_s, _, _ in found} == heard
    for pitch in range(60, 66):
        same = [note for note in found if note[0] == pitch]
        assert all(earlier[2] <= later[1] for earlier, later in pairwise(same))


def test_no_instruments_give_a_valid_empty_file(tmp_path):
    file = written(tmp_path)
    assert len(file.tracks) == 1
    assert file.tracks[0][-1].type == "end_of_track"
    assert pretty_midi.PrettyMIDI(str(tmp_path / "song.mid")).instruments == []


def test_names_and_paths_may_hold_any_letters(tmp_path):
    path = tmp_path / "Пісня 歌 ♪.mid"
    write_midi([Instrument("Скрипка 胡弓", 40, False, "other", VOICE.notes)], path)
    assert mido.MidiFile(path, charset="utf-8").tracks[1].name == "Скрипка 胡弓"


def test_the_same_notes_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.mid", tmp_path / "b.mid"
    write_midi([BASS, DRUMS], first)
    write_midi([BASS, DRUMS], second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("velocity", "midi"), [(0.0, 1), (0.001, 1), (0.5, 64), (1.0, 127)])
def test_velocities(velocity, midi):
    assert midi_velocity(velocity) == midi
