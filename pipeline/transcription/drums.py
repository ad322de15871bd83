"""Drum stem in, hits out.

A small feed-forward network reads the levels of 36 bands around every 10 ms frame (0.1 s back, 0.28 s ahead: a crash is
told from a hi-hat by how it rings) and gives, for seven kinds of stroke, the probability that one starts there and its
velocity.  Peaks of the probabilities are the hits.  The network's weights were fitted by ``tests/quality/fit_drums.py``
on performances made up and rendered from freely licensed drum samples; no recorded music went into them.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from pipeline.notes import Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.drum_features import (
    COARSE,
    FLOOR,
    FRAMES_PER_S,
    FloatArray,
    band_powers,
    loudness_db,
    relative_levels,
    resample,
)

LOW_CENTRES_HZ, N_BANDS = COARSE.low_hz, COARSE.count
WEIGHTS_PATH = Path(__file__).with_name("drum_network.npz")
KINDS = ("kick", "snare", "tom", "closed hat", "open hat", "crash", "ride")
LOW_TOM_KEY, MID_TOM_KEY, HIGH_TOM_KEY = 41, 45, 48
KEYS = {"kick": 36, "snare": 38, "closed hat": 42, "open hat": 46, "crash": 49, "ride": 51}
# Strokes of one family exclude each other: each has at most one at a time, of its most probable kind.
FAMILIES = ((0,), (1,), (2,), (3, 4), (5, 6))
TOM_FAMILY = FAMILIES[2]
# A tom below 100 Hz is a floor tom, above 150 Hz the smallest one of a usual set of three.
LOW_TOM_BELOW_HZ = 100.0
HIGH_TOM_ABOVE_HZ = 150.0
# Quieter than this (dB full scale, loud parts) there is no drum stem, only what a separator left of other instruments.
SILENCE_DB = -60.0
# A stroke is one that is more likely than not.  On rendered grooves of unseen kits F is .784 here and .790 at its
# maximum, 0.35; recordings are less busy than those grooves, and there the higher threshold does better.
THRESHOLD = 0.5
PEAK_FRAMES = 3  # a stroke must be the highest within 30 ms to both sides: faster than any roll
_FEATURES_SHARE = 0.75  # of the time; the network takes nearly all of the rest
NOMINAL_LENGTH_S = 0.1  # drums have no key release; MIDI wants an end


@dataclass(frozen=True)
class _Network:
    """Two hidden layers; ``context`` has one (36, n_hidden) matrix for each frame offset."""

    offsets: tuple[int, ...]
    context: FloatArray
    profile: FloatArray
    bias: FloatArray
    hidden: FloatArray
    hidden_bias: FloatArray
    output: FloatArray
    output_bias: FloatArray

    def __call__(
        self, levels: FloatArray, profile: FloatArray, on_progress: OnProgress
    ) -> tuple[FloatArray, FloatArray]:
        """Probabilities and velocities, both (n_frames, 7), 0-1, from levels (n_frames, 36) and the profile (36,).

        Before every frame offset ``on_progress`` is told how much is done.
        """
        n_frames = len(levels)
        before, after = -min(self.offsets), max(self.offsets)
        padded = np.full((before + n_frames + after, N_BANDS), FLOOR, dtype=np.float32)
        padded[before : before + n_frames] = levels
        first = np.tile(profile @ self.profile + self.bias, (n_frames, 1))
        for done, (offset, weights) in enumerate(zip(self.offsets, self.context, strict=True)):
            on_progress(done / len(self.offsets))
            first += padded[before + offset : before + offset + n_frames] @ weights
        second = np.maximum(np.maximum(first, 0.0) @ self.hidden + self.hidden_bias, 0.0)
        values = 1.0 / (1.0 + np.exp(-(second @ self.output + self.output_bias)))
        return values[:, : len(KINDS)], values[:, len(KINDS) :]


@cache
def _load() -> _Network:
    with np.load(WEIGHTS_PATH) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files if name != "offsets"}
        return _Network(offsets=tuple(int(offset) for offset in stored["offsets"]), **arrays)


def peak_frames(probability: FloatArray, threshold: float) -> npt.NDArray[np.intp]:
    """Frames where the probability is above the threshold and the highest nearby; of a plateau the first."""
    highest = scipy.ndimage.maximum_filter1d(probability, 2 * PEAK_FRAMES + 1, mode="constant")
    frames = np.flatnonzero((probability >= threshold) & (probability == highest))
    apart = np.diff(frames, prepend=-PEAK_FRAMES - 1) > PEAK_FRAMES
    return frames[apart]


def _refined(probability: FloatArray, frames: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Times in seconds: the vertex of the parabola through each peak and its neighbours."""
    left, right = np.pad(probability, 1)[frames], np.pad(probability, 1)[frames + 2]
    bend = np.maximum(2.0 * probability[frames] - left - right, 1e-6)
    shift = np.clip(0.5 * (right - left) / bend, -0.5, 0.5)
    return np.asarray(np.maximum((frames + shift) / FRAMES_PER_S, 0.0), dtype=np.float64)


def _tom_keys(powers: FloatArray, frames: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """General MIDI tom by the band that gained most from 20 ms before to 20-60 ms after each stroke."""
    lowest = 2  # 76 Hz: below it a kick struck together with the tom would win
    low = np.pad(powers[:, lowest : len(LOW_CENTRES_HZ)], ((2, 7), (0, 0)))
    after = np.mean([low[frames + 2 + ahead] for ahead in range(2, 7)], axis=0)
    centres_hz = np.array(LOW_CENTRES_HZ[lowest:])[np.argmax(after - low[frames], axis=1)]
    keys = np.select(
        [centres_hz < LOW_TOM_BELOW_HZ, centres_hz > HIGH_TOM_ABOVE_HZ], [LOW_TOM_KEY, HIGH_TOM_KEY], MID_TOM_KEY
    )
    return np.asarray(keys, dtype=np.intp)


def _ended(hits: list[tuple[float, int, float]]) -> list[Note]:
    """Notes sorted by onset, then key; each ends after 0.1 s or when its key is struck again."""
    notes = []
    next_start: dict[int, float] = {}
    for start_s, key, velocity in sorted(hits, reverse=True):
        end_s = min(start_s + NOMINAL_LENGTH_S, next_start.get(key, np.inf))
        notes.append(Note(pitch=key, start_s=start_s, end_s=end_s, velocity=velocity))
        next_start[key] = start_s
    return notes[::-1]


class DrumTranscriber:
    """Writes down a drum stem as General MIDI percussion.

    Keys used: 36 kick, 38 snare, 41 45 48 toms, 42 closed and 46 open hi-hat, 49 crash, 51 ride.
    """

    def transcribe(self, samples: FloatArray, rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """Hits of one drum stem; the same samples give the same notes.

        Args:
            samples: float32, mono, shape (n_samples,), full scale 1.
            rate_hz: any rate; other rates than 44.1 kHz are converted.
            on_progress: told of every half minute that is measured and of every layer of the network.

        Returns:
            Notes sorted by onset, then key; none when the stem is as good as silent.
        """
        if len(samples) == 0:
            return []
        centred = np.asarray(samples - samples.mean(dtype=np.float64), dtype=np.float32)
        on_progress(0.0)
        powers = band_powers(resample(centred, rate_hz), COARSE, part(on_progress, 0.0, _FEATURES_SHARE))
        if loudness_db(powers) < SILENCE_DB:
            return []
        probabilities, velocities = _load()(*relative_levels(powers), part(on_progress, _FEATURES_SHARE, 1.0))
        hits: list[tuple[float, int, float]] = []
        for family in FAMILIES:
            members = probabilities[:, family]
            strongest = members.max(axis=1)
            frames = peak_frames(strongest, THRESHOLD)
            kinds = np.array(family)[members[frames].argmax(axis=1)]
            if family == TOM_FAMILY:
                keys = _tom_keys(powers, frames)
            else:
                keys = np.array([KEYS[KINDS[kind]] for kind in kinds], dtype=np.intp)
            times = _refined(strongest, frames)
            loudness = np.clip(velocities[frames, kinds], 1 / 127, 1.0)
            hits += zip(times.tolist(), keys.tolist(), loudness.tolist(), strict=True)
        on_progress(1.0)
        return _ended(hits)
