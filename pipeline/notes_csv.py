"""Notes as a table, for spreadsheets and scripts."""

import csv
from collections.abc import Iterable
from pathlib import Path

from pipeline.midi import midi_velocity
from pipeline.notes import Instrument, Note

# Those of Basic Pitch's own file, which other tools read; velocity is 1-127 in them.
EVENT_COLUMNS = ("start_time_s", "end_time_s", "pitch_midi", "velocity", "pitch_bend")
COLUMNS = (*EVENT_COLUMNS, "instrument", "stem")


def write_notes_csv(instruments: Iterable[Instrument], path: Path) -> None:
    """Write the notes of all instruments, one line each, by onset, then pitch, then order of the instruments.

    Times are in seconds to the microsecond; ``pitch_bend`` is as in :func:`write_note_events`.  UTF-8.

    Args:
        instruments: any number; none gives the header alone.
        path: file to write.

    Raises:
        OSError: the file cannot be written.
    """
    _write(COLUMNS, ((*_event(note), one.name, one.stem) for one, note in _by_onset(instruments)), path)


def write_note_events(instruments: Iterable[Instrument], path: Path) -> None:
    """Write the notes of all instruments as Basic Pitch writes note events, in the order of :func:`write_notes_csv`.

    ``pitch_bend`` is :attr:`pipeline.notes.Note.bends`: its numbers, in thirds of a semitone, 86 a second, stand in
    this one field with spaces between them, none where the pitch was not followed.  Basic Pitch appends each number as
    a field of its own, so that lines have up to some hundreds of fields under a header of five, which pandas and many
    others refuse to read.  Here they are ``row["pitch_bend"].split()`` instead of ``row[4:]``, and 0
    is in tune where Basic Pitch says 1.

    Args:
        instruments: any number; none gives the header alone.
        path: file to write.

    Raises:
        OSError: the file cannot be written.
    """
    _write(EVENT_COLUMNS, (_event(note) for _, note in _by_onset(instruments)), path)


def _by_onset(instruments: Iterable[Instrument]) -> list[tuple[Instrument, Note]]:
    rows = [(instrument, note) for instrument in instruments for note in instrument.notes]
    return sorted(rows, key=lambda row: (row[1].start_s, row[1].pitch))


def _event(note: Note) -> tuple[str | int, ...]:
    """The fields of :data:`EVENT_COLUMNS`."""
    bends = " ".join(map(str, note.bends))
    return f"{note.start_s:.6f}", f"{note.end_s:.6f}", note.pitch, midi_velocity(note.velocity), bends


def _write(columns: tuple[str, ...], rows: Iterable[tuple[str | int, ...]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
