"""Songs with known notes, as they lie on disk: the songs of our own in ``songs/``, and any folder of the same layout.

``<folder>/<set>/<song>/notes.json`` holds the truth::

    {"meta": {"annotated_stems": ["bass", ...], "complete": true, "velocity_valid": true, "duration": 30.0, ...},
     "instruments": [{"name", "program", "is_drum", "stem", "notes": [{"pitch", "start", "end", "velocity"}]}]}

with seconds and velocities 0-127; ``start`` is the audible onset, ``end`` the key release.  Beside it lie
``stems/<stem>.flac`` (or .ogg or .wav), one file for each of :data:`quality.metrics.STEMS` that the song has, and
``mix.flac`` where the mix is not the plain sum of the stems.  Where ``complete`` is false, stems that are not named in
``annotated_stems`` may be there, but what they play is not known.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from pipeline.instrument_families import family_of_program
from quality.metrics import STEMS, Notes, note_array

OWN_SONGS = Path(__file__).with_name("songs")
DEMO_SONG = Path(__file__).parents[2] / "service" / "demo" / "song" / "harbour-lights.notes.json"
_SUFFIXES = (".flac", ".ogg", ".wav")
_UNKNOWN_VELOCITY = 80


class BenchError(Exception):
    """A folder of songs cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class Song:
    """A song and what is known of it.

    Attributes:
        set_name: the set it belongs to.
        name: its name in the set.
        duration_s: length of the audio.
        true: note arrays by stem (see :mod:`quality.metrics`).
        annotated: the stems whose notes are known.
        complete: whether it has no other stems.
        velocities: whether the true velocities mean something.
        stems: audio file of each true stem; none where there is only a mix.
        mix: audio file of the mix; None where it is the sum of the stems.
        families: note arrays of pitched notes by their instrument's family; empty where programs are not known.
        sounds: name of what it was rendered with; empty where that is not known.
    """

    set_name: str
    name: str
    duration_s: float
    true: Mapping[str, Notes]
    annotated: frozenset[str]
    complete: bool
    velocities: bool
    stems: Mapping[str, Path]
    mix: Path | None
    families: Mapping[str, Notes]
    sounds: str = ""

    @property
    def is_mix(self) -> bool:
        """Whether several stems sound together: a recording of one stem alone has nothing to separate."""
        return self.mix is not None or len(self.stems) > 1


def load_bench(folder: Path, sets: Collection[str] = ()) -> list[Song]:
    """Every song of a folder, in the order of sets and names.

    Args:
        folder: see the module.
        sets: names of the sets that are wanted; all if empty.

    Raises:
        BenchError: no such folder or set, no song in it, or a song that is broken.
    """
    if not folder.is_dir():
        raise BenchError(f"{folder}: no such folder")
    songs = [load_song(path) for path in sorted(folder.glob("*/*/notes.json")) if not sets or path.parts[-3] in sets]
    if folder == OWN_SONGS and (not sets or "own" in sets):
        songs.insert(0, demo_song())
    missing = set(sets) - {song.set_name for song in songs}
    if missing:
        raise BenchError(f"{folder}: no songs in {', '.join(sorted(missing))}")
    if not songs:
        raise BenchError(f"{folder}: no song (<set>/<song>/notes.json) in it")
    return songs


def load_song(path: Path) -> Song:
    """The song whose ``notes.json`` this is.

    Raises:
        BenchError: it is not as the module says, or its audio is missing.
    """
    set_name, name = path.parts[-3:-1]
    meta, true, families = _read_notes(path, velocity_scale=1.0)
    stems = {file.stem: file for file in sorted((path.parent / "stems").glob("*")) if file.suffix in _SUFFIXES}
    mixes = [file for file in (path.with_name(f"mix{suffix}") for suffix in _SUFFIXES) if file.exists()]
    unknown = set(stems) - set(STEMS)
    if unknown:
        raise BenchError(f"{path.parent / 'stems'}: stems are called {', '.join(STEMS)}, not {', '.join(unknown)}")
    annotated = frozenset(meta.get("annotated_stems", true))
    silent = annotated - set(stems)
    if silent and stems:
        raise BenchError(f"{path}: there are notes for {', '.join(sorted(silent))}, but no such file in stems/")
    audio = [*stems.values(), *mixes]
    if not audio:
        raise BenchError(f"{path.parent}: no audio beside notes.json")
    return Song(
        set_name,
        name,
        float(meta["duration"]) if "duration" in meta else _duration_s(audio[0]),
        true,
        annotated,
        complete=bool(meta.get("complete", True)),
        velocities=bool(meta.get("velocity_valid", False)),
        stems=stems,
        mix=mixes[0] if mixes else None,
        families=families,
        sounds=str(meta.get("soundfont_mode", "")),
    )


def demo_song() -> Song:
    """The service's demo song: a mix without its stems, and velocities written as 0-1."""
    meta, true, families = _read_notes(DEMO_SONG, velocity_scale=127.0)
    return Song(
        "own",
        "harbour-lights",
        float(meta["duration"]),
        true,
        frozenset(true),
        complete=True,
        velocities=True,
        stems={},
        mix=DEMO_SONG.with_name("harbour-lights.ogg"),
        families=families,
        sounds="fluid",
    )


def stem_of(instrument: Mapping[str, Any]) -> str:
    """The stem an instrument of ``notes.json`` belongs to: drums wherever they say they are, else the one it names."""
    return "drums" if instrument.get("is_drum") else str(instrument["stem"])


def _read_notes(path: Path, *, velocity_scale: float) -> tuple[dict[str, Any], dict[str, Notes], dict[str, Notes]]:
    """What is said about a song, its notes by stem, and those of pitched instruments by family."""
    by_stem: dict[str, list[tuple[float, float, float, float]]] = {}
    by_family: dict[str, list[tuple[float, float, float, float]]] = {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        meta = dict(content["meta"])
        for instrument in content["instruments"]:
            notes = [
                (
                    float(n["start"]),
                    float(n["end"]),
                    float(n["pitch"]),
                    velocity_scale * float(n.get("velocity", _UNKNOWN_VELOCITY)),
                )
                for n in instrument["notes"]
            ]
            by_stem.setdefault(stem_of(instrument), []).extend(notes)
            if not instrument.get("is_drum") and "program" in instrument:
                by_family.setdefault(family_of_program(int(instrument["program"])), []).extend(notes)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise BenchError(f"{path}: not JSON: {error}") from None
    except KeyError as error:
        raise BenchError(f"{path}: {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"{path}: not a list of notes: {error}") from None
    unknown = set(by_stem) - set(STEMS)
    if unknown:
        raise BenchError(f"{path}: stems are called {', '.join(STEMS)}, not {', '.join(sorted(unknown))}")
    true, families = ({name: note_array(notes) for name, notes in grouped.items()} for grouped in (by_stem, by_family))
    return meta, true, families


def _duration_s(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except soundfile.SoundFileError as error:
        raise BenchError(f"{path}: {error}") from None
