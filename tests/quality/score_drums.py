"""How well the drum transcriber does on drum stems with known hits.

Run from the repository root::

    python tests/quality/score_drums.py FOLDER [--sets a,b] [--per-song]

FOLDER holds ``<set>/<song>/stems/drums.flac`` and ``<set>/<song>/notes.json`` with
``{"instruments": [{"is_drum": true, "notes": [{"pitch", "start", "velocity"}]}]}``, seconds.  Songs without drums are
passed over.  F, precision and recall of onsets within 50 ms, matched one to one (mir_eval); hits of a class less than
20 ms apart count once; sums over all songs of a set, so long songs weigh more.  ``r`` is the correlation of velocities
over the matched hits of a set.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import mir_eval
import numpy as np
import soundfile

from pipeline.transcription.drums import DrumTranscriber

TOLERANCE_S = 0.05
SAME_HIT_S = 0.02
CLASSES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hi-hat": (42, 44, 46),
    "toms": (41, 43, 45, 47, 48, 50),
    "cymbals": (49, 51, 52, 53, 55, 57, 59),
}

Hits = list[tuple[float, float]]  # onset in seconds, velocity


def hits_of(notes: Iterable[tuple[int, float, float]], keys: tuple[int, ...]) -> Hits:
    """Onsets and velocities of a class from (key, onset, velocity), near-coincident hits once."""
    hits: Hits = []
    for _, onset_s, velocity in sorted((n for n in notes if n[0] in keys), key=lambda n: n[1]):
        if not hits or onset_s - hits[-1][0] > SAME_HIT_S:
            hits.append((onset_s, velocity))
    return hits


def matches(truth: Hits, found: Hits) -> list[tuple[int, int]]:
    """Pairs of indices of hits within the tolerance."""
    if not truth or not found:
        return []
    onsets = [np.array([onset_s for onset_s, _ in hits]) for hits in (truth, found)]
    return list(mir_eval.util.match_events(*onsets, TOLERANCE_S))


class Tally:
    """Counts per class over songs."""

    def __init__(self) -> None:
        self.counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, dtype=int))
        self.velocities: list[tuple[float, float]] = []

    def add(self, truth: dict[str, Hits], found: dict[str, Hits]) -> None:
        """Counts one song's matched, true and found hits."""
        for name in CLASSES:
            pairs = matches(truth[name], found[name])
            self.counts[name] += (len(pairs), len(truth[name]), len(found[name]))
            self.velocities += [(truth[name][i][1], found[name][j][1]) for i, j in pairs]

    def table(self) -> str:
        """One line: F (precision/recall) of each class and of all five, and the velocity correlation."""
        cells = []
        for name in (*CLASSES, "all five"):
            hit, true, found = sum(self.counts.values()) if name == "all five" else self.counts[name]
            cell = f"{2 * hit / (true + found):.3f} ({hit / max(found, 1):.2f}/{hit / true:.2f})" if true else "-"
            cells.append(f"{name} {cell}")
        expected, heard = np.array(self.velocities or [(0.0, 0.0)]).T
        if expected.std() > 0 and heard.std() > 0:
            cells.append(f"r {np.corrcoef(expected, heard)[0, 1]:.2f}")
        return "  ".join(cells)


def true_notes(path: Path) -> list[tuple[int, float, float]]:
    """(key, onset, velocity) of every drum note of a song."""
    instruments = json.loads(path.read_text(encoding="utf-8"))["instruments"]
    drums = (instrument for instrument in instruments if instrument["is_drum"])
    return [(int(n["pitch"]), float(n["start"]), float(n.get("velocity", 0))) for i in drums for n in i["notes"]]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="", help="comma-separated names; all by default")
    parser.add_argument("--per-song", action="store_true")
    arguments = parser.parse_args()
    chosen = set(filter(None, arguments.sets.split(",")))
    transcriber = DrumTranscriber()
    tallies: dict[str, Tally] = defaultdict(Tally)
    audio_s = wall_s = 0.0
    for stem_path in sorted(arguments.folder.glob("*/*/stems/drums.flac")):
        song, set_name = stem_path.parents[1], stem_path.parents[2].name
        truth = true_notes(song / "notes.json")
        if not truth or (chosen and set_name not in chosen):
            continue
        audio, rate_hz = soundfile.read(stem_path, dtype="float32", always_2d=True)
        started = time.perf_counter()
        notes = transcriber.transcribe(audio.mean(axis=1), rate_hz)
        wall_s += time.perf_counter() - started
        audio_s += len(audio) / rate_hz
        found = [(note.pitch, note.start_s, note.velocity) for note in notes]
        sides = [{name: hits_of(side, keys) for name, keys in CLASSES.items()} for side in (truth, found)]
        names = (set_name, "all sets", song.name) if arguments.per_song else (set_name, "all sets")
        for name in names:
            tallies[name].add(*sides)
    if not tallies:
        parser.error(f"no song with drums under {arguments.folder} in the sets asked for")
    for name, tally in sorted(tallies.items(), key=lambda item: item[0] == "all sets"):
        print(f"{name}\n  {tally.table()}")
    print(f"{audio_s:.0f} s of audio, {wall_s / audio_s:.4f} x real time")


if __name__ == "__main__":
    main()
