"""Notes as a table, for spreadsheets and scripts."""

import csv
from collections.abc import Iterable
from pathlib import Path

from pipeline.midi import midi_velocity
from pipeline.notes import Instrument

# The first five are the columns of Basic Pitch's own file, which other tools read; velocity is 1-127 in them.
COLUMNS = ("start_time_s", "end_time_s", "pitch_midi", "velocity", "pitch_bend", "instrument", "stem")


def write_notes_csv(instruments: Iterable[Instrument], path: Path) -> None:
    """Write the notes of all instruments, one line each, by onset, then pitch, then order of the instruments.

    Times are in seconds to the microsecond; ``pitch_bend`` is empty, since bends are not estimated.  UTF-8.

    Args:
        instruments: any number; none gives the header alone.
        path: file to write.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [(note, instrument) for instrument in instruments for note in instrument.notes]
    rows.sort(key=lambda row: (row[0].start_s, row[0].pitch))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for note, instrument in rows:
            times = (f"{note.start_s:.6f}", f"{note.end_s:.6f}")
            writer.writerow((*times, note.pitch, midi_velocity(note.velocity), "", instrument.name, instrument.stem))
