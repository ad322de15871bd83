"""Standard MIDI files that open well in a DAW."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mido
import pretty_midi

from pipeline.notes import Instrument, Note

# The tempo is not detected, but a MIDI file counts time in ticks of a beat.  Left out, a DAW would apply the
# tempo of its project and move every note; so 120 BPM (also the standard's default) is written as the time base, a
# text event says that it is no more than that, and no time signature is written.
TIME_BASE_BPM = 120
TIME_BASE_TEXT = "Tempo not detected: 120 BPM is only the time base."

# A tick is 1.04 ms: onsets are at most 0.52 ms off.  At 960 an 87-minute file would pass the 10 million ticks up to
# which pretty_midi reads.
TICKS_PER_BEAT = 480
_TICKS_PER_S = TICKS_PER_BEAT * TIME_BASE_BPM / 60


def write_midi(instruments: Sequence[Instrument], path: Path) -> None:
    """Write a type 1 MIDI file: a track with the time base, then one track per instrument.

    Each track carries its General MIDI name and program; drums are on channel 10.  Notes of one pitch in one
    instrument never overlap in the file: the earlier one ends where the later one starts, and two that start in the
    same tick become one.  The same instruments always give the same bytes.

    Args:
        instruments: any number; none gives a valid file without notes.
        path: file to write.

    Raises:
        OSError: the file cannot be written.
    """
    midi = pretty_midi.PrettyMIDI(resolution=TICKS_PER_BEAT, initial_tempo=TIME_BASE_BPM, charset="utf-8")
    midi.text_events.append(pretty_midi.Text(TIME_BASE_TEXT, 0.0))
    for instrument in instruments:
        track = pretty_midi.Instrument(instrument.program, instrument.is_drum, instrument.name)
        track.notes = [span.to_midi() for span in _without_overlaps(instrument.notes)]
        midi.instruments.append(track)
    _without_time_signature(midi).save(path)


def midi_velocity(velocity: float) -> int:
    """A velocity of 0-1 as MIDI has it: 1-127 (0 would be the end of a note)."""
    return max(1, round(127 * velocity))


@dataclass(slots=True)
class _Span:
    """A note on the ticks of the file."""

    pitch: int
    start: int
    end: int
    velocity: int

    def to_midi(self) -> pretty_midi.Note:
        return pretty_midi.Note(self.velocity, self.pitch, self.start / _TICKS_PER_S, self.end / _TICKS_PER_S)


def _without_overlaps(notes: Iterable[Note]) -> list[_Span]:
    """Notes on ticks, each at least one tick long, no two of one pitch sounding at once; in order of start."""
    spans: list[_Span] = []
    latest: dict[int, _Span] = {}
    for note in sorted(notes, key=lambda note: (note.start_s, note.pitch)):
        start = round(note.start_s * _TICKS_PER_S)
        span = _Span(note.pitch, start, max(round(note.end_s * _TICKS_PER_S), start + 1), midi_velocity(note.velocity))
        earlier = latest.get(note.pitch)
        if earlier and earlier.start == start:
            earlier.end = max(earlier.end, span.end)
            earlier.velocity = max(earlier.velocity, span.velocity)
            continue
        if earlier:
            earlier.end = min(earlier.end, start)
        latest[note.pitch] = span
        spans.append(span)
    return spans


def _without_time_signature(midi: pretty_midi.PrettyMIDI) -> mido.MidiFile:
    """The file that pretty_midi writes, less the 4/4 that it adds to every file that names none."""
    buffer = io.BytesIO()
    midi.write(buffer)
    buffer.seek(0)
    file = mido.MidiFile(file=buffer, charset="utf-8")
    file.tracks[0] = mido.MidiTrack(message for message in file.tracks[0] if message.type != "time_signature")
    return file
