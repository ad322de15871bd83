"""What transcription gives of a song, and the files that hold it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.analysis.beats import Beats
from pipeline.analysis.key import KeySpan, main_key
from pipeline.artefacts.beats_json import write_beats_json
from pipeline.artefacts.piano_roll import write_piano_roll
from pipeline.artefacts.preview import write_preview
from pipeline.artefacts.score import write_score
from pipeline.midi import write_midi
from pipeline.notes import Instrument
from pipeline.notes_csv import write_notes_csv


@dataclass(frozen=True, slots=True)
class HeardSong:
    """What was heard of a song.

    Attributes:
        instruments: those with notes, in the order of the stems.
        duration_s: length of the longest stem.
        beats: its tempo, beats and bars; None where they are not clear.
        keys: its keys, in order; empty where none is clear.
    """

    instruments: tuple[Instrument, ...]
    duration_s: float
    beats: Beats | None = None
    keys: tuple[KeySpan, ...] = ()

    @property
    def key(self) -> KeySpan | None:
        """The longest span of the key that the song is in for the longest time."""
        return main_key(self.keys)


@dataclass(frozen=True, slots=True)
class SongNotes:
    """What was heard, and where it was written.

    Attributes:
        heard: instruments, beats, keys.
        midi: ``song.mid``, a track per instrument.
        csv: ``notes.csv``, every note.
        score: ``score.musicxml``, sheet music.
        piano_roll: ``piano-roll.svg``, a picture of the notes.
        preview: ``preview.mp3``, the notes played.
        beats_json: ``beats.json``, beats, bars and keys.
        stem_midi: a MIDI file for each stem that has notes, with all its instruments, by the stem's name.
    """

    heard: HeardSong
    midi: Path
    csv: Path
    score: Path
    piano_roll: Path
    preview: Path
    beats_json: Path
    stem_midi: dict[str, Path]


def write_song_notes(heard: HeardSong, out_dir: Path, on_block: Callable[[], None] = lambda: None) -> SongNotes:
    """Write every file there is of a song's notes; they appear when all are complete.

    Args:
        heard: the song.
        out_dir: folder for the files; it must exist.
        on_block: called before every piece of the longest part of the work.

    Raises:
        OSError: a file cannot be written.
    """
    instruments, beats, keys = heard.instruments, heard.beats, heard.keys
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out_dir) as name:
        folder = Path(name)
        write_midi(instruments, folder / "song.mid", beats=beats, keys=keys)
        write_notes_csv(instruments, folder / "notes.csv")
        write_score(instruments, folder / "score.musicxml", beats=beats, key=heard.key)
        write_piano_roll(instruments, heard.duration_s, folder / "piano-roll.svg")
        write_preview(instruments, heard.duration_s, folder / "preview.mp3", on_block)
        write_beats_json(beats, keys, folder / "beats.json")
        stems = list(dict.fromkeys(instrument.stem for instrument in instruments))
        for stem in stems:
            played = [instrument for instrument in instruments if instrument.stem == stem]
            write_midi(played, folder / f"{stem}.mid", beats=beats, keys=keys)
        for path in folder.iterdir():
            path.replace(out_dir / path.name)
    return SongNotes(
        heard,
        midi=out_dir / "song.mid",
        csv=out_dir / "notes.csv",
        score=out_dir / "score.musicxml",
        piano_roll=out_dir / "piano-roll.svg",
        preview=out_dir / "preview.mp3",
        beats_json=out_dir / "beats.json",
        stem_midi={stem: out_dir / f"{stem}.mid" for stem in stems},
    )
