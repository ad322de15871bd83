"""Standard MIDI files that open well in a DAW."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np

from pipeline.analysis.beats import Beats
from pipeline.analysis.key import Key, KeySpan
from pipeline.notes import Instrument, Note
from pipeline.tempo_map import TempoMap, tempo_map

# A MIDI file counts time in ticks of a beat.  Left out, a DAW would apply the tempo of its project and move every note;
# so where no beats are known, 120 BPM is written as the time base, and a text event says that it is no more than that.
TIME_BASE_TEXT = "Tempo not detected: 120 BPM is only the time base."
NO_BARS_TEXT = "Bars not detected: the beats are written as quarter notes, without a time signature."

_DRUM_CHANNEL = 9
_CHANNELS = tuple(channel for channel in range(16) if channel != _DRUM_CHANNEL)


def write_midi(
    instruments: Sequence[Instrument], path: Path, *, beats: Beats | None = None, keys: Sequence[KeySpan] = ()
) -> None:
    """Write a type 1 MIDI file: a track with the tempo map, then one track per instrument.

    Each track carries its General MIDI name and program; drums are on channel 10.  Every other instrument has a channel
    of its own while there are enough, else those of one program share theirs.  Notes keep the time at which they
    were played, to within 0.6 ms; :mod:`pipeline.tempo_map` says how the bars are laid around them.  Notes of one pitch
    in one instrument never overlap in the file: the earlier one ends where the later one starts, and two that start in
    the same tick become one.  The same input always gives the same bytes.

    Args:
        instruments: any number; none gives a valid file without notes.
        path: file to write.
        beats: the beats of the song: where they are sure, the file has its tempos and, where bars are, its time
            signatures.  Else 120 BPM is a mere time base, and the file says so.
        keys: the keys of the song, in order; a change is written at the nearest bar line.

    Raises:
        OSError: the file cannot be written.
    """
    end_s = max((note.end_s for one in instruments for note in one.notes), default=0.0)
    time = tempo_map(beats, end_s)
    file = mido.MidiFile(type=1, ticks_per_beat=time.resolution, charset="utf-8")
    file.tracks.append(_track(_conductor(time, keys)))
    for instrument, channel in zip(instruments, midi_channels(instruments), strict=True):
        file.tracks.append(_track(_events(instrument, channel, time)))
    file.save(path)


def midi_channels(instruments: Sequence[Instrument]) -> list[int]:
    """The MIDI channel of each, 0-15: 9 for drums."""
    pitched = [one for one in instruments if not one.is_drum]
    keys = list(range(len(pitched))) if len(pitched) <= len(_CHANNELS) else [one.program for one in pitched]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    free = iter(_CHANNELS[numbers[key] % len(_CHANNELS)] for key in keys)
    return [_DRUM_CHANNEL if one.is_drum else next(free) for one in instruments]


def midi_velocity(velocity: float) -> int:
    """A velocity of 0-1 as MIDI has it: 1-127 (0 would be the end of a note)."""
    return max(1, round(127 * velocity))


_Event = tuple[int, mido.Message | mido.MetaMessage]


def _track(events: Iterator[_Event]) -> mido.MidiTrack:
    """A track of events with their ticks, which come in any order; those of one tick stay in theirs."""
    track = mido.MidiTrack()
    last = 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=tick - last))
        last = tick
    track.append(mido.MetaMessage("end_of_track", time=1))
    return track


def _conductor(time: TempoMap, keys: Sequence[KeySpan]) -> Iterator[_Event]:
    """What holds for the whole file: tempos, time signatures, keys."""
    if not time.metres:
        yield 0, mido.MetaMessage("text", text=NO_BARS_TEXT if time.detected else TIME_BASE_TEXT)
    for tick, tempo in time.tempos:
        yield tick, mido.MetaMessage("set_tempo", tempo=tempo)
    for metre in time.metres:
        yield (
            metre.tick,
            mido.MetaMessage(
                "time_signature",
                numerator=metre.numerator,
                denominator=metre.denominator,
                clocks_per_click=metre.clocks,
            ),
        )
    starts = time.ticks(np.array([span.start_s for span in keys])).tolist()
    for index, (span, start) in enumerate(zip(keys, starts, strict=True)):
        tick = time.nearest_bar(start) if index else 0
        yield tick, mido.MetaMessage("key_signature", key=_signature_name(span.key))


def _signature_name(key: Key) -> str:
    """The key as mido spells it: C, Bb, F#m."""
    tonic, mode = key.name.split()
    return tonic + ("m" if mode == "minor" else "")


def _events(instrument: Instrument, channel: int, time: TempoMap) -> Iterator[_Event]:
    yield 0, mido.MetaMessage("track_name", name=instrument.name)
    yield 0, mido.Message("program_change", program=instrument.program, channel=channel)
    spans = _without_overlaps(instrument.notes, time)
    # Of what comes in one tick, ends go before starts, so that a note that is struck again sounds again.
    for span in sorted(spans, key=lambda span: (span.end, span.pitch)):
        yield span.end, mido.Message("note_on", channel=channel, note=span.pitch, velocity=0)
    for span in spans:
        yield span.start, mido.Message("note_on", channel=channel, note=span.pitch, velocity=span.velocity)


@dataclass(slots=True)
class _Span:
    """A note on the ticks of the file."""

    pitch: int
    start: int
    end: int
    velocity: int


def _without_overlaps(notes: Sequence[Note], time: TempoMap) -> list[_Span]:
    """Notes on ticks, each at least one tick long, no two of one pitch sounding at once; in order of start."""
    ticks = time.ticks(np.array([(note.start_s, note.end_s) for note in notes]).reshape(-1, 2)).tolist()
    spans: list[_Span] = []
    latest: dict[int, _Span] = {}
    for note, (start, end) in sorted(zip(notes, ticks, strict=True), key=lambda one: (one[0].start_s, one[0].pitch)):
        span = _Span(note.pitch, start, max(end, start + 1), midi_velocity(note.velocity))
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
