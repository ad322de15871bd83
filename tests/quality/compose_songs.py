"""Composes and renders the songs of our own that the ruler measures with (measure.py).

Run from the repository root::

    python tests/quality/compose_songs.py [--soundfont FluidR3_GM.sf2] [--out tests/quality/songs/own]

For each song of ``compositions/`` it writes ``stems/*.ogg`` and ``notes.json``, in the layout that bench_songs.py
describes; the mix is the sum of the stems.  ``meta`` also holds the tempo map, the beats, the downbeats and the key: a
beat's time is that of the score, which every player is a few milliseconds off.  What this needs, and what truth means,
says song_rendering.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality.compositions import ballad, funk, house, rock_trio, waltz
from quality.compositions.notation import Composition
from quality.song_rendering import (
    LICENCE,
    RATE_HZ,
    Performance,
    faded,
    peak_gain,
    perform,
    rendering_arguments,
    write_ogg,
)

SONGS = (rock_trio.SONG, waltz.SONG, house.SONG, funk.SONG, ballad.SONG)
COMPRESSION_LEVEL = 0.75  # about Vorbis q2.5: 18 stems of half a minute in 5 MB
OUT = Path(__file__).with_name("songs") / "own"


def write_song(song: Composition, soundfont: Path, folder: Path) -> None:
    """Renders a song's parts and writes its stems and its truth."""
    rng = np.random.default_rng(song.seed)
    performances = [perform(part, song.tempo.at_s, song.duration_s, soundfont, rng) for part in song.parts]
    stems: dict[str, np.ndarray] = {}
    for performance in performances:
        name = performance.part.stem
        stems[name] = stems.get(name, 0.0) + faded(performance.audio)
    gain = peak_gain(sum(stems.values(), start=np.zeros(1)))
    (folder / "stems").mkdir(parents=True, exist_ok=True)
    for name, audio in stems.items():
        write_ogg(folder / "stems" / f"{name}.ogg", gain * audio, COMPRESSION_LEVEL)
    text = json.dumps({"meta": meta(song), "instruments": [instrument(p) for p in performances]}, indent=None)
    (folder / "notes.json").write_text(text.replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")


def meta(song: Composition) -> dict[str, Any]:
    """What is true of a song beside its notes."""
    n_beats = song.n_bars * song.beats_per_bar + 1  # with the downbeat of the last chord
    beats = [round(song.tempo.at_s(beat), 4) for beat in range(n_beats)]
    return {
        "title": song.title,
        "set": "own",
        "song": song.name,
        "genre": song.style,
        "license": LICENCE,
        "soundfont": "FluidR3_GM.sf2",
        "soundfont_mode": "fluid",
        "sr": RATE_HZ,
        "duration": song.duration_s,
        "annotated_stems": sorted({part.stem for part in song.parts}),
        "complete": True,
        "velocity_valid": True,
        "key": song.key,
        "time_signature": song.metre,
        "beat_unit": song.beat_unit,
        "tempo_map": [{"time": round(song.tempo.at_s(b), 4), "bpm": bpm} for b, bpm in song.tempo.tempos],
        "beats": beats,
        "downbeats": beats[:: song.beats_per_bar],
    }


def instrument(performance: Performance) -> dict[str, Any]:
    """One part's entry of ``notes.json``."""
    part = performance.part
    return {
        "name": part.name,
        "instrument": "Drums" if part.is_drum else part.name,
        "program": part.program,
        "is_drum": part.is_drum,
        "stem": part.stem,
        "notes": [
            {"pitch": n.pitch, "start": n.start_s, "end": n.end_s, "velocity": n.velocity} for n in performance.notes
        ],
    }


def main() -> None:
    """Command line."""
    arguments = rendering_arguments(__doc__, OUT)
    for song in SONGS:
        print(song.title)
        write_song(song, arguments.soundfont, arguments.out / song.name)


if __name__ == "__main__":
    main()
