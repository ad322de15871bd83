"""Notes out of what the note network says: where they start and end, how hard they were struck, and by what family."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.special
from numpy.typing import NDArray

from pipeline.notes import BENDS_PER_S, BENDS_PER_SEMITONE, Note
from pipeline.transcription.dynamics import LEAST_VELOCITY
from pipeline.transcription.note_listening import NoteEvidence
from pipeline.transcription.note_network import FRAME_S, STEP_S, STEPS_PER_FRAME
from pipeline.transcription.spectrum import FIRST_PITCH, N_PITCHES

FloatArray = NDArray[np.float32]

_ATTACK_FRAMES = 6
# How sure an onset is: a logistic function of its peak and of its hill, the mean logit about it.  The network was
# taught onsets as hills of some steps.  Fitted by tests/quality/tune_note_reading.py --fit to the weights that ship;
# NOTES.md there has songs and figures.
_LEAST_PEAK = -1.7  # logit; lower ones are not looked at
_HIGHEST_PEAK, _HILL_RANGE = 6.0, (-8.0, 4.0)
_HILL_STEPS = 3  # to either side
_INTERCEPT, _PEAK_WEIGHT, _HILL_WEIGHT = 0.67, 0.80, 0.57
_FIRST_HELD_STEP = 2  # of a note, from which on its key may be let go
# Bends.  A neighbour a semitone away has to be 6 dB louder than the note itself to be taken for it, one two semitones
# away 24 dB; further than that no string is bent.
_BEND_REACH = 7  # thirds of a semitone
_LEVEL_PER_BEND = 0.06 / BENDS_PER_SEMITONE**2  # levels have 100 dB to 1
_IN_TUNE = 1  # the bin of a pitch that is its middle


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How notes are read.

    Attributes:
        least_onset: how sure a note must be to be one, 0-1; NOTES.md of tests/quality has figures.
        apart_steps: an onset has the highest logit within so many steps to either side.
        held_bias: added to the logits of a held key; above 0 notes are longer.
        let_go: a key is up for good when the logits against it have come to this since they last spoke for it.
        longest_s: the longest a note may be.
        family_s: how much of a note tells its family.
    """

    least_onset: float = 0.45
    apart_steps: int = 3
    held_bias: float = 0.0
    let_go: float = 20.0
    longest_s: float = 20.0
    family_s: float = 0.3


@dataclass(frozen=True, slots=True)
class ReadNote:
    """A note, and what may have played it.

    Attributes:
        note: its times count from the start of the stem.
        family: log-probability that it was an instrument of each of :data:`pipeline.instrument_families.FAMILIES`.
        level: how loud its attack is: decibels by the hundred, on the scale of the network's spectra.
    """

    note: Note
    family: tuple[float, ...]
    level: float = 0.0


def read_notes(
    evidence: NoteEvidence, settings: ReadingSettings | None = None, within: range | None = None
) -> list[ReadNote]:
    """Notes by onset, then pitch.

    Args:
        evidence: of a stem or a part of it.
        settings: the defaults, if None.
        within: the frames of the stem in which the notes start; all of the evidence if None.
    """
    settings = settings or ReadingSettings()
    steps, columns, sure = _onsets(evidence.onset, settings)
    ends = _ends(evidence.sounding, steps, columns, settings)
    if within is not None:
        first = evidence.first_frame
        inside = slice(*(STEPS_PER_FRAME * (frame - first) for frame in (within.start, within.stop)))
        kept = (steps >= inside.start) & (steps < inside.stop)
    else:
        kept = np.ones(len(steps), dtype=np.bool_)
    begun = evidence.first_frame * STEPS_PER_FRAME
    start_s = np.maximum((begun + steps + _vertices(scipy.special.expit(evidence.onset), steps, columns)) * STEP_S, 0.0)
    # A key that is struck again was let go by then: between two steps too
    next_start_s = np.where(np.diff(columns, append=-1) == 0, np.append(start_s[1:], 0.0), np.inf)
    end_s = np.minimum((begun + ends) * STEP_S, next_start_s)
    steps, columns, sure, ends, start_s, end_s = (one[kept] for one in (steps, columns, sure, ends, start_s, end_s))
    frames = steps // STEPS_PER_FRAME
    velocity = np.clip(_velocities(evidence, frames, columns), LEAST_VELOCITY, 1.0)
    stops = np.minimum(-(-ends // STEPS_PER_FRAME), frames + max(round(settings.family_s / FRAME_S), 1))
    read = [
        ReadNote(
            Note(
                pitch=FIRST_PITCH + column,
                start_s=start,
                end_s=end,
                velocity=loud,
                confidence=confidence,
                bends=_bends(evidence, column, start, end),
            ),
            _family(evidence, column, frame, stop),
            _level(evidence, column, frame),
        )
        for column, start, end, loud, confidence, frame, stop in zip(
            columns.tolist(),
            start_s.tolist(),
            end_s.tolist(),
            velocity.astype(np.float64).tolist(),
            sure.tolist(),
            frames.tolist(),
            stops.tolist(),
            strict=True,
        )
    ]
    return sorted(read, key=lambda one: (one.note.start_s, one.note.pitch))


def _onsets(
    onset: FloatArray, settings: ReadingSettings
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Where notes start, column by column: steps, columns, how sure, 0-1."""
    steps, columns = onset_peaks(onset, settings.apart_steps)
    peak, hill = onset_evidence(onset, steps, columns)
    sure = scipy.special.expit(_INTERCEPT + _PEAK_WEIGHT * peak + _HILL_WEIGHT * hill)
    chosen = sure >= settings.least_onset
    return steps[chosen], columns[chosen], sure[chosen]


def onset_peaks(onset: FloatArray, apart_steps: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where notes might start: steps and columns, each (n_peaks,), column by column.

    Args:
        onset: logits, (n_steps, n_columns).
        apart_steps: a peak is the highest within so many steps to either side; the first of equals that are next to
            each other.
    """
    highest = scipy.ndimage.maximum_filter1d(onset, 2 * apart_steps + 1, axis=0, mode="constant", cval=-np.inf)
    columns, steps = np.nonzero(((onset >= _LEAST_PEAK) & (onset >= highest)).T)
    again = (np.diff(steps, prepend=-1 - apart_steps) <= apart_steps) & (np.diff(columns, prepend=-1) == 0)
    return steps[~again], columns[~again]


def onset_evidence(
    onset: FloatArray, steps: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What speaks for peaks being onsets: their logits, and the mean logits of seven steps about them, both clipped.

    Before the first step and after the last one the hill is taken to go on as on its other side.

    Args:
        onset: logits, (n_steps, n_columns).
        steps: of the peaks, (n_peaks,).
        columns: the same.

    Returns:
        Two arrays of (n_peaks,).
    """
    away = np.arange(-_HILL_STEPS, _HILL_STEPS + 1)[:, None]
    about = steps + away
    about = np.where((about < 0) | (about >= len(onset)), steps - away, about)
    about = np.clip(about, 0, max(len(onset) - 1, 0))  # of a few steps in all
    peak = np.minimum(onset[steps, columns], _HIGHEST_PEAK).astype(np.float64)
    hill = np.clip(onset[about, columns], *_HILL_RANGE).astype(np.float64).mean(axis=0)
    return peak, hill


def _vertices(onset: FloatArray, steps: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where parabolas through peaks and their neighbours are highest, -0.5 to 0.5 steps from them."""
    padded = np.pad(onset, ((1, 1), (0, 0))).astype(np.float64)
    left, middle, right = (padded[steps + by, columns] for by in range(3))
    bend = 2 * middle - left - right
    return np.clip(np.divide(0.5 * (right - left), bend, out=np.zeros_like(bend), where=bend > 1e-6), -0.5, 0.5)


def _ends(
    sounding: FloatArray, steps: NDArray[np.intp], columns: NDArray[np.intp], settings: ReadingSettings
) -> NDArray[np.intp]:
    """Steps in which notes end: where all that was heard of their key since speaks most for its having been held."""
    following = np.append(steps[1:], 0)
    following[np.append(np.diff(columns) != 0, True)] = len(sounding)
    following = np.minimum(following, steps + round(settings.longest_s / STEP_S))
    keys = np.ascontiguousarray(sounding.T)
    ends = steps + _FIRST_HELD_STEP
    for index, (step, stop, column) in enumerate(
        zip(steps.tolist(), following.tolist(), columns.tolist(), strict=True)
    ):
        held = np.cumsum(keys[column, step + _FIRST_HELD_STEP : stop], dtype=np.float64)
        held += settings.held_bias * np.arange(1, len(held) + 1)
        most = np.maximum.accumulate(np.maximum(held, 0.0))
        up = np.flatnonzero(most - held > settings.let_go)
        held = held[: up[0] if len(up) else None]
        if len(held) and held.max() > 0:
            ends[index] += int(held.argmax()) + 1
    return np.asarray(np.minimum(ends, np.maximum(following, steps + 1)))


def _velocities(evidence: NoteEvidence, frames: NDArray[np.intp], columns: NDArray[np.intp]) -> FloatArray:
    """The mean of what is said of a note in the three frames in which the network was taught to say it."""
    about = np.clip(frames + np.arange(-1, 2)[:, None], 0, len(evidence.velocity) - 1)
    return np.asarray(evidence.velocity[about, columns].mean(axis=0))


def _family(evidence: NoteEvidence, column: int, frame: int, stop: int) -> tuple[float, ...]:
    """Log-probabilities of the families by the frames from one to before another, which are at least one."""
    logits = evidence.family[frame : max(stop, frame + 1), column].astype(np.float64)
    mean = scipy.special.log_softmax(logits, axis=1).mean(axis=0)
    return tuple((mean - scipy.special.logsumexp(mean)).tolist())


def _level(evidence: NoteEvidence, column: int, frame: int) -> float:
    """The highest level of the pitch about a tenth of a second after a frame; the long window sees it before that."""
    bins = slice(BENDS_PER_SEMITONE * column, BENDS_PER_SEMITONE * (column + 1))
    return float(evidence.contour[max(frame - 1, 0) : frame + _ATTACK_FRAMES, bins].max())


def _bends(evidence: NoteEvidence, column: int, start_s: float, end_s: float) -> tuple[int, ...]:
    """:attr:`pipeline.notes.Note.bends`: the loudest third of a semitone about the pitch, near ones preferred."""
    moments_s = np.linspace(start_s, end_s, max(round((end_s - start_s) * BENDS_PER_S), 1))
    frames = np.rint(moments_s / FRAME_S).astype(np.int64) - evidence.first_frame
    frames = np.clip(frames, 0, len(evidence.contour) - 1)
    first = int(frames[0])
    middle = BENDS_PER_SEMITONE * column + _IN_TUNE
    low, high = max(middle - _BEND_REACH, 0), min(middle + _BEND_REACH + 1, BENDS_PER_SEMITONE * N_PITCHES)
    away = np.arange(low, high) - middle
    levels = evidence.contour[first : int(frames[-1]) + 1, low:high].astype(np.float32)
    bends = away[(levels - np.float32(_LEVEL_PER_BEND) * (away**2).astype(np.float32)).argmax(axis=1)]
    return tuple(bends[frames - first].tolist())
