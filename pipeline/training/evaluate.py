"""Scores weights on rendered songs: every part on its own, and all parts of a song as one.

Onsets within 50 ms, pitches within 50 cents, ends within 50 ms or a fifth of the note, as mir_eval matches them; means
over parts, or over songs.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import mir_eval
import numpy as np
from numpy.typing import NDArray

from pipeline.instrument_families import FAMILIES
from pipeline.training.dataset import RenderedSong
from pipeline.transcription.note_listening import NoteListener
from pipeline.transcription.note_reading import ReadNote, read_notes

_TOLERANCE_S = 0.05
_CENTS = 50.0
_ENDS_SHARE = 0.2
_FEWEST_FOR_CORRELATION = 10
_SAME_NOTE_S = 0.03
_FIGURES = ("onset F", "P", "R", "onset+offset F", "velocity r", "family")

Scores = dict[str, float]


def evaluate(weights: Path, songs: Path) -> str:
    """A table: a row for each family of instruments, for all parts on their own, and for whole songs."""
    listener = NoteListener(weights)
    rows: dict[str, list[Scores]] = defaultdict(list)
    for path in sorted(songs.glob("[!.]*/song.json")):
        song = RenderedSong.open(path.parent)
        audio = song.audio().astype(np.float32) / 32768
        for part, family in enumerate(song.families):
            found = read_notes(listener.hear(audio[part]))
            scores = scored(song.notes[song.notes[:, 0] == part], found, song.families)
            rows[FAMILIES[family]].append(scores)
            rows["each part alone"].append(scores)
        found = read_notes(listener.hear(audio.sum(axis=0)))
        rows["all parts as one"].append(scored(song.notes, found, song.families))
    order = [*(family for family in FAMILIES if family in rows), "each part alone", "all parts as one"]
    return "\n".join(_lines((name, rows[name]) for name in order))


def scored(true: NDArray[np.float32], found: list[ReadNote], families: tuple[int, ...]) -> Scores:
    """Figures of one recording; ``true`` as :mod:`pipeline.training.render` keeps notes, ``families`` of its parts."""
    kept = _distinct(true)
    if not found or not len(kept):
        return dict.fromkeys(("onset F", "P", "R", "onset+offset F"), 0.0)
    est_times = np.array([(read.note.start_s, read.note.end_s) for read in found])
    est_hz = _hz(np.array([read.note.pitch for read in found], dtype=np.float64))
    ref_times, ref_hz = kept[:, 1:3].astype(np.float64), _hz(kept[:, 3].astype(np.float64))
    matching = {"onset_tolerance": _TOLERANCE_S, "pitch_tolerance": _CENTS}
    starts = mir_eval.transcription.match_notes(ref_times, ref_hz, est_times, est_hz, offset_ratio=None, **matching)
    both = mir_eval.transcription.match_notes(
        ref_times, ref_hz, est_times, est_hz, offset_ratio=_ENDS_SHARE, offset_min_tolerance=_TOLERANCE_S, **matching
    )
    total = len(kept) + len(found)
    scores = {
        "onset F": 2 * len(starts) / total,
        "P": len(starts) / len(found),
        "R": len(starts) / len(kept),
        "onset+offset F": 2 * len(both) / total,
    }
    if starts:
        right = [families[int(kept[i, 0])] == int(np.argmax(found[j].family)) for i, j in starts]
        scores["family"] = float(np.mean(right))
    if len(starts) >= _FEWEST_FOR_CORRELATION:
        truth = np.array([kept[i, 4] for i, _ in starts])
        heard = np.array([found[j].note.velocity for _, j in starts])
        if truth.std() > 2 and heard.std() > 0:
            scores["velocity r"] = float(np.corrcoef(truth, heard)[0, 1])
    return scores


def _distinct(notes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unisons of several parts are one note to any listener: the louder is kept, and it ends with the later."""
    kept: list[NDArray[np.float32]] = []
    last: dict[int, int] = {}
    for note in notes[np.argsort(notes[:, 1], kind="stable")]:
        pitch = int(note[3])
        if pitch in last and note[1] - kept[last[pitch]][1] < _SAME_NOTE_S:
            before = kept[last[pitch]]
            louder = note if note[4] > before[4] else before
            kept[last[pitch]] = np.array([louder[0], before[1], max(before[2], note[2]), pitch, louder[4]], np.float32)
            continue
        last[pitch] = len(kept)
        kept.append(note)
    return np.array(kept, dtype=np.float32).reshape(-1, 5)


def _hz(pitches: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(440 * 2 ** ((pitches - 69) / 12))


def _lines(rows: Iterable[tuple[str, list[Scores]]]) -> Iterable[str]:
    yield f"{'':18}{'n':>5}" + "".join(f"{figure:>16}" for figure in _FIGURES)
    for name, scores in rows:
        values = []
        for figure in _FIGURES:
            having = [score[figure] for score in scores if figure in score]
            values.append(f"{np.mean(having):.3f}" if having else "-")
        yield f"{name:18}{len(scores):>5}" + "".join(f"{value:>16}" for value in values)
