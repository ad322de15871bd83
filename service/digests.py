"""What decides the result of a stage, as one short string: the same string, the same result.

Its first half is of the audio's content and the settings, which every process knows; the second of the code and weights
of the pipeline, which workers have.  The device is not in it: nobody asks for its rounding.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.fingerprint import code_fingerprint, release_of, weights_fingerprint
from pipeline.stem_names import INSTRUMENTAL, VOCALS
from pipeline.transcription.choices import AUTO
from service.db.models import TaskKind
from service.models import RECOGNITION_MODELS, TRANSCRIPTION_MODELS

SEPARATION, TRANSCRIPTION, WAV = "separation", "transcription", "wav"  # names of the stages
RECOGNITION, SUBTRACTION = "recognition", "subtraction"
AUDIO_TO_MIDI, KEY_BPM = TaskKind.AUDIO_TO_MIDI, TaskKind.KEY_BPM
_CONVERSION = ("format", "rate_hz", "bits", "span_ms", "tempo")  # parameters that decide a conversion's result
_PLAYER = "tinysoundfont"
_HALF = 32  # hex digits, 128 bits


class Digests:
    """Makes the digests of stages.

    Args:
        separation_model: name of the separator in the catalogue.
    """

    def __init__(self, separation_model: str) -> None:
        self._separation_model = separation_model

    def separation(self, source_sha256: str, only: str | None) -> str:
        """Of a separation into all stems, or into ``only`` one and the rest."""
        return _digest([self._separation_model], SEPARATION, source_sha256, only)

    def transcription(self, stems: Mapping[str, str], wanted: Collection[str] | None, transcriber: str) -> str:
        """Of the notes of stems, given their contents' SHA-256 by name, of which ``wanted`` (None: all) are kept."""
        kept = sorted(stems if wanted is None else wanted)
        return _digest(TRANSCRIPTION_MODELS, TRANSCRIPTION, sorted(stems.items()), kept, transcriber)

    def wav(self, source_sha256: str) -> str:
        """Of a conversion to WAV."""
        return _digest((), WAV, source_sha256)

    def recognition(self, source_sha256: str) -> str:
        """Of whether audio is a song or a single instrument."""
        return _digest([self._separation_model, *RECOGNITION_MODELS], RECOGNITION, source_sha256)

    def subtraction(self, source_sha256: str, part_sha256: str) -> str:
        """Of audio without one of its stems."""
        return _digest((), SUBTRACTION, source_sha256, part_sha256)

    def audio_to_midi(self, source_sha256: str, params: Mapping[str, Any], soundfont: str | None) -> str:
        """Of the notes of a song or of a single instrument, and of their files.

        Args:
            soundfont: what the worker plays notes with; it is in the second half, which only workers know.
        """
        models = (self._separation_model, *TRANSCRIPTION_MODELS)
        player = [release_of(_PLAYER), soundfont] if params["sonify"] else []
        wishes = [params["mode"], params["sonify"], params["note_events"], transcriber_of(params)]
        return _digest(models, AUDIO_TO_MIDI, source_sha256, wishes, player=player)

    def key_bpm(self, source_sha256: str) -> str:
        """Of key and tempo."""
        return _digest(TRANSCRIPTION_MODELS, KEY_BPM, source_sha256)

    def conversion(self, kind: str, source_sha256: str, params: Mapping[str, Any]) -> str:
        """Of audio in another format, a part of it, or its speed changed."""
        return _digest((), kind, source_sha256, [params.get(name) for name in _CONVERSION])

    def first(self, kind: TaskKind, source_sha256: str, params: Mapping[str, Any]) -> str:
        """Of the first stage of a task over a source."""
        match kind:
            case TaskKind.WAV:
                return self.wav(source_sha256)
            case TaskKind.AUDIO_TO_MIDI:
                return self.audio_to_midi(source_sha256, params, None)
            case TaskKind.KEY_BPM:
                return self.key_bpm(source_sha256)
            case TaskKind.CONVERSION | TaskKind.CUT | TaskKind.SPEED:
                return self.conversion(kind, source_sha256, params)
            case _:
                return self.separation(source_sha256, only_stem(kind, params))


def only_stem(kind: TaskKind, params: Mapping[str, Any]) -> str | None:
    """The one stem that a task's separation is to split off; None for all."""
    if kind == TaskKind.EXTRACTION:
        return VOCALS if {VOCALS, INSTRUMENTAL}.issuperset(params["stems"]) else None
    if kind != TaskKind.SEPARATION:
        return None
    stem: str | None = VOCALS if params["type"] == "separate_vocal" else params.get("stem")
    return stem


def wanted_stems(stems: Mapping[str, str], params: Mapping[str, Any]) -> list[str]:
    """Names of the stems whose notes a transcription of a separation is to have.

    Args:
        stems: id of each stem's track, by the stem's name.
        params: the task's.
    """
    audio_id = params.get("audio_id")
    return [stem for stem, track_id in stems.items() if audio_id in (None, track_id)]


def transcriber_of(params: Mapping[str, Any]) -> str:
    """The transcriber that a task asks for."""
    transcriber: str = params.get("transcriber") or AUTO
    return transcriber


def same_work(digest: str) -> tuple[str, str]:
    """The first and the last digest of the same audio with the same settings, whatever code and weights."""
    return digest[:_HALF] + "0" * _HALF, digest[:_HALF] + "f" * _HALF


def _digest(models: Sequence[str], *what: object, player: Sequence[str | None] = ()) -> str:
    """Of a stage; ``player`` is what notes are played with, which may differ from worker to worker."""
    made_by = (code_fingerprint(), weights_fingerprint(models), *player)
    return "".join(
        hashlib.sha256(json.dumps([*part, *models]).encode()).hexdigest()[:_HALF] for part in (what, made_by)
    )
