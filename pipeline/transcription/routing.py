"""Which transcriber writes down which stem, and as which instrument: the one table.

A new transcriber is a module with a class that has ``transcribe`` and one line in :data:`ROUTES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.resample import StreamResampler, resampled_length
from pipeline.audio.source import AudioSource
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument, Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.basic_pitch import BasicPitchNetwork, BasicPitchTranscriber
from pipeline.transcription.drums import DrumTranscriber
from pipeline.transcription.silence import Audibility

# What transcribers hear of a stem is in memory, so its rate has a bound: half an hour takes 0.3 GB, where 192 kHz would
# take 1.4.  Drums are heard up to 20 kHz; no transcriber uses more.
MAX_RATE_HZ = 44_100
_HEARING_SHARE = 0.05  # of the time of a pitched stem, which is 0.1 s of 2.6 s for three minutes


class Transcriber(Protocol):
    """Writes down the notes of one stem."""

    def transcribe(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress) -> list[Note]:
        """Notes in ``samples``: float32 mono, shape (n_samples,), at ``rate_hz``, 44.1 kHz at most.

        Times are in seconds from the start of the samples.  ``on_progress`` is told several times a second.
        """


def _basic_pitch(store: ModelStore) -> Transcriber:
    (path,) = store.require("basic-pitch")
    return BasicPitchTranscriber(BasicPitchNetwork(path))


def _drums(_store: ModelStore) -> Transcriber:
    return DrumTranscriber()


@dataclass(frozen=True, slots=True)
class Route:
    """How a stem is written down.

    Attributes:
        load: makes the transcriber; called once, when first needed, and shared by all stems that name it.
        name: General MIDI instrument name, or ``Drums``.
        program: General MIDI program, 0-127 (0 for drums).
        is_drum: whether the pitches are percussion keys.
    """

    load: Callable[[ModelStore], Transcriber]
    name: str
    program: int
    is_drum: bool = False


ROUTES: dict[str, Route] = {
    "drums": Route(_drums, "Drums", 0, is_drum=True),
    "bass": Route(_basic_pitch, "Electric Bass (finger)", 33),
    "vocals": Route(_basic_pitch, "Voice Oohs", 53),
    "guitar": Route(_basic_pitch, "Electric Guitar (clean)", 27),
    "piano": Route(_basic_pitch, "Acoustic Grand Piano", 0),
}
ANY_OTHER = Route(_basic_pitch, "Electric Piano 1", 4)  # "other", a whole mix, stems yet unknown: a neutral keyboard


class Transcription:
    """Transcribes stems; keeps what it has loaded, so use one instance for many songs.

    Args:
        store: where networks are found; asked only when a stem needs one.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._loaded: dict[Callable[[ModelStore], Transcriber], Transcriber] = {}

    def transcribe_stem(self, stem: str, audio: AudioSource, on_progress: OnProgress = unheard) -> Instrument | None:
        """Write down one stem.

        Args:
            stem: its name, as the separation model names it; any name is allowed.
            audio: the stem; mono or stereo (heard as the mean of its channels), any rate (heard at no more than
                44.1 kHz, so that memory depends on its length alone).
            on_progress: told several times a second.

        Returns:
            The instrument, its notes sorted by onset, then pitch, none beyond the end of the audio;
            None when the stem is silent or no note was found in it.

        Raises:
            ModelMissing: the network of this stem is not in the cache.
        """
        route = ROUTES.get(stem, ANY_OTHER)
        samples, rate_hz = _heard(audio, part(on_progress, 0.0, _HEARING_SHARE))
        audibility = Audibility(samples, rate_hz)
        if audibility.silent:
            return None
        heard = self._transcriber(route).transcribe(samples, rate_hz, part(on_progress, _HEARING_SHARE, 1.0))
        within = (Note(n.pitch, n.start_s, min(n.end_s, audio.duration_s), n.velocity) for n in heard)
        notes = sorted(
            (note for note in within if note.end_s > note.start_s and audibility.hears(note)),
            key=lambda note: (note.start_s, note.pitch),
        )
        return Instrument(route.name, route.program, route.is_drum, stem, tuple(notes)) if notes else None

    def _transcriber(self, route: Route) -> Transcriber:
        if route.load not in self._loaded:
            self._loaded[route.load] = route.load(self._store)
        return self._loaded[route.load]


def _heard(audio: AudioSource, on_progress: OnProgress) -> tuple[NDArray[np.float32], int]:
    """The mean of the channels, float32, shape (n_samples,), and its rate in Hz: at most :data:`MAX_RATE_HZ`."""
    if audio.rate_hz <= MAX_RATE_HZ:
        return audio.mono(on_progress), audio.rate_hz
    out = np.empty(resampled_length(audio.n_samples, audio.rate_hz, MAX_RATE_HZ), dtype=np.float32)
    resampler = StreamResampler(audio.rate_hz, MAX_RATE_HZ, 1, len(out))
    at = 0
    for block in audio.blocks(on_progress=on_progress):
        ready = resampler.push(block.mean(axis=0, keepdims=True))[0]
        out[at : at + len(ready)] = ready
        at += len(ready)
    out[at:] = resampler.finish()[0]
    return out, MAX_RATE_HZ
