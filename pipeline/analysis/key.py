"""The key of a song, and where it changes.

What sounds is counted in short frames: how long each pitch class sounds in the song, and how much of the song each of
the 24 triads explains, its root in the bass counting extra.  The square roots of these 36 shares, turned so that the
tonic of a key comes first, times learned weights are the evidence for the key: a log-linear form of C. Krumhansl's key
profiles, with triads, which tell keys apart that share their tones.  One more class, whose evidence is the same for all
music, stands for music in no key.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.key_weights import MAJOR_BIAS, MAJOR_WEIGHTS, MINOR_WEIGHTS, NO_KEY
from pipeline.notes import Instrument

FloatArray = NDArray[np.float64]

_LINE = "FCGDAEB"  # steps on the line of fifths, F at -1

FRAME_S = 0.5
_LASTING_S = 1.0  # a note counts for no longer: of 16 songs of 50 s, 15 came out right instead of 13
_BASS_BELOW = 52
# How sharply a frame prefers the triad that explains most of it, and what its root in the bass is worth.
_TRIAD_SHARPNESS = 6.0
_BASS_WORTH = 0.5
_TRIADS = np.array(
    [
        [float((tone - root) % 12 in (0, 3 if minor else 4, 7)) for tone in range(12)]
        for minor in (0, 1)
        for root in range(12)
    ]
)
# What the least of the shares have, all have by chance, harmonics or noise: their mean over so many is taken off.  On
# the chroma of 389 real recordings, which is much flatter than notes, .80 are right with it, .73 without.
_FLOOR_CLASSES, _FLOOR_TRIADS = 3, 6
_FEWEST_CLASSES = 4  # pitch classes: three tones are in many keys
# A key is told when it is more likely right than not.  On songs not learned from, .46 are right where the confidence is
# .36, .61 at .52, .80 at .71, .90 at .86, .95 at .94, .98 at .99: half would be at .42.  Of 500 lists of random notes,
# 43 are then told to be in a key (29 at .5).
TOLD_FROM = 0.42

# Every second is judged by the ten around it.  The cost of a change, in units of log likelihood: of 39 songs of POP909
# in two keys, both signatures come out right in 31 with 40 and with 60, in 27 with 25; of 100 in one key, a change is
# told in 2 (25: 6).
_HOP_FRAMES = 2
_AROUND_FRAMES = 10
_CHANGE_COST = 40.0


@dataclass(frozen=True, slots=True)
class Key:
    """A key signature and a mode.

    Attributes:
        fifths: sharps of the signature, flats if negative; -6 to 5.
        minor: whether the tonic is the signature's minor one.
    """

    fifths: int
    minor: bool

    @classmethod
    def on(cls, tonic: int, *, minor: bool) -> "Key":
        """The key on a pitch class, 0 (C) to 11, spelled with the fewest accidentals (six flats, not six sharps)."""
        return cls((7 * (tonic + 3 * minor) + 6) % 12 - 6, minor)

    @property
    def tonic(self) -> int:
        """Pitch class of the tonic, 0 (C) to 11."""
        return (7 * self.fifths + 9 * self.minor) % 12

    @property
    def name(self) -> str:
        """Such as ``F# minor`` or ``Bb major``."""
        place = self.fifths + 3 * self.minor + 1
        return f"{_LINE[place % 7]}{'#' * (place // 7)}{'b' * -(place // 7)} {'minor' if self.minor else 'major'}"

    def signature(self) -> dict[str, int]:
        """What the signature does to each step: semitones up."""
        sharps = dict.fromkeys(_LINE[: max(self.fifths, 0)], 1)
        flats = dict.fromkeys(_LINE[::-1][: max(-self.fifths, 0)], -1)
        return {step: sharps.get(step, flats.get(step, 0)) for step in _LINE}


@dataclass(frozen=True, slots=True)
class KeySpan:
    """A stretch of a song in one key.

    Attributes:
        start_s: its beginning, in seconds.
        end_s: its end, where the next one begins; of the last one the end of the notes.
        key: the key.
        confidence: 0-1: how likely it is this one of the 24, and none other or none.
    """

    start_s: float
    end_s: float
    key: Key
    confidence: float


@dataclass(frozen=True, slots=True)
class Sounding:
    """What sounds in frames of half a second from time 0 on; drums left out.

    Attributes:
        classes: float64, shape (n_frames, 12): seconds of each pitch class, C first.
        triads: float64, shape (n_frames, 24): how much each major triad, C first, then each minor one explains; 1 in
            all where anything sounds.
    """

    classes: FloatArray
    triads: FloatArray

    @classmethod
    def of(cls, instruments: Iterable[Instrument]) -> "Sounding":
        """Count notes by how long they last, a second at most, and how sure they are."""
        notes = np.array(
            [
                (note.pitch, note.start_s, min(note.end_s, note.start_s + _LASTING_S), note.confidence)
                for one in instruments
                if not one.is_drum
                for note in one.notes
            ]
        ).reshape(-1, 4)
        n_frames = int(np.ceil(notes[:, 2].max(initial=0.0) / FRAME_S))
        return cls.in_frames(_per_class(notes, n_frames), _per_class(notes[notes[:, 0] < _BASS_BELOW], n_frames))

    @classmethod
    def in_frames(cls, classes: FloatArray, bass: FloatArray) -> "Sounding":
        """From what sounds of each pitch class, and what of that in the bass; float64, shape (n_frames, 12) each."""
        low = _shares(bass)
        fit = _shares(classes) @ _TRIADS.T + _BASS_WORTH * np.concatenate([low, low], axis=1)
        triads = np.exp(_TRIAD_SHARPNESS * fit)
        triads *= classes.any(axis=1, keepdims=True) / triads.sum(axis=1, keepdims=True)
        return cls(classes, triads)

    def features(self, start: int = 0, stop: int | None = None) -> FloatArray:
        """Of some frames, square roots of shares: float64, shape (12 tonics, 36), the tonic first in each row."""
        classes = _above_floor(self.classes[start:stop].sum(axis=0), _FLOOR_CLASSES)
        major, minor = _above_floor(self.triads[start:stop].sum(axis=0), _FLOOR_TRIADS).reshape(2, 12)
        turned = (np.arange(12)[:, None] + np.arange(12)) % 12
        features: FloatArray = np.sqrt(np.concatenate([classes[turned], major[turned], minor[turned]], axis=1))
        return features

    def probabilities(self, start: int = 0, stop: int | None = None) -> FloatArray:
        """Of the keys of some frames: float64, shape (25,): major on C to B, minor on C to B, none."""
        odds = np.zeros(25)
        if np.count_nonzero(self.classes[start:stop].sum(axis=0)) < _FEWEST_CLASSES:
            odds[24] = 1.0
            return odds
        features = self.features(start, stop)
        evidence = np.concatenate([features @ MAJOR_WEIGHTS + MAJOR_BIAS, features @ MINOR_WEIGHTS, [NO_KEY]])
        odds[:] = np.exp(evidence - evidence.max())
        odds /= odds.sum()
        return odds


def _per_class(notes: FloatArray, n_frames: int) -> FloatArray:
    """Seconds times confidence that each pitch class sounds in each frame; float64, shape (n_frames, 12)."""
    edges = np.arange(n_frames + 1) * FRAME_S
    sounding = np.zeros((n_frames, 12))
    for pitch_class in range(12):
        _, starts, ends, weights = notes[notes[:, 0] % 12 == pitch_class].T
        times = np.concatenate([[0.0], starts, ends])
        order = np.argsort(times, kind="stable")
        rates = np.cumsum(np.concatenate([[0.0], weights, -weights])[order])
        total = np.concatenate([[0.0], np.cumsum(np.diff(times[order]) * rates[:-1])])
        sounding[:, pitch_class] = np.diff(np.interp(edges, times[order], total))
    return np.maximum(sounding, 0.0)


def _shares(amounts: FloatArray) -> FloatArray:
    """Amounts as shares of their row; zeros stay."""
    shares: FloatArray = amounts / np.maximum(amounts.sum(axis=-1, keepdims=True), 1e-9)
    return shares


def _above_floor(amounts: FloatArray, n_least: int) -> FloatArray:
    """Shares of what is above the mean of the least amounts."""
    return _shares(np.maximum(amounts - np.sort(amounts)[:n_least].mean(), 0.0))


def estimate_keys(instruments: Sequence[Instrument]) -> tuple[KeySpan, ...]:
    """The keys of a song, one after another without gaps; drums do not count.

    Mostly one.  The 12 signatures are the states of a hidden Markov model that hears ten seconds around each second;
    between keys of one signature, as a minor verse and its major chorus are, no change is told.

    Returns:
        The spans; none where no key is clear enough.
    """
    return keys_of(Sounding.of(instruments))


def keys_of(heard: Sounding) -> tuple[KeySpan, ...]:
    """The keys of what sounds, as :func:`estimate_keys` tells them."""
    cuts = _changes(heard)
    spans: list[KeySpan] = []
    for start, stop in pairwise((0, *cuts, len(heard.classes))):
        told = _told(heard, start, stop)
        if told is None or (spans and spans[-1].key.fifths == told.key.fifths):
            continue
        spans.append(told)
    if len(spans) < 2:
        whole = _told(heard, 0, len(heard.classes))
        return (whole,) if whole else ()
    ends = [*(span.start_s for span in spans[1:]), len(heard.classes) * FRAME_S]
    return tuple(
        replace(span, start_s=span.start_s if index else 0.0, end_s=end)
        for index, (span, end) in enumerate(zip(spans, ends, strict=True))
    )


def main_key(spans: Sequence[KeySpan]) -> KeySpan | None:
    """Of the key that a song is in for the longest time, the longest span; None where no key is told."""
    lengths: defaultdict[Key, float] = defaultdict(float)
    for span in spans:
        lengths[span.key] += span.end_s - span.start_s
    return max(spans, key=lambda span: (lengths[span.key], span.end_s - span.start_s), default=None)


def estimate_key(instruments: Sequence[Instrument]) -> KeySpan | None:
    """The key that most of a song is in; None when unsure."""
    return main_key(estimate_keys(instruments))


def _told(heard: Sounding, start: int, stop: int) -> KeySpan | None:
    """The key of some frames, if clear."""
    odds = heard.probabilities(start, stop)
    best = int(odds[:24].argmax())
    if odds[best] < TOLD_FROM:
        return None
    return KeySpan(start * FRAME_S, stop * FRAME_S, Key.on(best % 12, minor=best >= 12), float(odds[best]))


def _changes(heard: Sounding) -> list[int]:
    """Frames at which the signature changes, on the most likely way through the song (Viterbi)."""
    centres = np.arange(0, len(heard.classes), _HOP_FRAMES)
    odds = np.array([heard.probabilities(max(at - _AROUND_FRAMES, 0), at + _AROUND_FRAMES) for at in centres.tolist()])
    if not len(odds):
        return []
    tonics = np.arange(12)
    of_signature = odds[:, :12] + odds[:, 12 + (tonics + 9) % 12]  # a key and its relative minor
    evidence = np.log(of_signature + odds[:, 24:] / 12 + 1e-6)
    best = evidence[0]
    came_from = np.zeros((len(odds), 12), dtype=np.int64)
    for step in range(1, len(odds)):
        leap = best.max() - _CHANGE_COST
        came_from[step] = np.where(best >= leap, tonics, best.argmax())
        best = np.maximum(best, leap) + evidence[step]
    at = int(best.argmax())
    changes = []
    for step in range(len(odds) - 1, 0, -1):
        before = int(came_from[step, at])
        if before != at:
            changes.append(int(centres[step]))
        at = before
    return changes[::-1]
