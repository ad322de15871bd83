"""What is true of a whole song, as every dialect and the command line tell it: tempo, time signature, key."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from service.db.models import Task
from service.notes import wire_confidence

if TYPE_CHECKING:  # the API does without the transcribers
    from pipeline.analysis.tempo_and_key import TempoAndKey
    from pipeline.song_notes import HeardSong

Tempo = Annotated[
    float | None,
    Meta(description="Beats per minute, the median of the song; null where none is clear.", examples=[100.0]),
]
TimeSignature = Annotated[
    str | None, Meta(description="Such as 4/4; null where none is clear, or no one holds.", examples=["4/4"])
]
KeyName = Annotated[str | None, Meta(description="Such as A minor; null where none is clear.", examples=["A minor"])]
Confidence = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | None,
    Meta(description="How sure that is, 0 to 1; null where it was not measured.", examples=[0.93]),
]

_TEMPO_DIGITS = 3
_TIME_DIGITS = 3


class KeyTime(msgspec.Struct, frozen=True):
    """A stretch of a song in one key, such as ``A minor``; in seconds."""

    start_s: float
    end_s: float
    key: str


class Music(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was heard of a song; None is what was not heard surely enough to be told.

    Attributes:
        tempo: beats per minute, the median of the song.
        tempo_confidence: 0-1.
        time_signature: such as ``4/4``.
        key: such as ``A minor``.
        key_confidence: 0-1.
        keys: all of them with their times, in order, where these were asked for.
        mode: what the audio was taken for, where that had to be found out.
        soundfont: what its notes were played with; None where that was the plain synthesiser, or they were not.
    """

    tempo: float | None = None
    tempo_confidence: float | None = None
    time_signature: str | None = None
    key: str | None = None
    key_confidence: float | None = None
    keys: tuple[KeyTime, ...] = ()
    mode: str | None = None
    soundfont: str | None = None


def music_of(song: "HeardSong") -> Music:
    """What transcription heard."""
    beats, key = song.beats, song.key
    signature = beats.time_signature if beats else None
    return Music(
        tempo=round(beats.bpm, _TEMPO_DIGITS) if beats else None,
        tempo_confidence=wire_confidence(beats.confidence) if beats else None,
        time_signature="{}/{}".format(*signature) if signature else None,
        key=key.key.name if key else None,
        key_confidence=wire_confidence(key.confidence) if key else None,
    )


def music_heard(found: "TempoAndKey") -> Music:
    """Tempo and key of audio whose notes nobody asked for."""
    return Music(
        tempo=None if found.bpm is None else round(found.bpm, _TEMPO_DIGITS),
        tempo_confidence=None if found.bpm is None else wire_confidence(found.bpm_confidence),
        key=found.key.key.name if found.key else None,
        key_confidence=wire_confidence(found.key.confidence) if found.key else None,
        keys=tuple(
            KeyTime(round(span.start_s, _TIME_DIGITS), round(span.end_s, _TIME_DIGITS), span.key.name)
            for span in found.keys
        ),
    )


def stored_music(music: Music) -> dict[str, Any]:
    """For the task's row."""
    facts: dict[str, Any] = msgspec.to_builtins(music)
    return facts


def music_from(task: Task) -> Music:
    """From the task's row; all is None of a task that heard nothing or ended before this was measured."""
    return msgspec.convert(task.music or {}, Music)
