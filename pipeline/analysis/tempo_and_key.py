"""Tempo and key of any audio, from what a quick transcription of the whole mix hears."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.analysis.beats import Beats, estimate_beats
from pipeline.analysis.key import KeySpan, estimate_keys, main_key
from pipeline.notes import Instrument
from pipeline.progress import OnProgress, unheard

# Of noise of five kinds the surest beats have .08.
LEAST_BEAT_CONFIDENCE = 0.12


@dataclass(frozen=True, slots=True)
class TempoAndKey:
    """What the endpoint for key and tempo tells.

    Attributes:
        duration_s: length of the audio.
        beats: its tempo and beats, and its bars where they are clear; None where nothing periodic is heard.
        keys: its keys, one after another; empty where nothing is in a key.
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
        """Of the key that most of it is in, the longest span."""
        return main_key(self.keys)


def tempo_and_key(
    instruments: Sequence[Instrument], duration_s: float, on_progress: OnProgress = unheard
) -> TempoAndKey:
    """The best answer that the notes allow, however unsure; none only where nothing is periodic, or in any key.

    Args:
        instruments: notes, as of :func:`pipeline.transcription.mix.transcribe_mix`.
        duration_s: length of the audio.
        on_progress: told several times a second.
    """
    beats = estimate_beats(instruments, on_progress, least_confidence=LEAST_BEAT_CONFIDENCE)
    return TempoAndKey(duration_s, beats, estimate_keys(instruments))
