"""A whole mix written down without separation: roughly, but in a fiftieth of its duration.

Nobody would want to play from these notes; tempo, beats and key come out of them as well as out of those of stems.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource
from pipeline.notes import Instrument, Note
from pipeline.progress import OnProgress, part, unheard

RATE_HZ = 44_100
SPAN_S = 120  # heard at a time: bounds memory, whatever the length
MARGIN_S = 1  # heard with it on either side, since a border sounds like an attack; what begins there is left out
_DRUMS_SHARE = 0.15  # of the time
_BASS_BELOW = 52  # E3; most basses of bands stay below it, most chords above


class Transcriber(Protocol):
    """See :class:`pipeline.transcription.routing.Transcriber`."""

    def transcribe(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress) -> list[Note]:
        """Notes in ``samples``: float32 mono, shape (n_samples,), at ``rate_hz``."""


def transcribe_mix(
    audio: AudioSource, drums: Transcriber, pitched: Transcriber, on_progress: OnProgress = unheard
) -> tuple[Instrument, ...]:
    """What is heard of a mix: drums, a bass, which takes all low notes, and all the rest; notes sorted by onset.

    Args:
        audio: mono or stereo, any rate and length; :data:`SPAN_S` seconds of it are in memory at a time.
        drums: writes down drum stems.
        pitched: writes down any other.
        on_progress: told several times a second.
    """
    strokes: list[Note] = []
    notes: list[Note] = []
    n_span, n_margin = SPAN_S * audio.rate_hz, MARGIN_S * audio.rate_hz
    for start in range(0, audio.n_samples, n_span):
        heard = part(on_progress, start / audio.n_samples, min(start + n_span, audio.n_samples) / audio.n_samples)
        heard(0.0)
        first = max(0, start - n_margin)
        samples = audio.read(first, start + n_span + n_margin - first).mean(axis=0)
        if audio.rate_hz != RATE_HZ:
            samples = soxr.resample(samples, audio.rate_hz, RATE_HZ, quality="HQ")
        by_s, span_s = first / audio.rate_hz, (start / audio.rate_hz, (start + n_span) / audio.rate_hz)
        strokes += _within(span_s, drums.transcribe(samples, RATE_HZ, part(heard, 0.0, _DRUMS_SHARE)), by_s)
        notes += _within(span_s, pitched.transcribe(samples, RATE_HZ, part(heard, _DRUMS_SHARE, 1.0)), by_s)
    on_progress(1.0)
    low = tuple(note for note in notes if note.pitch < _BASS_BELOW)
    high = tuple(note for note in notes if note.pitch >= _BASS_BELOW)
    return (
        Instrument("Drums", 0, True, "drums", tuple(strokes)),
        Instrument("Electric Bass (finger)", 33, False, "bass", low),
        Instrument("Electric Piano 1", 4, False, "other", high),
    )


def _within(span_s: tuple[float, float], notes: list[Note], by_s: float) -> list[Note]:
    """Notes, later by some time, that begin within a span."""
    later = [replace(note, start_s=note.start_s + by_s, end_s=note.end_s + by_s) for note in notes]
    return [note for note in later if span_s[0] <= note.start_s < span_s[1]]
