"""Notes and instruments: what transcription returns and every writer takes."""

from dataclasses import dataclass

BENDS_PER_S = 22_050 / 256
"""Basic Pitch's frames: a bend every 11.6 ms."""
BENDS_PER_SEMITONE = 3


@dataclass(frozen=True, slots=True)
class Note:
    """One played note.

    Attributes:
        pitch: MIDI note number, 0-127 (60 = middle C); for drums the General MIDI percussion key.
        start_s: audible onset in seconds from the start of the file.
        end_s: end in seconds; always later than ``start_s``.
        velocity: loudness of the attack, 0-1 (1 = MIDI velocity 127).
        confidence: how sure it is that the note was played, 0-1; 1 where nothing speaks against it.
        bends: how far the pitch heard lies above ``pitch``, in thirds of a semitone, at
            :data:`BENDS_PER_S` moments a second, evenly spaced from start to end, as Basic Pitch has it; empty where
            it was not followed.
    """

    pitch: int
    start_s: float
    end_s: float
    velocity: float
    confidence: float = 1.0
    bends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Instrument:
    """The notes of one instrument, found in one stem, where there may be others.

    Attributes:
        name: General MIDI instrument name; ``Drums`` for a drum kit.
        program: General MIDI program, 0-127 (0 for drums).
        is_drum: whether ``pitch`` is a percussion key (MIDI channel 10).
        stem: name of the stem it was heard in, as the separation model names it.
        notes: sorted by onset, then pitch.
        confidence: how sure it is that this stem was played at all and that these are its notes, 0-1.
    """

    name: str
    program: int
    is_drum: bool
    stem: str
    notes: tuple[Note, ...]
    confidence: float = 1.0
