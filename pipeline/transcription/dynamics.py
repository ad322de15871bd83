"""How hard notes were struck: what the network says of each, how loud each is beside the others, who has the tune.

The loudness of different instruments says little of how hard each is played, which of them has the tune more.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

if TYPE_CHECKING:  # imports torch
    from pipeline.transcription.note_reading import ReadNote

_Floats = NDArray[np.float64]
_Pitches = NDArray[np.int64]

LEAST_VELOCITY = 1 / 127
_FEWEST_FOR_A_LINE = 8
# Correlation with the true velocities, by the weights of the second training (note_network.md), twelve songs that
# nothing was trained on; guitars alone, other alone, other and vocals after separation.  The network alone .514, .486,
# .387; with .5 of what lies above the line .576, .568, .415; with 1 of it .573, .586, .412; with 2 .546, .576, .398.
# With 1, and for the tune .05: .559, .588, .447; .1: .528, .574, .469; .15: .496, .555, .480.
_VELOCITY_PER_LEVEL = 1.0  # of 100 dB
_TUNE_VELOCITY = 0.075
_TUNE_SPAN_S, _TUNE_SPAN_PITCHES = 17, 7  # a voice is what lies so near a note, to both sides together
_TOGETHER_S = 0.05  # notes that start no later than this after another start with it
_MOMENTS_PER_S = 86.0


def with_dynamics(notes: "Sequence[ReadNote]") -> "list[ReadNote]":
    """The notes of a stem, in order of their onsets, with velocities as the module says."""
    if len(notes) < _FEWEST_FOR_A_LINE:
        return list(notes)
    start_s, end_s, velocity = np.array([(read.note.start_s, read.note.end_s, read.note.velocity) for read in notes]).T
    pitches = np.array([read.note.pitch for read in notes])
    louder = above_line(np.array([read.level for read in notes]), pitches)
    tune = tune_share(start_s, end_s, pitches)
    heard = velocity + _VELOCITY_PER_LEVEL * louder + _TUNE_VELOCITY * (tune - tune.mean())
    return [
        replace(read, note=replace(read.note, velocity=velocity))
        for read, velocity in zip(notes, np.clip(heard, LEAST_VELOCITY, 1.0).tolist(), strict=True)
    ]


def above_line(levels: _Floats, pitches: _Pitches) -> _Floats:
    """How far levels lie above the line that they follow over the pitch."""
    from_middle = pitches - pitches.mean()
    slope = float(from_middle @ levels) / max(float(from_middle @ from_middle), 1.0)
    above: _Floats = levels - levels.mean() - slope * from_middle
    return above


def highest(start_s: _Floats, end_s: _Floats, pitches: _Pitches) -> NDArray[np.bool_]:
    """Whether no higher note sounds :data:`_TOGETHER_S` after the start of each; all of shape (n_notes,)."""
    starts, ends, looks = (
        np.rint(_MOMENTS_PER_S * times_s).astype(np.int64) for times_s in (start_s, end_s, start_s + _TOGETHER_S)
    )
    top = np.full(max(ends.max(), looks.max()) + 1, -1)
    for note in np.argsort(pitches, kind="stable").tolist():  # the higher overwrites the lower
        top[starts[note] : ends[note]] = pitches[note]
    return top[looks] <= pitches


def tune_share(start_s: _Floats, end_s: _Floats, pitches: _Pitches) -> _Floats:
    """How many of the notes about each, itself among them, are the highest, 0-1; all of shape (n_notes,)."""
    cells = start_s.astype(np.int64), pitches
    counts = np.zeros((2, cells[0].max() + 1, pitches.max() + 1))
    np.add.at(counts[0], cells, highest(start_s, end_s, pitches))
    np.add.at(counts[1], cells, 1.0)
    tune, notes = scipy.ndimage.uniform_filter(counts, (1, _TUNE_SPAN_S, _TUNE_SPAN_PITCHES), mode="constant")
    share: _Floats = tune[cells] / notes[cells]
    return share
