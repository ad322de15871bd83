"""Made-up songs: several parts of one key and tempo, each for some family of instruments."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pretty_midi

from pipeline.training import parts
from pipeline.training.errors import TrainingError
from pipeline.training.harmony import Chord, Frame, made_up_frame
from pipeline.training.parts import Writer, without_overlaps
from pipeline.training.sounds.base import Played, Sound

_KEYBOARDS = ("piano", "organ", "mallets", "synth lead")
_HARMONY = ("piano", "organ", "guitar", "guitar", "distorted guitar", "strings", "synth pad", "mallets", "brass")
_HELD = ("strings", "strings", "synth pad", "synth pad", "organ", "voice", "brass")
_LINES = (
    "strings",
    "voice",
    "brass",
    "reeds and pipes",
    "synth lead",
    "guitar",
    "distorted guitar",
    "piano",
    "mallets",
)

# What is played, how often it is in a song, and by whom
ROLES: dict[str, tuple[Callable[[Writer], None], float, tuple[str, ...]]] = {
    "bass": (parts.bass, 0.14, ("bass", "bass", "bass", "synth lead")),
    "chords": (parts.chords, 0.17, _HARMONY),
    "pad": (parts.pad, 0.16, _HELD),
    "arpeggio": (parts.arpeggio, 0.11, (*_KEYBOARDS, "guitar", "guitar", "synth pad", "strings")),
    "tune": (parts.tune, 0.2, _LINES),
    "riff": (
        parts.riff,
        0.08,
        ("distorted guitar", "distorted guitar", "guitar", "synth lead", "bass", "brass", "piano"),
    ),
    "two hands": (parts.two_hands, 0.08, ("piano", "piano", "organ", "mallets")),
    "anything": (parts.anything, 0.06, (*_HARMONY, *_LINES, "bass")),
}
_DOUBLED_SHARE = 0.12
_FEWEST_NOTES = 8
_TRANSPOSE = (-5, 7)


@dataclass(frozen=True, slots=True)
class Part:
    """What one instrument plays.

    Attributes:
        role: one of :data:`ROLES`, or where it was taken from.
        sound: who plays it.
        notes: in order, none of one key overlapping.
    """

    role: str
    sound: Sound
    notes: tuple[Played, ...]


@dataclass(frozen=True, slots=True)
class Song:
    """Parts that belong together, lined up by the beats of their frame."""

    frame: Frame
    parts: tuple[Part, ...]


class Composer:
    """Makes up songs for the sounds that there are.

    Args:
        sounds: who may play.
        pieces: MIDI files of pieces whose tracks may be borrowed (POP909: a tune, a second one, and a piano); empty for
            none.
        borrowed_share: how many of the songs are such pieces.
    """

    def __init__(self, sounds: list[Sound], pieces: list[Path], borrowed_share: float = 0.35) -> None:
        self._by_family: dict[str, list[Sound]] = {}
        for sound in sounds:
            self._by_family.setdefault(sound.family, []).append(sound)
        self._pieces = pieces
        self._borrowed_share = borrowed_share if pieces else 0.0

    def song(self, rng: np.random.Generator, length_s: float, n_parts: int) -> Song:
        """A song with that many parts; fewer when some would hardly have a note.

        Raises:
            TrainingError: there is nobody to play one of them.
        """
        borrowed: list[list[Played]] = []
        if rng.random() < self._borrowed_share:
            frame, borrowed = _piece(self._pieces[rng.integers(len(self._pieces))], rng, length_s)
        else:
            frame = made_up_frame(rng, length_s)
        found: list[Part] = []
        for notes in borrowed:
            sound = self._sound(rng, _LINES if _one_voice(notes) else (*_HARMONY, "piano", "piano"))
            writer = Writer(frame, rng, sound.keys)
            parts.doubled(writer, notes)
            found.append(Part("borrowed", sound, tuple(writer.notes())))
        while len(found) < n_parts:
            found.append(self._part(frame, rng, found))
        return Song(frame, tuple(part for part in found if len(part.notes) >= _FEWEST_NOTES))

    def _part(self, frame: Frame, rng: np.random.Generator, others: list[Part]) -> Part:
        if others and rng.random() < _DOUBLED_SHARE:
            other = others[rng.integers(len(others))]
            sound = self._sound(rng, _LINES)
            writer = Writer(frame, rng, sound.keys)
            parts.doubled(writer, list(other.notes))
            return Part("doubled", sound, tuple(writer.notes()))
        names = list(ROLES)
        shares = np.array([ROLES[name][1] for name in names])
        role = names[rng.choice(len(names), p=shares / shares.sum())]
        play, _, families = ROLES[role]
        sound = self._sound(rng, families)
        writer = Writer(frame, rng, sound.keys)
        play(writer)
        return Part(role, sound, tuple(writer.notes()))

    def _sound(self, rng: np.random.Generator, families: tuple[str, ...]) -> Sound:
        having = [family for family in families if family in self._by_family]
        if not having:
            raise TrainingError(
                f"no sound of {', '.join(dict.fromkeys(families))}: give more soundfonts, libraries or --synthetic"
            )
        choices = self._by_family[having[rng.integers(len(having))]]
        return choices[rng.integers(len(choices))]


def _one_voice(notes: list[Played]) -> bool:
    together = sum(later.start_s - note.start_s < 0.03 for note, later in pairwise(notes))
    return together < 0.1 * len(notes)


def _piece(path: Path, rng: np.random.Generator, length_s: float) -> tuple[Frame, list[list[Played]]]:
    """An excerpt of a MIDI file, transposed, at a tempo of its own; chords as its notes have them."""
    try:
        midi = pretty_midi.PrettyMIDI(str(path))
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:  # mido's, of files that are damaged
        raise TrainingError(f"--pieces: {path} is no MIDI file that can be read: {error}") from error
    stretch = float(rng.uniform(0.75, 1.3))
    first_s = float(rng.uniform(0.0, max(midi.get_end_time() - length_s / stretch, 0.1)))
    up = int(rng.integers(*_TRANSPOSE))
    tracks = [
        without_overlaps(
            [
                Played((note.start - first_s) * stretch, (note.end - first_s) * stretch, note.pitch + up, note.velocity)
                for note in instrument.notes
                if note.start >= first_s and (note.end - first_s) * stretch < length_s and 12 < note.pitch + up < 116
            ]
        )
        for instrument in midi.instruments
        if not instrument.is_drum
    ]
    tracks = [track for track in tracks if len(track) >= _FEWEST_NOTES]
    beats = (midi.get_beats() - first_s) * stretch
    beat_s = float(np.median(np.diff(beats))) if len(beats) > 1 else 0.5
    tonic = int(rng.integers(12))
    everything = sorted((note for track in tracks for note in track), key=lambda note: note.start_s)
    chords: list[Chord] = []
    start_s = 0.0
    while start_s < length_s:
        end_s = start_s + 4 * beat_s
        weights = np.zeros(12)
        for note in everything:
            weights[note.pitch % 12] += max(0.0, min(note.end_s, end_s) - max(note.start_s, start_s))
        classes = tuple(int(pitch) for pitch in np.argsort(-weights)[:4] if weights[pitch] > 0) or (tonic,)
        chords.append(Chord(start_s, end_s, classes[0], classes))
        start_s = end_s
    common = np.argsort(-np.bincount([note.pitch % 12 for note in everything] or [tonic], minlength=12))[:7]
    scale = tuple(sorted(int(pitch) for pitch in common))
    return Frame(beat_s, 4, 0.5, length_s, scale, tuple(chords)), tracks
