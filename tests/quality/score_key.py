"""How often the key is right.

    python tests/quality/score_key.py [--pop909 CHECKOUT] [--billboard CHECKOUT] [--rendered 20]

Prints a table; with both checkouts, it also becomes the section ``key`` of ``RESULTS.md``.

Judges the sets ``report`` of :mod:`quality.keyed_pieces`, of which nothing was learned.  Composed pieces and songs of
POP909 are judged by their notes; ``--rendered`` of each also by what Basic Pitch hears in the first minute, played with
MuseScore General, of all but the drums at once.  Songs of Billboard are judged by their chords, and by the chroma of
their recordings.  Errors are told apart, and weighed as in the MIREX task: a fifth away is worth .5, the relative key
.3, the parallel one .2.  A key not told counts as wrong.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.analysis.key import Key, KeySpan, estimate_keys, keys_of, main_key
from pipeline.models.store import ModelStore, default_root
from pipeline.notes import Instrument
from pipeline.transcription.basic_pitch import BasicPitchNetwork, BasicPitchTranscriber
from quality.fit_key import keyless, sounding
from quality.keyed_pieces import (
    RATE_HZ,
    REPORT,
    SOUNDFONTS,
    KeyedPiece,
    billboard,
    composed,
    modulating,
    pop909,
    rendered,
)
from quality.results_page import update_section

_WORTH = {"right": 1.0, "fifth": 0.5, "relative": 0.3, "parallel": 0.2, "other": 0.0, "not told": 0.0}
_CHANGE_WITHIN_S = 5.0
_HEARD_S = 60.0


def verdict(found: Key | None, true: Key) -> str:
    """What the answer is to the truth."""
    if found is None:
        return "not told"
    if found == true:
        return "right"
    if found.minor == true.minor:
        return "fifth" if (found.tonic - true.tonic) % 12 in (5, 7) else "other"
    if found.fifths == true.fifths:
        return "relative"
    return "parallel" if found.tonic == true.tonic else "other"


class Table:
    """Rows of the page."""

    def __init__(self) -> None:
        self.lines = [f"| pieces | judged by | n | {' | '.join(_WORTH)} | MIREX |", "|" + "---|" * (len(_WORTH) + 4)]

    def add(self, pieces: str, judged_by: str, answers: Iterable[tuple[Key | None, Key]]) -> None:
        counts = Counter(verdict(*answer) for answer in answers)
        total = counts.total()
        if total:
            shares = " | ".join(f"{counts[kind] / total:.2f}" for kind in _WORTH)
            score = sum(_WORTH[kind] * count for kind, count in counts.items()) / total
            self.lines.append(f"| {pieces} | {judged_by} | {total} | {shares} | {score:.2f} |")
            print(self.lines[-1], flush=True)


def main_of(spans: Sequence[KeySpan]) -> Key | None:
    main = main_key(spans)
    return main.key if main else None


def transcribed(piece: KeyedPiece, transcriber: BasicPitchTranscriber) -> list[Instrument]:
    """What is heard of the first minute of all but the drums, played together."""
    pitched = tuple(
        replace(one, notes=tuple(note for note in one.notes if note.start_s < _HEARD_S))
        for one in piece.instruments
        if not one.is_drum
    )
    notes = transcriber.transcribe(rendered(pitched, SOUNDFONTS[REPORT]), RATE_HZ)
    return [Instrument("", 0, False, "other", tuple(notes))]


def changes() -> str:
    """How well changes of key are found, in a line."""
    right = 0
    pieces = list(modulating(REPORT))
    for piece in pieces:
        spans = estimate_keys(piece.instruments)
        near = len(spans) == 2 and abs(spans[1].start_s - piece.keys[1][0]) < _CHANGE_WITHIN_S
        right += near and [span.key for span in spans] == [key for _, key in piece.keys]
    single = [estimate_keys(piece.instruments) for piece in composed(REPORT)]
    false = sum(len(spans) > 1 for spans in single)
    return (
        f"Of {len(pieces)} composed pieces that go up one to four semitones halfway, {right} have both keys right and "
        f"the change within {_CHANGE_WITHIN_S:.0f} s; of {len(single)} in one key, a change is told in {false}."
    )


def random_lists() -> str:
    rng = np.random.default_rng(2)
    told = sum(bool(keys_of(sounding(keyless(rng)))) for _ in range(500))
    return f"Of 500 lists of 15 to 800 random notes, {told} are told to be in a key."


def cost(piece: KeyedPiece) -> str:
    duration_s = max(note.end_s for one in piece.instruments for note in one.notes)
    start = time.perf_counter()
    estimate_keys(piece.instruments)
    return f"It takes {(time.perf_counter() - start) / duration_s:.5f} of the song's duration, notes given."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pop909", type=Path)
    parser.add_argument("--billboard", type=Path)
    parser.add_argument("--rendered", type=int, default=20)
    args = parser.parse_args()
    (weights,) = ModelStore(Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root())).require("basic-pitch")
    transcriber = BasicPitchTranscriber(BasicPitchNetwork(weights))
    table = Table()
    sets = {"composed": list(composed(REPORT))}
    if args.pop909:
        sets["POP909"] = list(pop909(args.pop909, REPORT, 10_000))
    for name, pieces in sets.items():
        table.add(name, "notes", ((main_of(estimate_keys(piece.instruments)), piece.key) for piece in pieces))
        few = pieces[:: max(len(pieces) // max(args.rendered, 1), 1)][: args.rendered]
        table.add(
            name,
            "transcription",
            ((main_of(estimate_keys(transcribed(piece, transcriber))), piece.key) for piece in few),
        )
    if args.billboard:
        songs = list(billboard(args.billboard, REPORT))
        table.add(
            "Billboard", "chords", ((main_of(estimate_keys(song.piece().instruments)), song.key) for song in songs)
        )
        recordings = ((main_of(keys_of(song.recording())), song.key) for song in songs)
        table.add("Billboard", "chroma of the recording", recordings)
    lines = [changes(), random_lists(), cost(sets["composed"][0])]
    print(*lines, sep="\n")
    if args.pop909 and args.billboard:  # else the page would lose what others measured
        command = "python tests/quality/score_key.py --pop909 CHECKOUT --billboard CHECKOUT"
        head = f"## Key\n\nBy `{command}`, which says what is judged.\n"
        update_section("key", "\n".join([head, *table.lines, "", *lines]))


if __name__ == "__main__":
    main()
