"""From what a bass sounds like, frame by frame, to the odds that a pitch sounds there, that it starts, how loud.

A small network looks at every pitch by itself, through the same weights: how strong its partials are, how they change
over a quarter of a second, whether the pitch tracker votes for it.  The weights were fitted with the code of
``tests/quality/tune_bass.py`` on lines composed and rendered there, and on stems rendered from multitrack MIDI files of
pop songs; no recorded music went into them.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.progress import OnProgress, unheard
from pipeline.transcription.bass_features import (
    DB_PER_UNIT,
    FIRST_SEMITONE,
    FLOOR_DB,
    BassFeatures,
    FloatArray,
)

WEIGHTS_PATH = Path(__file__).with_name("bass_network.npz")
FIRST_PITCH, N_PITCHES = 21, 50  # A0, a tone below a five-string bass, to B flat 4
# Semitones from a pitch to where it is looked at: its octave below (is it only the second partial of another note?),
# neighbours, partials 1-6, and one and a half and two and a half times its frequency (partials of the octave below).
LONG_SEMITONES = (-12, -1, 0, 1, 7, 12, 16, 19, 24, 28, 31)
SHORT_SEMITONES = (-12, 0, 12, 19, 24, 28, 31)
VOTE_SEMITONES = (-12, 0, 12)
# Frames from a frame to those that are looked at, in the two layers
FIRST_OFFSETS = (-8, -4, -2, -1, 0, 1, 2, 4, 8, 16)
SECOND_OFFSETS = (-6, -3, -1, 0, 1, 3, 6)
BLOCK_FRAMES = 500  # bounds memory: 25 MB of the first layer at a time


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the network says of each frame, every 10 ms, and each of 50 pitches from MIDI 21.

    Attributes:
        sounding: float32, (n_frames, 50): log-odds that the pitch sounds rather than nothing.
        onset: float32, (n_frames, 50): log-odds that a note of this pitch starts.
        velocity: float32, (n_frames, 50): 0-1, of a note that starts here.
    """

    sounding: FloatArray
    onset: FloatArray
    velocity: FloatArray


@cache
def _weights() -> dict[str, FloatArray]:
    with np.load(WEIGHTS_PATH) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def evidence(features: BassFeatures, on_progress: OnProgress = unheard) -> Evidence:
    """Run the network over a whole recording; ``on_progress`` is told of every five seconds of it."""
    n_frames = len(features.bands)
    margin = FIRST_OFFSETS[-1] + SECOND_OFFSETS[-1]
    out = np.empty((n_frames, N_PITCHES, 3), dtype=np.float32)
    for start in range(0, n_frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, n_frames)
        first = max(start - margin, 0)
        out[start:stop] = _outputs(frames_of(features, first, stop + margin))[start - first : stop - first]
        on_progress(stop / n_frames)
    velocity = 1.0 / (1.0 + np.exp(-out[..., 2]))
    return Evidence(out[..., 0], out[..., 1], velocity.astype(np.float32))


def frames_of(features: BassFeatures, first: int, stop: int) -> BassFeatures:
    """Some frames in a row."""
    rows = slice(first, stop)
    return BassFeatures(
        features.spectra[rows], features.bands[rows], features.votes[rows], features.voicing[rows], features.tuning
    )


def looked_at(features: BassFeatures) -> FloatArray:
    """What the network sees of every frame and pitch: (n_frames, 50, n_channels)."""
    missing = 12 - (FIRST_PITCH - FIRST_SEMITONE)  # the lowest pitches' octave below is not in the features
    votes = np.pad(features.votes, ((0, 0), (0, 0), (missing, 0)))
    beyond = ((0, 0), (0, 0), (missing, max(LONG_SEMITONES)))
    spectra = np.pad(features.spectra, beyond, constant_values=np.float32(FLOOR_DB / DB_PER_UNIT))
    channels = []
    for row, semitones in enumerate((LONG_SEMITONES, SHORT_SEMITONES)):
        channels += [spectra[:, row, 12 + up : 12 + up + N_PITCHES] for up in semitones]
    for row in range(votes.shape[1]):
        channels += [votes[:, row, 12 + up : 12 + up + N_PITCHES] for up in VOTE_SEMITONES]
    place = np.arange(N_PITCHES, dtype=np.float32) / N_PITCHES
    channels.append(np.broadcast_to(place, (len(spectra), N_PITCHES)))
    return np.stack(channels, axis=-1)


def surroundings(features: BassFeatures) -> FloatArray:
    """What the network sees of a frame whatever the pitch: (n_frames, n_channels)."""
    return np.concatenate([features.bands, features.voicing, features.spectra.max(axis=-1)], axis=-1)


def _outputs(features: BassFeatures) -> FloatArray:
    """What the last layer gives for some frames in a row: (n_frames, 50, 3)."""
    weights = _weights()
    first = _along_time(looked_at(features), weights["first"], FIRST_OFFSETS)
    first += _along_time(surroundings(features)[:, None], weights["around"], FIRST_OFFSETS)
    hidden = np.maximum(first + weights["first_bias"], 0.0)
    second = np.maximum(_along_time(hidden, weights["second"], SECOND_OFFSETS) + weights["second_bias"], 0.0)
    return np.asarray(second @ weights["output"] + weights["output_bias"], dtype=np.float32)


def _along_time(values: FloatArray, weights: FloatArray, offsets: tuple[int, ...]) -> FloatArray:
    """A layer that sees, of every row of frames, those at some offsets; the ends go on as they are.

    ``values`` are (n_frames, n_rows, n_inputs), ``weights`` (n_offsets, n_inputs, n_outputs).
    """
    n_frames, n_rows, _ = values.shape
    before, after = -min(offsets), max(offsets)
    padded = np.pad(values, ((before, after), (0, 0), (0, 0)), mode="edge")
    out = np.zeros((n_frames, n_rows, weights.shape[-1]), dtype=np.float32)
    # Offset by offset, and a product for each frame: 0.003 of the audio's duration.  One large product takes 0.006 on
    # one thread, and 0.019 on two of a busy machine, which wait for each other.
    for offset, weight in zip(offsets, weights, strict=True):
        out += padded[before + offset : before + offset + n_frames] @ weight
    return out
