"""Tempo and key of any audio, from what a quick transcription of the whole mix hears."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.analysis.beats import Beats, estimate_beats
from pipeline.analysis.key import KeySpan, estimate_keys, main_key
from pipeline.notes import Instrument
from pipeline.progress import OnProgress, unheard

# Who asks for a tempo wants the likeliest one, so that more is told than of a song that is written down: of noise of
# five kinds the surest beats have .08; the least sure of 60 songs for tuning have .27.
LEAST_BEAT_CONFIDENCE = 0.12
# Eighths of 5/8 and 7/8 that are no faster are tapped as they are: as fast as beats get in pipeline.analysis.beats.
_FASTEST_TAPS_BPM = 186.0
# A metronome may tick slower than the slowest beat that is looked for, 50 a minute: then it is found twice as fast, and
# every second beat is silent.
_STRUCK_WITHIN_S, _SELDOM_STRUCK, _SLOWEST_BPM = 0.06, 0.1, 25.0


@dataclass(frozen=True, slots=True)
class TempoAndKey:
    """Tempo, beats and keys of audio.

    Attributes:
        duration_s: its length.
        beats: its tempo and beats, and its bars where they are clear; None where nothing periodic is heard.
        keys: its keys, one after another without gaps; empty where none is clear.
    """

    duration_s: float
    beats: Beats | None
    keys: tuple[KeySpan, ...]

    @property
    def bpm(self) -> float | None:
        """Beats a minute as people tap them: quarter notes, or dotted quarters in 6/8, 9/8 and 12/8."""
        return None if self.beats is None else self.beats.bpm

    @property
    def bpm_confidence(self) -> float:
        """0-1; 0 where there is no tempo."""
        return 0.0 if self.beats is None else self.beats.confidence

    @property
    def key(self) -> KeySpan | None:
        """Of the key that it is in for the longest time, the longest span; None where no key is told."""
        return main_key(self.keys)


def tempo_and_key(
    instruments: Sequence[Instrument], duration_s: float, on_progress: OnProgress = unheard
) -> TempoAndKey:
    """The likeliest tempo, however unsure, and the keys that are clear.

    Args:
        instruments: notes, as of :func:`pipeline.transcription.mix.transcribe_mix`.
        duration_s: length of the audio.
        on_progress: told several times a second.
    """
    beats = estimate_beats(instruments, on_progress, least_confidence=LEAST_BEAT_CONFIDENCE)
    if beats is not None:
        beats = _struck(_tapped(beats), instruments)
    return TempoAndKey(duration_s, beats, estimate_keys(instruments))


def _tapped(beats: Beats) -> Beats:
    """The beats, called quarters if they are eighths that are slow enough to be tapped: 5/4 rather than 5/8."""
    bpm = float(60.0 / np.median(np.diff(beats.times_s)))
    if bpm < 1.5 * beats.bpm or bpm > _FASTEST_TAPS_BPM:
        return beats
    signature = beats.time_signature and (beats.time_signature[0], 4)
    return replace(beats, bpm=bpm, time_signature=signature)


def _struck(beats: Beats, instruments: Sequence[Instrument]) -> Beats:
    """Every second of the beats where hardly any of the others is struck; bars are then not told."""
    onsets_s = np.sort([note.start_s for one in instruments for note in one.notes])
    while beats.bpm / 2 >= _SLOWEST_BPM:
        after = np.clip(np.searchsorted(onsets_s, beats.times_s), 1, len(onsets_s) - 1)
        off_s = np.minimum(np.abs(onsets_s[after] - beats.times_s), np.abs(onsets_s[after - 1] - beats.times_s))
        struck = off_s < _STRUCK_WITHIN_S
        shares = [float(struck[first::2].mean()) for first in (0, 1)]
        if min(shares) > _SELDOM_STRUCK or max(shares) < 0.5 or len(struck) < 4:
            return beats
        times_s = beats.times_s[int(shares[1] > shares[0]) :: 2]
        none = np.zeros(0, dtype=np.int64)
        beats = replace(
            beats, times_s=times_s, downbeats=none, beats_per_bar=None, time_signature=None, bpm=beats.bpm / 2
        )
    return beats
