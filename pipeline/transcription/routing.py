"""Which transcriber writes down which stem, and as which instruments: the one table; and a song's stems written down.

A new transcriber is a module with a class that has ``transcribe`` and one line in :data:`ROUTES`.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument, Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.basic_pitch import BasicPitchNetwork, BasicPitchTranscriber
from pipeline.transcription.bass import BassTranscriber
from pipeline.transcription.bleed import heard
from pipeline.transcription.choices import AUTO, BASIC_PITCH, check_transcriber
from pipeline.transcription.phantoms import Presence, presences
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.players import INSTRUMENTS, Ensemble, players
from pipeline.transcription.silence import Audibility
from pipeline.transcription.vocals import VocalsTranscriber

if TYPE_CHECKING:  # imports torch
    from pipeline.transcription.drum_network import DrumNetwork
    from pipeline.transcription.note_listening import NoteListener
    from pipeline.transcription.note_reading import ReadNote

_MEASURING_SHARE = 0.1  # of the time of a song of four stems: 0.003 of its duration, where all may take 0.08
_HEARING_SHARE = 0.05  # of the time of a pitched stem, which is 0.1 s of 2.6 s for three minutes


class Transcriber(Protocol):
    """Writes down the notes of one stem, or of several in threads of their own: it keeps nothing of any."""

    def transcribe(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress) -> list[Note]:
        """Notes in ``samples``: float32 mono, shape (n_samples,), at ``rate_hz``, 44.1 kHz at most.

        Times are in seconds from the start of the samples.  ``on_progress`` is told several times a second.
        """


@runtime_checkable
class FamilyTranscriber(Transcriber, Protocol):
    """One that tells instruments apart."""

    def read(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress) -> "list[ReadNote]":
        """As ``transcribe``, with what may have played each note."""


class Networks:
    """Those that transcribers share, each loaded when first asked for, by one thread at a time.

    Args:
        store: where they are found, but for those that come with the package.
        device: where those run that can: auto, cuda, mps or cpu.

    Raises:
        ModelMissing: on asking for one that is not in the cache.
        DeviceMissing: on asking for one that is to run on a device that is not there.
    """

    def __init__(self, store: ModelStore, device: str = "auto") -> None:
        self._store = store
        self.device = device

    @cached_property
    def listener(self) -> "NoteListener":
        """The note network."""
        from pipeline.separation.device import choose_device  # torch takes seconds to import
        from pipeline.transcription.note_listening import NoteListener

        return NoteListener(device=choose_device(self.device))

    @cached_property
    def drums(self) -> "DrumNetwork":
        """The drum network."""
        from pipeline.separation.device import choose_device  # torch takes seconds to import
        from pipeline.transcription.drum_network import load_network

        return load_network(choose_device(self.device))

    @cached_property
    def basic_pitch(self) -> BasicPitchNetwork:
        """Basic Pitch."""
        (path,) = self._store.require("basic-pitch")
        return BasicPitchNetwork(path)

    @cached_property
    def pitch(self) -> PitchNetwork:
        """swift-f0."""
        (path,) = self._store.require("swift-f0")
        return PitchNetwork(path)


def _basic_pitch(networks: Networks) -> Transcriber:
    return BasicPitchTranscriber(networks.basic_pitch)


def _notes(networks: Networks) -> FamilyTranscriber:
    from pipeline.transcription.note_transcriber import NoteTranscriber  # imports torch

    return NoteTranscriber(networks.listener)


def _drums(networks: Networks) -> Transcriber:
    from pipeline.transcription.drums import DrumTranscriber  # imports torch

    return DrumTranscriber(networks.drums)


def _bass(networks: Networks) -> Transcriber:
    return BassTranscriber(networks.pitch, _notes(networks))


def _vocals(networks: Networks) -> Transcriber:
    return VocalsTranscriber(networks.pitch, networks.basic_pitch, _notes(networks))


@dataclass(frozen=True, slots=True)
class Route:
    """How a stem is written down.

    Attributes:
        load: makes the transcriber; called once, when first needed, and shared by all stems that name it.
        name: General MIDI instrument name, or ``Drums``.
        program: General MIDI program, 0-127 (0 for drums).
        is_drum: whether the pitches are percussion keys.
        ensemble: who may play it, where that is told by ear; its name and program are for a transcriber that tells
            no families.
    """

    load: Callable[[Networks], Transcriber]
    name: str
    program: int
    is_drum: bool = False
    ensemble: Ensemble | None = None


ROUTES: dict[str, Route] = {
    "drums": Route(_drums, "Drums", 0, is_drum=True),
    "bass": Route(_bass, "Electric Bass (finger)", 33),
    "vocals": Route(_vocals, "Voice Oohs", 53),
    "guitar": Route(_notes, "Electric Guitar (clean)", 27, ensemble=Ensemble(("guitar", "distorted guitar"))),
    "piano": Route(_notes, "Acoustic Grand Piano", 0, ensemble=Ensemble(("piano",))),
}
# "other", a whole mix, stems yet unknown: whoever is heard, or a neutral keyboard where nobody is told from others
ANY_OTHER = Route(_notes, "Electric Piano 1", 4, ensemble=Ensemble())


class Transcription:
    """Transcribes the stems of songs; keeps what it has loaded, so use one instance for many songs, in any threads.

    Args:
        store: where networks are found; asked only when a stem needs one.
        device: where those run that can: auto, cuda, mps or cpu.
    """

    def __init__(self, store: ModelStore, device: str = "auto") -> None:
        self._loading = threading.Lock()  # guards the two that follow
        self._networks = Networks(store, device)
        self._loaded: dict[Callable[[Networks], Transcriber], Transcriber] = {}

    def transcribe(
        self,
        stems: Mapping[str, AudioSource],
        *,
        transcriber: str = AUTO,
        on_progress: OnProgress = unheard,
    ) -> tuple[Instrument, ...]:
        """Write down a song, or one stem.

        Args:
            stems: the audio of each stem, by the name the separation model gives it; any name is allowed, and so is
                one stem alone.  Mono or stereo, any rate (heard at no more than 44.1 kHz, so that memory depends on
                the length alone).
            transcriber: one of :data:`pipeline.transcription.choices.TRANSCRIBERS`.  It settles how a stem is written
                down, not what is heard of it: phantoms give no notes whichever it is.
            on_progress: told several times a second.

        Returns:
            The instruments in the order of the stems, none for a stem that is silent, that holds only what leaked
            into it from others (:mod:`pipeline.transcription.phantoms`) or in which no note was found; of a stem with
            several (:mod:`pipeline.transcription.players`) first the one that sounds for longest.  Notes are sorted by
            onset, then pitch, none beyond the end of the audio.  An instrument's confidence is the mean of its notes',
            weighted by their durations, times how much of the stem's sound is its own.

        Raises:
            UnknownTranscriber: there is no such transcriber.
            ModelMissing: the network of a stem is not in the cache, or the one that tells voices from instruments.
            OutOfMemory: the device has too little memory for the least there is to hear.
        """
        check_transcriber(transcriber)
        measuring = _MEASURING_SHARE if len(stems) > 1 else 0.0
        on_progress(0.0)
        presence = presences(stems, self.pitch_network, part(on_progress, 0.0, measuring))
        share = (1 - measuring) / max(len(stems), 1)
        instruments: list[Instrument] = []
        for index, name in enumerate(stems):
            if not presence[name].spans:
                continue
            hearing = part(on_progress, measuring + index * share, measuring + (index + 1) * share)
            instruments += self._instruments(name, stems, presence, _route(name, transcriber), hearing)
        on_progress(1.0)
        return tuple(instruments)

    def _instruments(
        self,
        stem: str,
        stems: Mapping[str, AudioSource],
        presence: Mapping[str, Presence],
        route: Route,
        on_progress: OnProgress,
    ) -> list[Instrument]:
        samples, rate_hz = heard(stem, stems, presence, part(on_progress, 0.0, _HEARING_SHARE))
        audibility = Audibility(samples, rate_hz)
        if audibility.silent:
            return []

        def audible(note: Note) -> Note | None:
            """The note as far as the stem goes; None where nothing is heard of it."""
            within = replace(note, end_s=min(note.end_s, stems[stem].duration_s))
            return within if within.end_s > within.start_s and audibility.hears(within) else None

        hearing = part(on_progress, _HEARING_SHARE, 1.0)
        return [
            Instrument(name, program, route.is_drum, stem, tuple(notes), presence[stem].purity * _confidence(notes))
            for name, program, notes in self._parts(route, samples, rate_hz, audible, hearing)
            if notes
        ]

    def _parts(
        self,
        route: Route,
        samples: NDArray[np.float32],
        rate_hz: int,
        audible: Callable[[Note], Note | None],
        on_progress: OnProgress,
    ) -> list[tuple[str, int, list[Note]]]:
        """Name, program and audible notes, by onset and pitch, of every instrument; of one there may be none."""
        transcriber = self._transcriber(route)
        if route.ensemble is None or not isinstance(transcriber, FamilyTranscriber):
            found = map(audible, transcriber.transcribe(samples, rate_hz, on_progress))
            return [(route.name, route.program, _in_order(note for note in found if note is not None))]
        read = [(one, audible(one.note)) for one in transcriber.read(samples, rate_hz, on_progress)]
        families = players([replace(one, note=note) for one, note in read if note is not None], route.ensemble)
        return [(*INSTRUMENTS[family], _in_order(one.note for one in notes)) for family, notes in families.items()]

    def transcriber(self, stem: str) -> Transcriber:
        """The one that writes down stems of that name, loaded if need be.

        Raises:
            ModelMissing: its network is not in the cache.
        """
        return self._transcriber(_route(stem, AUTO))

    def _transcriber(self, route: Route) -> Transcriber:
        with self._loading:
            if route.load not in self._loaded:
                self._loaded[route.load] = route.load(self._networks)
            return self._loaded[route.load]

    def pitch_network(self) -> PitchNetwork:
        """The network that follows a voice, loaded if need be.

        Raises:
            ModelMissing: it is not in the cache.
        """
        with self._loading:
            return self._networks.pitch


def _in_order(notes: Iterable[Note]) -> list[Note]:
    return sorted(notes, key=lambda note: (note.start_s, note.pitch))


def _route(stem: str, transcriber: str) -> Route:
    route = ROUTES.get(stem, ANY_OTHER)
    return replace(route, load=_basic_pitch) if transcriber == BASIC_PITCH and not route.is_drum else route


def _confidence(notes: Sequence[Note]) -> float:
    """Mean confidence over the time that notes sound: a ghost of a tenth of a second says little of an instrument."""
    sounding_s = sum(note.end_s - note.start_s for note in notes)
    return min(sum(note.confidence * (note.end_s - note.start_s) for note in notes) / sounding_s, 1.0)
