"""From seconds to note values: notes on a grid of sixteenths or triplets, in voices that can be written.

Time is in ticks, twelve to a quarter: a sixteenth is 3, an eighth of a triplet 4.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts.grid import EIGHTH, QUARTER, BeatGrid, FloatArray
from pipeline.artefacts.percussion import staff_place
from pipeline.notes import Instrument

SIXTEENTH = 3
TRIPLET = 4
_NEVER = 1 << 60

# Triplets are written where they explain a beat's onsets clearly better than sixteenths do: how often each place of a
# beat is used (sixteenths less than eighths), and players' standard deviation.
_STRAIGHT = ((0.0, 0.45), (0.25, 0.125), (0.5, 0.3), (0.75, 0.125))
_TRIPLET = ((0.0, 0.4), (1 / 3, 0.25), (2 / 3, 0.35))
_DEVIATION_S = 0.022
_CLEARLY = 0.8  # probability
_EARLY = 0.1  # of a beat: what comes so shortly before a beat is meant for it
_STRAY = 1e-3  # likelihood of an onset anywhere, so that one stray onset decides nothing


@dataclass(frozen=True, slots=True)
class Tone:
    """A note on the grid; ``start`` and ``end`` in ticks from the first bar."""

    pitch: int
    start: int
    end: int
    velocity: float


@dataclass(frozen=True, slots=True)
class Chord:
    """Tones written as one: they start and end together."""

    start: int
    end: int
    tones: tuple[Tone, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The notes of an instrument, ready to be written.

    Attributes:
        voices: one or two; the chords of a voice are in order and never overlap.
        triplet_beats: numbers of the quarters that are divided in three; all others are in sixteenths.
        staves: 2 for a keyboard whose hands are apart: the first voice on the upper staff, the second on the lower.
    """

    instrument: Instrument
    voices: tuple[tuple[Chord, ...], ...]
    triplet_beats: frozenset[int]
    staves: int = 1


def arrange(instruments: Sequence[Instrument], grid: BeatGrid) -> list[Part]:
    """Put every instrument on the grid and into at most two voices.

    What cannot be written in two voices is simplified: a tone ends where the next of its voice starts.
    """
    triplets = _triplet_beats(instruments, grid)
    parts = []
    for instrument, beats in zip(instruments, triplets, strict=True):
        tones = _quantised(instrument, grid, beats)
        if instrument.is_drum:
            parts.append(Part(instrument, _hands_and_feet(tones, beats, grid.metre.beat), beats))
        elif _needs_two_staves(instrument):
            upper = [tone for tone in tones if tone.pitch >= _MIDDLE_C]
            lower = [tone for tone in tones if tone.pitch < _MIDDLE_C]
            parts.append(Part(instrument, (_one_voice(upper, beats), _one_voice(lower, beats)), beats, staves=2))
        else:
            parts.append(Part(instrument, _one_or_two_voices(tones, beats), beats))
    return parts


_MIDDLE_C = 60
_KEYBOARDS = frozenset((*range(0, 24), 46))  # and the harp
_EACH_HAND = 0.1  # of the notes at least, or one staff will do


def _needs_two_staves(instrument: Instrument) -> bool:
    low = sum(note.pitch < _MIDDLE_C for note in instrument.notes)
    least = _EACH_HAND * len(instrument.notes)
    return instrument.program in _KEYBOARDS and low > least and len(instrument.notes) - low > least


def _triplet_beats(instruments: Sequence[Instrument], grid: BeatGrid) -> list[frozenset[int]]:
    """For each instrument, the beats that are clearly triplets; how usual they are in this song is estimated along."""
    if not grid.detected or grid.metre.beat != QUARTER:
        return [frozenset() for _ in instruments]
    deviation = _DEVIATION_S * grid.bpm / 60
    gains = [_triplet_gains(_positions(instrument, grid)[0], deviation) for instrument in instruments]
    pooled = np.array([gain for one in gains for gain in one.values()])
    usual = 0.2
    for _ in range(10):  # expectation maximisation; it has settled by then
        if len(pooled):
            usual = float(np.clip(_probability(pooled, usual).mean(), 1e-3, 0.999))
    return [
        frozenset(beat for beat, gain in one.items() if _probability(np.array(gain), usual) > _CLEARLY) for one in gains
    ]


def _probability(gain: FloatArray, usual: float) -> FloatArray:
    odds: FloatArray = usual / (1 - usual) * np.exp(np.clip(gain, -50, 50))
    return odds / (1 + odds)


def _triplet_gains(onsets: FloatArray, deviation: float) -> dict[int, float]:
    """By how much triplets explain each beat better than sixteenths: log of the ratio of likelihoods.

    Only beats with an onset within them are named; one that has an onset on the beat alone is neither.
    """
    beats = np.floor(onsets + _EARLY).astype(np.int64)
    places = onsets - beats

    def likelihood(places: FloatArray, uses: Iterable[tuple[float, float]]) -> FloatArray:
        total = np.full_like(places, _STRAY)
        for place, use in uses:
            off = (places - place + 0.5) % 1.0 - 0.5
            total += use / deviation * np.exp(-0.5 * (off / deviation) ** 2)
        return total

    gain = np.log(likelihood(places, _TRIPLET) / likelihood(places, _STRAIGHT))
    within = set(beats[places > _EARLY].tolist())
    sums: defaultdict[int, float] = defaultdict(float)
    for beat, value in zip(beats.tolist(), gain.tolist(), strict=True):
        if beat in within:
            sums[beat] += value
    return dict(sums)


def _positions(instrument: Instrument, grid: BeatGrid) -> tuple[FloatArray, FloatArray]:
    """Onsets and ends in beats."""
    times = np.array([(note.start_s, note.end_s) for note in instrument.notes]).reshape(-1, 2)
    return grid.position(times[:, 0]), grid.position(times[:, 1])


def _quantised(instrument: Instrument, grid: BeatGrid, triplets: frozenset[int]) -> list[Tone]:
    """Tones on the grid, by start, then pitch; of two that fall together the longer one."""
    onsets, ends = _positions(instrument, grid)
    beat = grid.metre.beat
    starts, stops = _snapped(onsets, beat, triplets), _snapped(ends, beat, triplets)
    tones: dict[tuple[int, int], Tone] = {}
    for note, start, stop in zip(instrument.notes, starts.tolist(), stops.tolist(), strict=True):
        shortest = TRIPLET if start // QUARTER in triplets else SIXTEENTH
        end = max(stop, start + shortest)
        if end > start + QUARTER and end // QUARTER in triplets:
            end = (end + EIGHTH) // QUARTER * QUARTER  # releases are not so exact that a long note would need a triplet
        tone = Tone(note.pitch, start, end, note.velocity)
        other = tones.get((start, note.pitch))
        if other is None or other.end < tone.end:
            tones[start, note.pitch] = tone
    return [tones[place] for place in sorted(tones)]


def _snapped(positions: FloatArray, beat: int, triplets: frozenset[int]) -> NDArray[np.int64]:
    """The nearest tick that the division of the beat has, which lasts ``beat`` ticks."""
    beats = np.floor(positions + _EARLY)
    places = positions - beats
    divided = np.isin(beats, np.array(sorted(triplets), dtype=np.float64))
    ticks = np.where(divided, np.rint(places * 3) * TRIPLET, np.rint(places * beat / SIXTEENTH) * SIXTEENTH)
    return (beats * beat + np.maximum(ticks, 0)).astype(np.int64)


def _one_voice(tones: Sequence[Tone], triplets: frozenset[int]) -> tuple[Chord, ...]:
    """Tones that start together are one chord, which lasts as its longest, but ends where the next starts.

    Gaps of a sixteenth are closed, and ends between eighths put off to the next where nothing starts before: that is
    how notes are played, not what is meant.
    """
    groups: defaultdict[int, list[Tone]] = defaultdict(list)
    for tone in tones:
        groups[tone.start].append(tone)
    starts = sorted(groups)
    chords = []
    for start, following in zip(starts, [*starts, _NEVER][1:], strict=True):
        end = max(tone.end for tone in groups[start])
        if end // QUARTER not in triplets:
            end = -(-end // EIGHTH) * EIGHTH
        if end >= following - SIXTEENTH:
            end = following
        chords.append(Chord(start, end, tuple(groups[start])))
    return tuple(chords)


def _one_or_two_voices(tones: Sequence[Tone], triplets: frozenset[int]) -> tuple[tuple[Chord, ...], ...]:
    """Tones that go on for an eighth or more while others start get a voice of their own, the higher one first.

    Looked at from the end, so that of long tones that overlap each is kept only if it gains from it.
    """
    groups: defaultdict[int, list[Tone]] = defaultdict(list)
    for tone in tones:
        groups[tone.start].append(tone)
    held: list[Tone] = []
    moving: list[Tone] = []
    next_start = next_held = _NEVER
    for start in sorted(groups, reverse=True):
        gains = next_held > next_start
        for tone in groups[start]:
            (held if gains and tone.end >= next_start + EIGHTH else moving).append(tone)
        if held and held[-1].start == start:
            next_held = start
        next_start = start
    if not held:
        return (_one_voice(tones, triplets),)
    voices = [voice for voice in (moving, held) if voice]
    voices.sort(key=lambda voice: -sum(tone.pitch for tone in voice) / len(voice))
    return tuple(_one_voice(voice, triplets) for voice in voices)


def _hands_and_feet(tones: Sequence[Tone], triplets: frozenset[int], beat: int) -> tuple[tuple[Chord, ...], ...]:
    """Strokes last until the next of their voice or the next beat, so that few rests are needed."""
    voices = []
    for foot in (False, True):
        chords = _one_voice([tone for tone in tones if staff_place(tone.pitch).foot == foot], triplets)
        ends = [*(chord.start for chord in chords), _NEVER][1:]
        voices.append(
            tuple(
                replace(chord, end=min(end, (chord.start // beat + 1) * beat))
                for chord, end in zip(chords, ends, strict=True)
            )
        )
    return tuple(voices)
