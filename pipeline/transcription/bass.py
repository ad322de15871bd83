"""Bass stem in, notes out: one voice, its line the likeliest path through what a small network hears.

A stem that is more than one voice is written down by another transcriber, which is asked where this one has doubts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from pipeline.notes import Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.bass_features import (
    DB_PER_UNIT,
    FRAMES_PER_S,
    BassFeatures,
    FloatArray,
    bass_features,
    follow,
)
from pipeline.transcription.bass_network import FIRST_PITCH, Evidence, evidence
from pipeline.transcription.bends import bends
from pipeline.transcription.pitch_track import SILENCE_PEAK, PitchNetwork
from pipeline.transcription.polyphony import several_voices

if TYPE_CHECKING:  # routing imports this module
    from pipeline.transcription.routing import Transcriber

# On 27 held-out lines (12 of them as separators leave them, three by htdemucs) F of onsets is .937 and hardly depends
# on these: 30 to 70 ms give .933 to .937, floors of -2.5 to -7 .934 to .937, 20 to 50 ms round an onset .937.
MIN_NOTE_FRAMES = 5
ONSET_FLOOR = -5.0  # log-odds of starting a note on a frame that looks like no onset at all
PEAK_FRAMES = 3  # an onset is the likeliest start within 30 ms to both sides
# Mean share of the likeliest pitch among all, where anything loud sounds.  On 35 bass lines, worn and full of leakage,
# it was .80 to 1.0; on stems of guitars, strings and keyboards that play chords nearly all the time, .56 to .70.
LEAST_CERTAINTY = 0.75
# From here on the transcriber of several voices, which takes its time, is not even asked: 21 rendered parts of several
# voices have .92 at most (tests/quality/NOTES.md).
CERTAIN = 0.96
LOUD_DB = -10.0  # a partial within this of the recording's loudness makes a frame loud
# Bends.  Of 12 rendered lines the tracker is sure and within a semitone in .77, .77, .85, .72 and .60 of the frames of
# notes from MIDI 31, 34, 38, 42 and 48 on when it hears them an octave up, and in .39, .57, .79, .87, .88 as they are.
OCTAVE_UP_BELOW = 42
LEAST_VOICED = 0.5
BEND_REACH = 5.0  # semitones: a slide may go as far; what is further is mostly the next partial or octave
# Shares of the time, measured on a minute of bass
_TRACKS_SHARE, _FEATURES_SHARE, _NETWORK_SHARE = 0.37, 0.52, 0.9
_SEVERAL_SHARE = 0.8  # of what is left, where it is asked
_FRAMES_PER_REPORT = 1000


class BassTranscriber:
    """Writes down a bass stem.

    Args:
        pitch_network: swift-f0; may be shared with other transcribers.
        several: hears any number of voices, and how sure it is of each note; takes over where the stem is not one.
    """

    def __init__(self, pitch_network: PitchNetwork, several: "Transcriber") -> None:
        self._pitch_network = pitch_network
        self._several = several

    def transcribe(self, samples: FloatArray, rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """Notes by onset, of one voice one at a time; each starts when it becomes audible and ends when it is let go.

        Args:
            samples: float32 mono, shape (n_samples,), any length.
            rate_hz: sample rate in Hz.
            on_progress: told several times for every half minute of audio.
        """
        too_short = len(samples) < MIN_NOTE_FRAMES / FRAMES_PER_S * rate_hz
        if too_short or np.abs(samples).max() < SILENCE_PEAK:
            return []
        tracks = follow(samples, rate_hz, self._pitch_network, part(on_progress, 0.0, _TRACKS_SHARE))
        features = bass_features(samples, rate_hz, tracks, part(on_progress, _TRACKS_SHARE, _FEATURES_SHARE))
        heard = evidence(features, part(on_progress, _FEATURES_SHARE, _NETWORK_SHARE))
        certain = certainty(features, heard)
        rest = part(on_progress, _NETWORK_SHARE, 1.0)
        if certain < CERTAIN:
            chords = self._several.transcribe(samples, rate_hz, part(rest, 0.0, _SEVERAL_SHARE))
            if certain < LEAST_CERTAINTY or several_voices(chords):
                on_progress(1.0)
                return chords
            rest = part(rest, _SEVERAL_SHARE, 1.0)
        notes = line(heard, rest)
        on_progress(1.0)
        sure = [track.confidence >= LEAST_VOICED for track in tracks]
        followed = [(track.times_s[where], track.midi[where]) for track, where in zip(tracks, sure, strict=True)]
        return [replace(note, bends=_bends(note, followed)) for note in notes]


def _bends(note: Note, followed: Sequence[tuple[NDArray[np.float64], FloatArray]]) -> tuple[int, ...]:
    """As the tracker went through the note; ``followed``: the moments and pitches of each track where it is sure."""
    times_s, midi = followed[note.pitch < OCTAVE_UP_BELOW]
    return bends(times_s, midi, note.start_s, note.end_s, note.pitch, BEND_REACH)


def certainty(features: BassFeatures, heard: Evidence) -> float:
    """Mean share of the likeliest pitch among all where something loud sounds, 0-1; 1 where nothing does."""
    likely = np.exp(_likelihoods(heard))
    loud = features.spectra[:, 0].max(axis=1) > LOUD_DB / DB_PER_UNIT
    sounding = likely[loud & (likely[:, 0] < 0.5)]
    share = sounding[:, 1:].max(axis=1, initial=0.0) / (1.0 - sounding[:, 0])
    return float(share.mean()) if len(share) else 1.0


def _likelihoods(heard: Evidence) -> NDArray[np.float64]:
    """Log-probabilities of silence (column 0) and of each pitch."""
    odds = np.pad(heard.sounding.astype(np.float64), ((0, 0), (1, 0)))
    return np.asarray(odds - np.logaddexp.reduce(odds, axis=1, keepdims=True))


def line(heard: Evidence, on_progress: OnProgress = unheard) -> list[Note]:
    """The likeliest line of one voice, by the Viterbi algorithm over silence and, per pitch, the age of its note.

    A note may start on any frame, at the cost of its onset's odds; it lasts at least ``MIN_NOTE_FRAMES``.
    ``on_progress`` is told of every ten seconds.
    """
    likely = _likelihoods(heard)
    chance = np.maximum(np.where(_peaks(heard.onset), heard.onset, ONSET_FLOOR), ONSET_FLOOR)
    columns, starts = _best_path(likely, -np.logaddexp(0.0, -chance), -np.logaddexp(0.0, chance), on_progress)
    return _notes(heard, likely[:, 1:], columns, starts)


def _peaks(onset: FloatArray) -> NDArray[np.bool_]:
    """Where the onset's odds are the highest within a few frames, per pitch."""
    around = scipy.ndimage.maximum_filter1d(onset, 2 * PEAK_FRAMES + 1, axis=0, mode="nearest")
    return np.asarray(onset >= around)


def _best_path(
    likely: NDArray[np.float64], begin: NDArray[np.float64], go_on: NDArray[np.float64], on_progress: OnProgress
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Per frame the pitch column of the best path, -1 in silence, and whether a note starts there.

    ``likely`` has shape (n_frames, 1 + n_pitches), silence first; ``begin`` and ``go_on``, (n_frames, n_pitches), are
    what it costs to start a note and not to.
    """
    n_frames, n_pitches = begin.shape
    young = np.full((MIN_NOTE_FRAMES - 1, n_pitches), -np.inf)  # row k: notes that are k + 1 frames old
    old = np.full(n_pitches, -np.inf)  # notes that may end
    silence = 0.0
    came_from = np.empty(n_frames, dtype=np.intp)  # what may end before a frame: a pitch, or -1: silence
    of_age = np.empty((n_frames, n_pitches), dtype=np.bool_)  # whether an old note has just become old
    for t in range(n_frames):
        if t % _FRAMES_PER_REPORT == 0:
            on_progress(t / n_frames)
        ending = int(old.argmax())
        before = max(silence, float(old[ending]))
        came_from[t] = ending if old[ending] > silence else -1
        staying = go_on[t] + likely[t, 1:]
        of_age[t] = young[-1] > old
        old = np.maximum(young[-1], old) + staying
        young[1:] = young[:-1] + staying
        young[0] = before + begin[t] + likely[t, 1:]
        silence = before + likely[t, 0]
    columns = np.full(n_frames, -1, dtype=np.intp)
    starts = np.zeros(n_frames, dtype=np.bool_)
    t = n_frames - 1
    column = int(old.argmax()) if old.max() > silence else -1
    while t >= 0:
        if column >= 0:
            last = t
            while not of_age[t, column]:
                t -= 1
            t -= MIN_NOTE_FRAMES - 1
            columns[t : last + 1] = column
            starts[t] = True
        column = int(came_from[t])
        t -= 1
    return columns, starts


def _notes(
    heard: Evidence, likely: NDArray[np.float64], columns: NDArray[np.intp], starts: NDArray[np.bool_]
) -> list[Note]:
    """The notes of a path; confidence is the mean of how likely the pitch is and how likely the onset."""
    bounds = np.append(np.flatnonzero((np.diff(columns, prepend=-2) != 0) | starts), len(columns))
    notes = []
    for first in np.flatnonzero(starts).tolist():
        stop = int(bounds[np.searchsorted(bounds, first, side="right")])
        column = int(columns[first])
        chance = 1.0 / (1.0 + np.exp(-heard.onset[max(first - 1, 0) : first + 2, column].astype(np.float64)))
        start_s = (first + (_vertex(*chance) if len(chance) == 3 else 0.0)) / FRAMES_PER_S
        notes.append(
            Note(
                pitch=FIRST_PITCH + column,
                start_s=max(start_s, 0.0),
                end_s=(stop - 0.5) / FRAMES_PER_S,
                velocity=float(heard.velocity[first, column]),
                confidence=float((np.exp(likely[first:stop, column]).mean() + chance.max()) / 2),
            )
        )
    return notes


def _vertex(left: float, middle: float, right: float) -> float:
    """Where the parabola through three neighbouring frames is highest, -0.5 to 0.5 frames from the middle."""
    bend = 2 * middle - left - right
    return float(np.clip(0.5 * (right - left) / bend, -0.5, 0.5)) if bend > 1e-6 else 0.0
