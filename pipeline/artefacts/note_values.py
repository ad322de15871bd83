"""Chords and rests cut into the values that notation has, measure by measure, with ties, beams and tuplets."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.artefacts.rhythm import BAR, BEAT, EIGHTH, SIXTEENTH, TRIPLET, Chord

# Value in ticks from places of the bar (in ticks) where it can be read at a glance; longer ones first.
_NOTES_ON_BEATS = ((48, (0,)), (36, (0, 12)), (24, (0, 12, 24)), (18, (0, 24)), (12, (0, 12, 24, 36)))
_RESTS_ON_BEATS = ((48, (0,)), (24, (0, 24)), (12, (0, 12, 24, 36)))
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


def measures(voice: Sequence[Chord], triplet_beats: frozenset[int], n_measures: int) -> list[list[Piece]]:
    """A voice as note values; every measure is filled with rests, so its pieces always add up to a bar."""
    bars: list[list[Piece]] = [[] for _ in range(n_measures)]
    for start, end, chord in _with_rests(voice, n_measures * BAR):
        cuts = list(_cut(start, end, triplet_beats, chord is None))
        for at, ticks in cuts:
            triplet = ticks in (TRIPLET, 2 * TRIPLET)
            name, dots = _NAMES[ticks]
            sounding = chord is not None
            tied = (sounding and at > start, sounding and at + ticks < end)
            bars[at // BAR].append(Piece(at % BAR, ticks, chord, *tied, name, dots, triplet))
    return [_grouped(bar) for bar in bars]


def _with_rests(voice: Iterable[Chord], end: int) -> Iterator[tuple[int, int, Chord | None]]:
    at = 0
    for chord in voice:
        if chord.start > at:
            yield at, chord.start, None
        yield chord.start, chord.end, chord
        at = chord.end
    if at < end:
        yield at, end, None


def _cut(start: int, end: int, triplet_beats: frozenset[int], rest: bool) -> Iterator[tuple[int, int]]:
    """Start and length of each value, none across a barline."""
    while start < end:
        stop = min(end, (start // BAR + 1) * BAR)
        if start % BEAT:
            ticks = _from_within(start, stop, triplet_beats, rest)
        else:
            ticks = _from_beat(start, stop, triplet_beats, rest)
        yield start, ticks
        start += ticks


def _from_beat(start: int, stop: int, triplet_beats: frozenset[int], rest: bool) -> int:
    for ticks, places in _RESTS_ON_BEATS if rest else _NOTES_ON_BEATS:
        divides = ticks % BEAT and (start + ticks) // BEAT in triplet_beats
        if start + ticks <= stop and start % BAR in places and not divides:
            return ticks
    ticks = stop - start
    return EIGHTH if rest and ticks == EIGHTH + SIXTEENTH else ticks


def _from_within(start: int, stop: int, triplet_beats: frozenset[int], rest: bool) -> int:
    """To the end of the beat at most, so that beats are seen; but a quarter may lie across one within half a bar."""
    beat, place = divmod(start, BEAT)
    syncopated = place == EIGHTH and beat % 2 == 0 and beat + 1 not in triplet_beats
    if syncopated and not rest and stop >= start + BEAT:
        return BEAT
    ticks = min(stop, (beat + 1) * BEAT) - start
    return SIXTEENTH if rest and ticks == EIGHTH + SIXTEENTH else ticks


def _grouped(bar: list[Piece]) -> list[Piece]:
    """With beams and tuplets, which both stay within a beat."""
    out: list[Piece] = []
    for beat in range(BAR // BEAT):
        out += _beamed(_bracketed([piece for piece in bar if piece.start // BEAT == beat]))
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
