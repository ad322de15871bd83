"""Note events as a table: exactly Basic Pitch's columns, and bends that any reader of CSV gets whole."""

import csv
from pathlib import Path

from pipeline.notes import Instrument, Note
from pipeline.notes_csv import EVENT_COLUMNS, write_note_events, write_notes_csv

VOICE = Instrument(
    "Voice Oohs", 53, False, "vocals", (Note(57, 0.5, 1.25, 0.504, bends=(-4, -2, 0, 0)), Note(60, 1.25, 2.0, 0.9))
)
BASS = Instrument("Electric Bass (finger)", 33, False, "bass", (Note(40, 0.5, 1.0, 0.0, bends=(0,)),))


def test_a_line_for_every_note_of_every_instrument_by_onset(tmp_path: Path) -> None:
    write_note_events([VOICE, BASS], tmp_path / "events.csv")
    assert (tmp_path / "events.csv").read_text(encoding="utf-8") == (
        "start_time_s,end_time_s,pitch_midi,velocity,pitch_bend\n"
        "0.500000,1.000000,40,1,0\n"
        "0.500000,1.250000,57,64,-4 -2 0 0\n"
        "1.250000,2.000000,60,114,\n"
    )


def test_every_line_has_five_fields_of_numbers(tmp_path: Path) -> None:
    write_note_events([VOICE, BASS], tmp_path / "events.csv")
    with (tmp_path / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, restkey="more"))
    assert [tuple(row) for row in rows] == [EVENT_COLUMNS] * 3
    for row in rows:
        assert float(row["start_time_s"]) < float(row["end_time_s"])
        assert 0 <= int(row["pitch_midi"]) <= 127
        assert 1 <= int(row["velocity"]) <= 127
    assert [[int(bend) for bend in row["pitch_bend"].split()] for row in rows] == [[0], [-4, -2, 0, 0], []]


def test_without_notes_there_is_the_header(tmp_path: Path) -> None:
    write_note_events([], tmp_path / "events.csv")
    assert (tmp_path / "events.csv").read_text() == ",".join(EVENT_COLUMNS) + "\n"


def test_the_table_with_instruments_tells_the_same(tmp_path: Path) -> None:
    write_note_events([VOICE, BASS], tmp_path / "events.csv")
    write_notes_csv([VOICE, BASS], tmp_path / "notes.csv")
    events, notes = ((tmp_path / name).read_text().splitlines() for name in ("events.csv", "notes.csv"))
    assert [line.split(",")[:5] for line in notes] == [line.split(",") for line in events]
