import csv

from pipeline.notes import Instrument, Note
from pipeline.notes_csv import write_notes_csv


def test_notes_of_all_instruments_by_onset(tmp_path):
    path = tmp_path / "notes.csv"
    bass = Instrument(
        "Electric Bass (finger)", 33, False, "bass", (Note(40, 0.5, 1.0, 0.8), Note(43, 1.25, 1.5, 0.504))
    )
    drums = Instrument("Drums", 0, True, "drums", (Note(36, 0.5, 0.6, 1.0), Note(42, 1.0, 1.1, 0.0)))
    write_notes_csv([bass, drums], path)
    assert path.read_text(encoding="utf-8") == (
        "start_time_s,end_time_s,pitch_midi,velocity,pitch_bend,instrument,stem\n"
        "0.500000,0.600000,36,127,,Drums,drums\n"
        "0.500000,1.000000,40,102,,Electric Bass (finger),bass\n"
        "1.000000,1.100000,42,1,,Drums,drums\n"
        "1.250000,1.500000,43,64,,Electric Bass (finger),bass\n"
    )


def test_no_notes_give_the_header_alone(tmp_path):
    path = tmp_path / "notes.csv"
    write_notes_csv([], path)
    assert path.read_text() == "start_time_s,end_time_s,pitch_midi,velocity,pitch_bend,instrument,stem\n"


def test_any_name_survives(tmp_path):
    path = tmp_path / "notes.csv"
    name = 'Скрипка, "1st"'
    write_notes_csv([Instrument(name, 40, False, "other", (Note(60, 0.0, 1.0, 0.5),))], path)
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["instrument"] == name
