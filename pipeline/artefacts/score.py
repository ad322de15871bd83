"""The notes as sheet music: MusicXML 4.0, which notation programs open.

What the score claims beyond the notes, its tempo, metre and key, it says in words at its beginning.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.analysis.beats import Beats
from pipeline.analysis.key import Key, KeySpan
from pipeline.artefacts.grid import DOTTED_QUARTER, EIGHTH, QUARTER, Bar, BeatGrid, Metre, written_grid
from pipeline.artefacts.note_values import Piece, measures
from pipeline.artefacts.percussion import key_name, staff_place
from pipeline.artefacts.rhythm import Part, Tone, arrange
from pipeline.artefacts.spelling import Spelling, spelled
from pipeline.artefacts.text import xml_text
from pipeline.midi import midi_channels
from pipeline.notes import Instrument

_HEAD = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="4.0">
<identification><encoding><software>Stemscribe</software></encoding></identification>
"""
_NO_SIGNATURE = Key(0, minor=False)
_TEMPO_CHANGE = 0.01  # smaller ones are not worth an element
_FORTE_VELOCITY = 90  # MusicXML's "dynamics" is a percentage of it
_ACCIDENTALS = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}

_GUITARS = range(24, 32)
# Clefs by the median pitch of what they show, up to and with: sign, line, octaves up.
_CLEFS = ((42, ("F", 4, -1)), (57, ("F", 4, 0)), (84, ("G", 2, 0)), (127, ("G", 2, 1)))
_GUITAR_CLEF = ("G", 2, -1)


def write_score(
    instruments: Sequence[Instrument], path: Path, *, beats: Beats | None = None, key: KeySpan | None = None
) -> None:
    """Write the notes as MusicXML: a part for each instrument, in concert pitch, quantised to the beats.

    It begins with the bar of the first note and ends with that of the last.  Tempo, metre and key are estimated, and
    said to be; where no tempo is found, the score is on a grid of 120 beats per minute, where no bars are found, in
    4/4, and says so.  The same notes always give the same bytes.

    Args:
        instruments: any number; none gives one empty part.
        path: file to write; UTF-8.
        beats: of the song; None where they are not known.
        key: the one that its signature is written for; None where none is known.

    Raises:
        OSError: the file cannot be written.
    """
    grid = written_grid(beats, instruments)
    parts = arrange(instruments, grid) or [Part(Instrument("Silence", 0, False, "", ()), ((),), frozenset())]
    ends = [voice[-1].end for part in parts for voice in part.voices if voice]
    bars = grid.written_bars(max(ends, default=0))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_HEAD)
        file.writelines(_part_list(parts))
        for number, part in enumerate(parts, start=1):
            says = _opening(grid, key.key if key else None, instruments) if number == 1 else ""
            tempos = _tempos(grid, bars) if number == 1 else {}
            file.write(f'<part id="P{number}">\n')
            file.writelines(_Staves(number, part, key.key if key else _NO_SIGNATURE).measures(bars, says, tempos))
            file.write("</part>\n")
        file.write("</score-partwise>\n")


def _opening(grid: BeatGrid, key: Key | None, instruments: Sequence[Instrument]) -> str:
    """What the score takes for granted, in words, and its tempo."""
    if grid.detected:
        tempo = "Tempo estimated from the notes"
    else:
        tempo = f"Tempo not detected; the grid is {grid.bpm:.0f} per minute"
    has_pitches = any(not instrument.is_drum for instrument in instruments)
    metre = "metre estimated" if grid.bars_detected else "4/4 assumed"
    signature = "; key estimated" if key else "; no key signature, key not detected" if has_pitches else ""
    return (
        '<direction placement="above"><direction-type><words font-style="italic">'
        f"{tempo}; {metre}{signature}.</words></direction-type></direction>\n"
        f'<direction placement="above"><direction-type><metronome>{_beat_unit(grid.metre)}'
        f"<per-minute>{'ca. ' if grid.detected else ''}{grid.bpm:.0f}</per-minute></metronome></direction-type>"
        f'<sound tempo="{_quarters(grid.bpm, grid.metre):.2f}"/></direction>\n'
    )


def _beat_unit(metre: Metre) -> str:
    unit = {QUARTER: "quarter", DOTTED_QUARTER: "quarter", EIGHTH: "eighth"}[metre.beat]
    return f"<beat-unit>{unit}</beat-unit>{'<beat-unit-dot/>' if metre.beat == DOTTED_QUARTER else ''}"


def _quarters(bpm: float, metre: Metre) -> float:
    """Beats a minute as quarter notes a minute, which playback wants."""
    return bpm * metre.beat / QUARTER


def _tempos(grid: BeatGrid, bars: Sequence[Bar]) -> dict[int, str]:
    """For the measures whose tempo differs from what was last said, the element for playback that tells it."""
    out: dict[int, str] = {}
    beat = grid.metre.beat
    told = _quarters(grid.bpm, grid.metre)
    for measure, bar in enumerate(bars):
        first, last = bar.start // beat, bar.end // beat
        if last >= len(grid.beats_s):
            break
        bpm = _quarters(60 * (last - first) / float(grid.beats_s[last] - grid.beats_s[first]), grid.metre)
        if abs(bpm / told - 1) > _TEMPO_CHANGE:
            out[measure] = f'<sound tempo="{bpm:.2f}"/>\n'
            told = bpm
    return out


def _part_list(parts: Sequence[Part]) -> Iterator[str]:
    names = [part.instrument.name for part in parts]
    channels = midi_channels([part.instrument for part in parts])
    yield "<part-list>\n"
    for number, (part, channel) in enumerate(zip(parts, channels, strict=True), start=1):
        one = part.instrument
        name = f"{one.name} ({one.stem})" if names.count(one.name) > 1 else one.name
        yield f'<score-part id="P{number}"><part-name>{xml_text(name)}</part-name>\n'
        if one.is_drum:
            keys = sorted({note.pitch for note in one.notes})
            sounds = [
                (f"P{number}-K{key}", key_name(key), 1, f"<midi-unpitched>{key + 1}</midi-unpitched>") for key in keys
            ]
        else:
            sounds = [(f"P{number}-I1", one.name, one.program + 1, "")]
        for label, sound, *_ in sounds:
            yield f'<score-instrument id="{label}"><instrument-name>{xml_text(sound)}</instrument-name>'
            yield "</score-instrument>\n"
        for label, _, program, unpitched in sounds:
            yield f'<midi-instrument id="{label}"><midi-channel>{channel + 1}</midi-channel>'
            yield f"<midi-program>{program}</midi-program>{unpitched}</midi-instrument>\n"
        yield "</score-part>\n"
    yield "</part-list>\n"


class _Staves:
    """Writes the measures of one part."""

    def __init__(self, number: int, part: Part, key: Key) -> None:
        self._number = number
        self._part = part
        self._key = key
        self._signature = key.signature()

    def measures(self, measured: Sequence[Bar], opening: str, tempos: dict[int, str]) -> Iterator[str]:
        part = self._part
        voices = [measures(voice, part.triplet_beats, measured) for voice in part.voices]
        metre = measured[0].metre
        for index, measure in enumerate(measured):
            yield f'<measure number="{index + 1}">\n'
            if index == 0:
                yield self._attributes(metre)
                yield opening
            elif measure.metre != metre:
                metre = measure.metre
                yield f"<attributes>{_time(metre)}</attributes>\n"
            yield tempos.get(index, "")
            bars = [voice[index] for voice in voices]
            accidentals = self._accidentals(bars)
            shown = [number for number, bar in enumerate(bars, start=1) if any(piece.chord for piece in bar)]
            if part.staves > 1 or not shown:
                shown = list(range(1, part.staves + 1))
            for number in shown:  # on one staff, a voice without notes needs no rests
                if number != shown[0]:
                    yield f"<backup><duration>{metre.ticks}</duration></backup>\n"
                bar = bars[number - 1]
                for piece in bar:
                    yield from self._piece(piece, number, piece.ticks == metre.ticks, accidentals)
            if index == len(measured) - 1:
                yield '<barline location="right"><bar-style>light-heavy</bar-style></barline>\n'
            yield "</measure>\n"

    def _attributes(self, metre: Metre) -> str:
        one = self._part.instrument
        fifths = 0 if one.is_drum else self._key.fifths
        clefs = "<clef><sign>percussion</sign><line>2</line></clef>" if one.is_drum else "".join(self._clefs())
        staves = f"<staves>{self._part.staves}</staves>" if self._part.staves > 1 else ""
        return (
            f"<attributes><divisions>{QUARTER}</divisions><key><fifths>{fifths}</fifths></key>"
            f"{_time(metre)}{staves}{clefs}</attributes>\n"
        )

    def _clefs(self) -> Iterator[str]:
        if self._part.staves > 1:
            yield _clef("G", 2, 0, ' number="1"')
            yield _clef("F", 4, 0, ' number="2"')
            return
        pitches = sorted(note.pitch for note in self._part.instrument.notes)
        median = pitches[len(pitches) // 2] if pitches else 60
        fitting = next(clef for highest, clef in _CLEFS if median <= highest)
        yield _clef(*(_GUITAR_CLEF if self._part.instrument.program in _GUITARS else fitting))

    def _accidentals(self, bars: Sequence[Sequence[Piece]]) -> dict[tuple[int, int], str]:
        """The accidentals to show in a measure, by the tone's start in it and its pitch, in the order they are read."""
        if self._part.instrument.is_drum:
            return {}
        shown: dict[tuple[int, int], str] = {}
        valid: dict[tuple[int, str, int], int] = {}
        placed = [(piece.start, number, piece) for number, bar in enumerate(bars) for piece in bar if piece.chord]
        for start, number, piece in sorted(placed, key=lambda one: one[:2]):
            if piece.tied_from or piece.chord is None:
                continue
            for tone in piece.chord.tones:
                at = spelled(tone.pitch, self._key)
                place = (number if self._part.staves > 1 else 0, at.step, at.octave)
                if valid.get(place, self._signature[at.step]) != at.alter:
                    shown[start, tone.pitch] = f"<accidental>{_ACCIDENTALS[at.alter]}</accidental>"
                    valid[place] = at.alter
        return shown

    def _piece(self, piece: Piece, voice: int, whole: bool, accidentals: dict[tuple[int, int], str]) -> Iterator[str]:
        staff = f"<staff>{voice}</staff>" if self._part.staves > 1 else ""
        if piece.chord is None:
            rest = '<rest measure="yes"/>' if whole else "<rest/>"
            value = "" if whole else _value(piece, "")
            yield f"<note>{rest}<duration>{piece.ticks}</duration><voice>{voice}</voice>{value}{staff}"
            yield f"{_notations(piece, first=True)}</note>\n"
            return
        for index, tone in enumerate(piece.chord.tones):
            accidental = "" if piece.tied_from else accidentals.get((piece.start, tone.pitch), "")
            loud = round(100 * 127 * tone.velocity / _FORTE_VELOCITY)
            yield f'<note dynamics="{loud}">{"<chord/>" if index else ""}{self._pitch(tone)}'
            yield f"<duration>{piece.ticks}</duration>"
            yield '<tie type="stop"/>' if piece.tied_from else ""
            yield '<tie type="start"/>' if piece.tied_to else ""
            yield self._drum_instrument(tone)
            yield f"<voice>{voice}</voice>{_value(piece, accidental)}{self._notehead(tone)}{staff}"
            if index == 0:
                for level, beam in enumerate(piece.beams, start=1):
                    yield f'<beam number="{level}">{beam}</beam>'
            yield f"{_notations(piece, first=index == 0)}</note>\n"

    def _pitch(self, tone: Tone) -> str:
        if self._part.instrument.is_drum:
            at = staff_place(tone.pitch)
            return (
                f"<unpitched><display-step>{at.step}</display-step>"
                f"<display-octave>{at.octave}</display-octave></unpitched>"
            )
        return _pitch(spelled(tone.pitch, self._key))

    def _drum_instrument(self, tone: Tone) -> str:
        return f'<instrument id="P{self._number}-K{tone.pitch}"/>' if self._part.instrument.is_drum else ""

    def _notehead(self, tone: Tone) -> str:
        if not self._part.instrument.is_drum:
            return ""
        at = staff_place(tone.pitch)
        stem = f"<stem>{'down' if at.foot else 'up'}</stem>"
        return stem if at.notehead == "normal" else f"{stem}<notehead>{at.notehead}</notehead>"


def _time(metre: Metre) -> str:
    return f"<time><beats>{metre.numerator}</beats><beat-type>{metre.denominator}</beat-type></time>"


def _clef(sign: str, line: int, octaves: int, number: str = "") -> str:
    change = f"<clef-octave-change>{octaves}</clef-octave-change>" if octaves else ""
    return f"<clef{number}><sign>{sign}</sign><line>{line}</line>{change}</clef>"


def _pitch(at: Spelling) -> str:
    alter = f"<alter>{at.alter}</alter>" if at.alter else ""
    return f"<pitch><step>{at.step}</step>{alter}<octave>{at.octave}</octave></pitch>"


def _value(piece: Piece, accidental: str) -> str:
    triplet = (
        "<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>"
        if piece.triplet
        else ""
    )
    return f"<type>{piece.name}</type>{'<dot/>' * piece.dots}{accidental}{triplet}"


def _notations(piece: Piece, *, first: bool) -> str:
    """Ties are every tone's, a tuplet's bracket the chord's."""
    marks = '<tied type="stop"/>' if piece.tied_from else ""
    marks += '<tied type="start"/>' if piece.tied_to else ""
    if first and piece.tuplet:
        marks += f'<tuplet type="{piece.tuplet}"/>'
    return f"<notations>{marks}</notations>" if marks else ""
