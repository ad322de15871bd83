"""Many notes at once: Basic Pitch's network proposes notes, small networks of our own judge them by their partials.

Basic Pitch's activations, peak by peak and far below its thresholds, give some two hundred candidates a second.  What
speaks for each (:mod:`pipeline.transcription.note_evidence`: activations there and at related pitches, levels of the
partials before and after) goes through one small feed-forward network, which says how surely a note starts there, and
when exactly.  For every note that is kept a second one says, frame by frame, whether its key is still held: the end is
where that changes most plainly.  A third one makes velocity of the energy of the attack; the voice that is mostly the
highest, the tune, is taken to be played harder than what lies under it.

All were fitted with the code of ``tests/quality/tune_polyphonic.py`` on music made up, and on pop MIDI files, rendered
with freely licensed soundfonts.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import scipy.ndimage
import soxr
from numpy.typing import NDArray

from pipeline.notes import Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.basic_pitch import Activations, BasicPitchNetwork
from pipeline.transcription.note_decoding import LOWEST_PITCH
from pipeline.transcription.note_evidence import (
    Evidence,
    attack_levels,
    candidates,
    gather,
    hold_features,
    note_features,
    velocity_features,
)
from pipeline.transcription.partials import HOP_SAMPLES, RATE_HZ, FloatArray, band_levels

IntArray = NDArray[np.int64]

WEIGHTS_PATH = Path(__file__).with_name("polyphonic_networks.npz")
FRAMES_PER_S = RATE_HZ / HOP_SAMPLES
# Of the notes of twelve rendered songs 94 % have a candidate at this level, after separation 92 %; at 0.1 it is 95 %
# and 96 %, but 900 candidates a second instead of 200: the activations' noise.
LEAST_ONSET = 0.15
SHIFT_S = 1 / 40  # one unit of the network's correction of an onset's time
SAME_NOTE_S = 0.05  # of two candidates of a pitch so near each other only the surer one is a note
NOTES_PER_BLOCK = 256  # bounds memory where ends are looked for
CANDIDATES_PER_BLOCK = 8192
FIRST_HELD_FRAME = 3
HELD_STEP_FRAMES = 2  # ends are known to 23 ms, a quarter of what the strictest metric allows to both sides
LONGEST_NOTE_FRAMES = round(8.0 * FRAMES_PER_S)
LEAST_VELOCITY = 1 / 127
# The loudness of different instruments says little of how hard each is played; which of them has the tune says more.
# Correlation of velocities over all pitched stems, by networks fitted without the song: of ten songs, separated, at 0
# .467, .15 .516, .2 .519, .25 .517; of instruments mixed at random, whose sounds nothing was fitted on, .182, .261,
# .281, .295; but in true stems of guitar .606, .604, .596, .584.
TUNE_VELOCITY = 0.15
TUNE_SPAN_S, TUNE_SPAN_PITCHES = 17, 7  # a voice is what lies so near a note, to both sides together
TOGETHER_S = 0.05  # notes that start no later than this after another start with it
_NETWORK_SHARE = 0.7  # of the time; levels, then notes, take the rest
_LEVELS_SHARE = 0.5  # of that


@dataclass(frozen=True, slots=True)
class DecodingSettings:
    """How the notes of one kind of stem are chosen.

    Attributes:
        least_confidence: notes less sure than this are left out, 0-1.
        held_bias: added to the evidence that a key is still held; above 0 notes are longer.
    """

    least_confidence: float
    held_bias: float = 0.0


# Onset F on stems that took no part in the fit is flat about its maximum (at .3, .4, .5): phrases .789, .801, .804;
# guitar .893, .896, .879; one voice .871, .911, .914; "other" after separation .633, .641, .628, and in an earlier fit
# on three other songs .582, .574, .564 (.25, .35, .45): separation leaves quiet notes less sure.
PIANO = DecodingSettings(0.45)
GUITAR = DecodingSettings(0.4)
OTHER = DecodingSettings(0.35)
BASS = DecodingSettings(0.4)
VOCALS = DecodingSettings(0.45)


@dataclass(frozen=True)
class Layers:
    """A feed-forward network: (weights, bias) of each layer, rectified between layers."""

    layers: tuple[tuple[FloatArray, FloatArray], ...]

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Outputs, shape (n, n_outputs), of inputs (n, n_inputs)."""
        values = inputs
        for depth, (weights, bias) in enumerate(self.layers):
            values = (np.maximum(values, 0.0) if depth else values) @ weights + bias
        return values


@dataclass(frozen=True)
class Networks:
    """What judges notes (logit, onset shift), whether a key is held (logit), and how hard it was struck (velocity)."""

    note: Layers
    held: Layers
    velocity: Layers


@cache
def networks() -> Networks:
    """Those that come with the package; loaded once."""
    with np.load(WEIGHTS_PATH) as stored:
        return Networks(_layers(stored, "note"), _layers(stored, "held"), _layers(stored, "velocity"))


def _layers(stored: np.lib.npyio.NpzFile, name: str) -> Layers:
    depth = sum(1 for key in stored.files if key.startswith(f"{name}_weights_"))
    return Layers(
        tuple(
            (stored[f"{name}_weights_{i}"].astype(np.float32), stored[f"{name}_bias_{i}"].astype(np.float32))
            for i in range(depth)
        )
    )


class PolyphonicTranscriber:
    """Notes of one pitched stem.

    Args:
        network: may be shared with other transcribers.
        settings: of the kind of stem.
    """

    def __init__(self, network: BasicPitchNetwork, settings: DecodingSettings = OTHER) -> None:
        self._network = network
        self._settings = settings

    def transcribe(self, samples: FloatArray, rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """Notes by onset, then pitch, from MIDI 21 to 108; confidence is the network's probability.

        Args:
            samples: float32 mono, shape (n_samples,), any length.
            rate_hz: sample rate in Hz.
            on_progress: told several times a second.
        """
        heard = samples if rate_hz == RATE_HZ else soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ")
        if not len(heard):
            return []
        activations = self._network.activations(heard, RATE_HZ, part(on_progress, 0.0, _NETWORK_SHARE))
        return self.notes(heard, activations, part(on_progress, _NETWORK_SHARE, 1.0))

    def notes(self, samples: FloatArray, activations: Activations, on_progress: OnProgress = unheard) -> list[Note]:
        """As :meth:`transcribe`, where Basic Pitch was heard already.

        Args:
            samples: float32 mono, shape (n_samples,), 22 050 Hz, not empty.
            activations: of these samples.
            on_progress: told several times a second.
        """
        levels = band_levels(samples, part(on_progress, 0.0, _LEVELS_SHARE))
        notes = decode(gather(activations, levels), self._settings, part(on_progress, _LEVELS_SHARE, 1.0))
        on_progress(1.0)
        return [replace(note, bends=activations.note_bends(note)) for note in notes]


def decode(
    evidence: Evidence, settings: DecodingSettings, on_progress: OnProgress = unheard, *, judges: Networks | None = None
) -> list[Note]:
    """Notes by onset, then pitch, from what was heard; judged by :func:`networks` if not by others."""
    judges = judges or networks()
    frames, columns = candidates(evidence, LEAST_ONSET)
    if not len(frames):
        return []
    blocks = []
    for start in range(0, len(frames), CANDIDATES_PER_BLOCK):
        on_progress(0.5 * start / len(frames))
        block = slice(start, start + CANDIDATES_PER_BLOCK)
        blocks.append(judges.note(note_features(evidence, frames[block], columns[block])))
    logits, shifts = np.concatenate(blocks).T
    confidence = 1 / (1 + np.exp(-logits))
    times_s = np.maximum(frames / FRAMES_PER_S + SHIFT_S * shifts, 0.0)
    kept = _apart(times_s, columns, confidence, settings.least_confidence)
    if not len(kept):
        return []
    kept = kept[np.lexsort((columns[kept], times_s[kept]))]
    start_s, column = times_s[kept], columns[kept]
    starts = np.minimum(np.rint(start_s * FRAMES_PER_S).astype(np.int64), evidence.n_frames - 1)
    end_s = _ends(evidence, judges.held, starts, column, settings.held_bias, part(on_progress, 0.5, 1.0)) / FRAMES_PER_S
    struck = judges.velocity(velocity_features(evidence, frames[kept], column))[:, 0]
    velocity = np.clip(struck + TUNE_VELOCITY * tune_share(start_s, end_s, column), LEAST_VELOCITY, 1.0)
    return [
        Note(LOWEST_PITCH + pitch, start, end, loud, sure)
        for pitch, start, end, loud, sure in zip(
            column.tolist(), start_s.tolist(), end_s.tolist(), velocity.tolist(), confidence[kept].tolist(), strict=True
        )
    ]


def highest(start_s: NDArray[np.float64], end_s: NDArray[np.float64], pitches: IntArray) -> NDArray[np.bool_]:
    """Whether no higher note sounds :data:`TOGETHER_S` after the start of each; all of shape (n_notes,)."""
    starts, ends, looks = (
        np.rint(FRAMES_PER_S * times_s).astype(np.int64) for times_s in (start_s, end_s, start_s + TOGETHER_S)
    )
    top = np.full(max(ends.max(), looks.max()) + 1, -1)
    for note in np.argsort(pitches, kind="stable").tolist():  # the higher overwrites the lower
        top[starts[note] : ends[note]] = pitches[note]
    return top[looks] <= pitches


def tune_share(start_s: NDArray[np.float64], end_s: NDArray[np.float64], pitches: IntArray) -> NDArray[np.float64]:
    """How many of the notes about each, itself among them, are the highest, 0-1; all of shape (n_notes,)."""
    cells = start_s.astype(np.int64), pitches
    counts = np.zeros((2, cells[0].max() + 1, pitches.max() + 1))
    np.add.at(counts[0], cells, highest(start_s, end_s, pitches))
    np.add.at(counts[1], cells, 1.0)
    tune, notes = scipy.ndimage.uniform_filter(counts, (1, TUNE_SPAN_S, TUNE_SPAN_PITCHES), mode="constant")
    share: NDArray[np.float64] = tune[cells] / notes[cells]
    return share


def _apart(times_s: NDArray[np.float64], columns: IntArray, confidence: FloatArray, least: float) -> IntArray:
    """Indices of candidates that are sure enough and, of those of a pitch near each other, the surest."""
    sure = np.flatnonzero(confidence >= least)
    taken: dict[int, list[float]] = {}
    kept = []
    for index in sure[np.argsort(-confidence[sure], kind="stable")].tolist():
        time_s, others = times_s[index], taken.setdefault(columns[index], [])
        at = bisect_left(others, time_s)
        if (at == 0 or time_s - others[at - 1] >= SAME_NOTE_S) and (
            at == len(others) or others[at] - time_s >= SAME_NOTE_S
        ):
            others.insert(at, time_s)
            kept.append(index)
    return np.array(kept, dtype=np.int64)


def _ends(
    evidence: Evidence, held: Layers, starts: IntArray, columns: IntArray, bias: float, on_progress: OnProgress
) -> NDArray[np.float64]:
    """In which frame each note ends: where before it speaks most for a held key and after it most against one.

    No later than the next note of its pitch, the end of the audio or :data:`LONGEST_NOTE_FRAMES`.
    """
    order = np.lexsort((starts, columns))
    following = np.full(len(starts), evidence.n_frames, dtype=np.int64)
    again = columns[order][1:] == columns[order][:-1]
    following[order[:-1]] = np.where(again, starts[order][1:], evidence.n_frames)
    following = np.minimum(following, starts + LONGEST_NOTE_FRAMES)
    n_steps = np.maximum((following - starts - FIRST_HELD_FRAME) // HELD_STEP_FRAMES, 0)
    attacks = attack_levels(evidence, starts, columns)
    ends = np.empty(len(starts))
    by_length = np.argsort(n_steps, kind="stable")  # so that the notes of a block need about as many steps
    for begin in range(0, len(starts), NOTES_PER_BLOCK):
        on_progress(begin / len(starts))
        block = by_length[begin : begin + NOTES_PER_BLOCK]
        row, step = np.nonzero(np.arange(n_steps[block].max(initial=0)) < n_steps[block][:, None])
        note = block[row]
        frames = starts[note] + FIRST_HELD_FRAME + HELD_STEP_FRAMES * step
        logits = held(hold_features(evidence, frames, columns[note], starts[note], attacks[note]))[:, 0] + bias
        gain = np.full((len(block), n_steps[block].max(initial=0) + 1), -np.inf)
        gain[:, 0] = 0.0
        gain[row, step + 1] = logits
        last = np.cumsum(gain, axis=1).argmax(axis=1)
        ends[block] = starts[block] + FIRST_HELD_FRAME + HELD_STEP_FRAMES * (last - 0.5)
    return np.clip(ends, starts + 1.0, np.maximum(following, starts + 1.0))
