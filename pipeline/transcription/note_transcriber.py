"""Any pitched stem in, notes and the families of their instruments out: the note network, a span at a time."""

from dataclasses import replace

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.notes import Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.dynamics import with_dynamics
from pipeline.transcription.note_listening import INSIDE_FRAMES, NoteListener, frame_count, gain_for
from pipeline.transcription.note_network import FRAME_S
from pipeline.transcription.note_reading import ReadingSettings, ReadNote, read_notes
from pipeline.transcription.spectrum import RATE_HZ

FloatArray = NDArray[np.float32]

# What the network says of ten minutes takes 0.1 GB.  Longer stems are heard in spans, each with what is before it, so
# that its first onsets have neighbours, and with what comes after it for as long as a note may last, and whatever tells
# whether the next one that ends it is one: the same notes.
SPAN_WINDOWS = 40
_BEYOND_S = 1.0
_HEARING_SHARE = 0.97  # of the time


class NoteTranscriber:
    """Notes of one pitched stem.

    Args:
        listener: may be shared with other transcribers.
        settings: how notes are read; the defaults, if None.
    """

    def __init__(self, listener: NoteListener, settings: ReadingSettings | None = None) -> None:
        self._listener = listener
        self._settings = settings or ReadingSettings()

    def transcribe(self, samples: FloatArray, rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """The notes of :meth:`read`."""
        return [read.note for read in self.read(samples, rate_hz, on_progress)]

    def read(self, samples: FloatArray, rate_hz: int, on_progress: OnProgress = unheard) -> list[ReadNote]:
        """Notes by onset, then pitch, from MIDI 21 to 108, and their families; confidence is how sure their onset is.

        Args:
            samples: float32 mono, shape (n_samples,), any length.
            rate_hz: sample rate in Hz.
            on_progress: told three times in each window of 16 s.

        Raises:
            OutOfMemory: the device has too little memory for even one window.
        """
        heard = samples if rate_hz == RATE_HZ else soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ")
        if not len(heard):
            return []
        gain = gain_for(heard)
        n_frames, n_span = frame_count(len(heard)), SPAN_WINDOWS * INSIDE_FRAMES
        after_s = self._settings.longest_s + _BEYOND_S
        n_after = -(-round(after_s / FRAME_S) // INSIDE_FRAMES) * INSIDE_FRAMES
        found: list[ReadNote] = []
        for start in range(0, n_frames, n_span):
            span = range(start, min(start + n_span, n_frames))
            heard_frames = range(max(start - INSIDE_FRAMES, 0), min(span.stop + n_after, n_frames))
            told = part(on_progress, span.start / n_frames, span.stop / n_frames)
            evidence = self._listener.hear(heard, part(told, 0.0, _HEARING_SHARE), frames=heard_frames, gain=gain)
            found += read_notes(evidence, self._settings, span)
        on_progress(1.0)
        duration_s = len(samples) / rate_hz
        return [_within(read, duration_s) for read in with_dynamics(found) if read.note.start_s < duration_s]


def _within(read: ReadNote, duration_s: float) -> ReadNote:
    """A note that ends with the audio at the latest: the last frame may be longer than that."""
    note = read.note
    return read if note.end_s <= duration_s else replace(read, note=replace(note, end_s=duration_s))
