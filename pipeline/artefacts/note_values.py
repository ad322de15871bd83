"""Chords and rests cut into the values that notation has, measure by measure, with ties, beams and tuplets."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.artefacts.grid import DOTTED_QUARTER, EIGHTH, QUARTER, Bar
from pipeline.artefacts.rhythm import SIXTEENTH, TRIPLET, Chord

# Value in ticks from places of a bar of quarters (in ticks) where it can be read at a glance; longer ones first.  None:
# from any quarter.
_NOTES_ON_BEATS = ((48, (0,)), (36, (0, 12)), (24, None), (18, (0, 24, 48, 72)), (12, None))
_RESTS_ON_BEATS = ((48, (0,)), (24, (0, 24, 48)), (12, None))
# And from places of a dotted quarter.
_IN_THREES = ((18, (0,)), (12, (0, 6)), (6, (0, 6, 12)))
_NAMES = {
    **{48: ("whole", 0), 36: ("half", 1), 24: ("half", 0), 18: ("quarter", 1), 12: ("quarter", 0)},
    **{9: ("eighth", 1), 6: ("eighth", 0), 3: ("16th", 0), 8: ("quarter", 0), 4: ("eighth", 0)},
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A note value in a voice of a measure.

    Attributes:
        start: ticks from the beginning of the measure.
        ticks: its length.
        chord: what sounds; None for a rest.
        tied_from, tied_to: whether the chord began in an earlier piece, goes on in a later one.
        name: MusicXML's name of the value; dots: how many.
        triplet: three of them in the time of two; tuplet: ``start`` or ``stop`` of the group, or empty.
        beams: for each level (eighths, sixteenths), MusicXML's word.
    """

    start: int
    ticks: int
    chord: Chord | None
    tied_from: bool
    tied_to: bool
    name: str
    dots: int
    triplet: bool
    tuplet: str = ""
    beams: tuple[str, ...] = ()


def measures(voice: Sequence[Chord], triplet_beats: frozenset[int], bars: Sequence[Bar]) -> list[list[Piece]]:
    """A voice as note values; every bar is filled with rests, so its pieces always add up to it.

    A bar of nothing but one rest is one piece of the bar's length, whose name has no meaning.
    """
    out: list[list[Piece]] = []
    sounds = _with_rests(voice, bars[-1].end)
    start, end, chord = next(sounds)
    for bar in bars:
        pieces: list[Piece] = []
        at = bar.start
        while at < bar.end:
            if at >= end:
                start, end, chord = next(sounds)
            stop = min(end, bar.end)
            if chord is None and at == bar.start and stop == bar.end:
                ticks = stop - at
            else:
                ticks = _ticks(at, stop, bar, triplet_beats, chord is None)
            triplet = ticks in (TRIPLET, 2 * TRIPLET)
            name, dots = _NAMES.get(ticks, ("", 0))
            tied = (chord is not None and at > start, chord is not None and at + ticks < end)
            pieces.append(Piece(at - bar.start, ticks, chord, *tied, name, dots, triplet))
            at += ticks
        out.append(_grouped(pieces, bar.metre.groups))
    return out


def _with_rests(voice: Iterable[Chord], end: int) -> Iterator[tuple[int, int, Chord | None]]:
    at = 0
    for chord in voice:
        if chord.start > at:
            yield at, chord.start, None
        yield chord.start, chord.end, chord
        at = chord.end
    if at < end:
        yield at, end, None


def _ticks(start: int, stop: int, bar: Bar, triplet_beats: frozenset[int], rest: bool) -> int:
    """How long the value is that begins at ``start`` and ends at ``stop`` or before."""
    group, first = 0, 0
    for length in bar.metre.groups:
        if bar.start + first + length > start:
            group = length
            break
        first += length
    place = start - bar.start - first
    if group == DOTTED_QUARTER:
        return _in_threes(place, stop - start, first, bar)
    if place:
        return _from_within(start, place, stop, bar, triplet_beats, rest)
    if bar.metre.denominator == 8:  # a quarter of 5/8 or 7/8: what follows is in another group
        stop = min(stop, start + QUARTER)
    return _from_beat(start, stop, bar, triplet_beats, rest)


def _in_threes(place: int, ticks: int, first: int, bar: Bar) -> int:
    """Within a dotted quarter; a dotted half where two of them begin a bar, or its second half."""
    if place == 0 and ticks >= 2 * DOTTED_QUARTER and first % (2 * DOTTED_QUARTER) == 0:
        return 2 * DOTTED_QUARTER
    if place % EIGHTH:
        return SIXTEENTH
    ticks = min(ticks, DOTTED_QUARTER - place)
    return next((value for value, places in _IN_THREES if value <= ticks and place in places), SIXTEENTH)


def _from_beat(start: int, stop: int, bar: Bar, triplet_beats: frozenset[int], rest: bool) -> int:
    for ticks, places in _RESTS_ON_BEATS if rest else _NOTES_ON_BEATS:
        divides = ticks % QUARTER and (start + ticks) // QUARTER in triplet_beats
        if start + ticks <= stop and (places is None or start - bar.start in places) and not divides:
            return ticks
    ticks = stop - start
    return EIGHTH if rest and ticks == EIGHTH + SIXTEENTH else ticks


def _from_within(start: int, place: int, stop: int, bar: Bar, triplet_beats: frozenset[int], rest: bool) -> int:
    """To the end of the beat at most, so that beats are seen; but a quarter may lie across one within half a bar."""
    beat_end = start - place + QUARTER
    in_bar = (start - place - bar.start) // QUARTER
    syncopated = place == EIGHTH and in_bar % 2 == 0 and beat_end // QUARTER not in triplet_beats
    if syncopated and not rest and stop >= start + QUARTER and bar.metre.denominator == 4:
        return QUARTER
    ticks = min(stop, beat_end) - start
    return SIXTEENTH if rest and ticks == EIGHTH + SIXTEENTH else ticks


def _grouped(bar: list[Piece], groups: Iterable[int]) -> list[Piece]:
    """With beams and tuplets, which both stay within a beat."""
    out: list[Piece] = []
    first = 0
    for length in groups:
        out += _beamed(_bracketed([piece for piece in bar if first <= piece.start < first + length]))
        first += length
    return out


def _bracketed(pieces: list[Piece]) -> list[Piece]:
    inside = [piece for piece in pieces if piece.triplet]
    marks = {id(inside[0]): "start", id(inside[-1]): "stop"} if inside else {}
    return [replace(piece, tuplet=marks.get(id(piece), "")) for piece in pieces]


def _beamed(pieces: list[Piece]) -> list[Piece]:
    out: list[Piece] = []
    run: list[Piece] = []
    for piece in pieces:
        if piece.chord is not None and piece.name in ("eighth", "16th"):
            run.append(piece)
            continue
        out += _joined(run)
        out.append(piece)
        run = []
    return out + _joined(run)


def _joined(run: list[Piece]) -> list[Piece]:
    if len(run) < 2:
        return run
    short = [piece.name == "16th" for piece in run]
    joined = []
    for index, piece in enumerate(run):
        first, last = index == 0, index == len(run) - 1
        beams = ["begin" if first else "end" if last else "continue"]
        if short[index]:
            before, after = not first and short[index - 1], not last and short[index + 1]
            alone = "forward hook" if first else "backward hook"
            beams.append("continue" if before and after else "end" if before else "begin" if after else alone)
        joined.append(replace(piece, beams=tuple(beams)))
    return joined
