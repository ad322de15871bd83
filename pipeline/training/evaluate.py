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
from safetensors import SafetensorError

from pipeline.instrument_families import FAMILIES
from pipeline.training.dataset import RenderedSong, rendered_songs
from pipeline.training.errors import TrainingError
from pipeline.transcription.dynamics import with_dynamics
from pipeline.transcription.note_listening import NoteListener
from pipeline.transcription.note_reading import ReadNote, read_notes

TOLERANCE_S = 0.05
"""Between a true onset and a found one."""
_CENTS = 50.0
_ENDS_SHARE = 0.2
_FEWEST_FOR_CORRELATION = 10
_SAME_NOTE_S = 0.03
_FIGURES = ("onset F", "P", "R", "onset+offset F", "velocity r", "family")

Scores = dict[str, float]


ALONE, AS_ONE = "each part alone", "all parts as one"


def evaluate(weights: Path, songs: Path) -> dict[str, list[Scores]]:
    """Figures of every recording, by family of instruments, for all parts on their own, and for whole songs.

    Raises:
        TrainingError: the file holds no weights of the note network.
    """
    paths, listener = rendered_songs([songs]), _listener(weights)
    rows: dict[str, list[Scores]] = defaultdict(list)
    for path in paths:
        song = RenderedSong.open(path)
        audio = song.audio().astype(np.float32) / 32768
        for part, family in enumerate(song.families):
            found = with_dynamics(read_notes(listener.hear(audio[part])))
            scores = scored(song.notes[song.notes[:, 0] == part], found, song.families)
            rows[FAMILIES[family]].append(scores)
            rows[ALONE].append(scores)
        found = with_dynamics(read_notes(listener.hear(audio.sum(axis=0))))
        rows[AS_ONE].append(scored(song.notes, found, song.families))
    return {name: rows[name] for name in (*FAMILIES, ALONE, AS_ONE) if name in rows}


def _listener(weights: Path) -> NoteListener:
    try:
        return NoteListener(weights)
    except SafetensorError as error:
        raise TrainingError(f"{weights}: not weights that `export` wrote") from error
    except ValueError as error:  # of another network; it names the file
        raise TrainingError(str(error)) from error


def mean(scores: Iterable[Scores], figure: str) -> float:
    """Of the recordings that have the figure; NaN where none has."""
    having = [score[figure] for score in scores if figure in score]
    return float(np.mean(having)) if having else float("nan")


def table(rows: dict[str, list[Scores]]) -> str:
    """A line for each row: how many recordings, and the means."""
    lines = [f"{'':18}{'n':>5}" + "".join(f"{figure:>16}" for figure in _FIGURES)]
    for name, scores in rows.items():
        figures = "".join(f"{mean(scores, figure):>16.3f}" for figure in _FIGURES)
        lines.append(f"{name:18}{len(scores):>5}{figures}")
    return "\n".join(lines)


def scored(true: NDArray[np.float32], found: list[ReadNote], families: tuple[int, ...]) -> Scores:
    """Figures of one recording; ``true`` as :mod:`pipeline.training.render` keeps notes, ``families`` of its parts."""
    kept = distinct_notes(true)
    if not found or not len(kept):
        return dict.fromkeys(("onset F", "P", "R", "onset+offset F"), 0.0)
    est_times = np.array([(read.note.start_s, read.note.end_s) for read in found])
    est_hz = _hz(np.array([read.note.pitch for read in found], dtype=np.float64))
    ref_times, ref_hz = kept[:, 1:3].astype(np.float64), _hz(kept[:, 3].astype(np.float64))
    matching = {"onset_tolerance": TOLERANCE_S, "pitch_tolerance": _CENTS}
    starts = mir_eval.transcription.match_notes(ref_times, ref_hz, est_times, est_hz, offset_ratio=None, **matching)
    both = mir_eval.transcription.match_notes(
        ref_times, ref_hz, est_times, est_hz, offset_ratio=_ENDS_SHARE, offset_min_tolerance=TOLERANCE_S, **matching
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


def distinct_notes(notes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unisons of several parts are one note to any listener: the louder is kept, and it ends with the later.

    Rows are those of :attr:`~pipeline.training.dataset.RenderedSong.notes`; by onset.
    """
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
