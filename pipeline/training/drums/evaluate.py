"""How well a drum network hears performances on kits that it was not trained on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import mir_eval
import numpy as np

from pipeline.training.drums.render import Song
from pipeline.transcription.drum_classes import CLASSES, FAMILIES
from pipeline.transcription.drum_decoding import Stroke, strokes
from pipeline.transcription.drum_network import DrumNetwork, hear

TOLERANCE_S = 0.05
THRESHOLDS = tuple(np.round(np.arange(0.3, 0.85, 0.05), 2).tolist())


@dataclass
class Score:
    """Onset F (50 ms) by family and class, and the correlation of velocities over matched strokes, at one threshold.

    Attributes:
        matched: strokes found that are there, by name of family or class; ``all`` for the five families together.
        counted: strokes that are there plus strokes found, likewise.
        velocities: of matched strokes of the five families, true and found.
    """

    matched: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    velocities: list[tuple[float, float]] = field(default_factory=list)

    def f(self, name: str) -> float:
        """F of a family, a class or ``all``; 0 where there is none."""
        return 2 * self.matched[name] / max(self.counted[name], 1)

    @property
    def velocity_r(self) -> float:
        """Pearson's r."""
        return float(np.corrcoef(np.array(self.velocities).T)[0, 1]) if len(self.velocities) > 2 else 0.0

    def add(self, song: Song, found: Sequence[Stroke]) -> None:
        """Counts one song."""
        groups = FAMILIES | {name: (name,) for name in CLASSES}
        for name, classes in groups.items():
            mine = [hit for hit in song.hits.tolist() if CLASSES[int(hit[1])] in classes]
            true = sorted((time_s, velocity) for time_s, _, velocity in mine)
            heard = sorted((stroke.time_s, stroke.velocity) for stroke in found if stroke.name in classes)
            pairs = _matched([time_s for time_s, _ in true], [time_s for time_s, _ in heard])
            self.matched[name] += len(pairs)
            self.counted[name] += len(true) + len(heard)
            if name in FAMILIES:
                self.matched["all"] += len(pairs)
                self.counted["all"] += len(true) + len(heard)
                self.velocities += [(true[i][1], heard[j][1]) for i, j in pairs]


def _matched(true: list[float], found: list[float]) -> list[tuple[int, int]]:
    if not true or not found:
        return []
    return list(mir_eval.util.match_events(np.array(true), np.array(found), TOLERANCE_S))


def evaluate(network: DrumNetwork, songs: Sequence[Song], thresholds: Sequence[float]) -> dict[float, Score]:
    """Scores by threshold."""
    scores = {threshold: Score() for threshold in thresholds}
    for song in songs:
        said = hear(network, song.levels.astype(np.float32), song.profile.astype(np.float32))
        for threshold, score in scores.items():
            score.add(song, strokes(*said, threshold))
    return scores


def table(scores: dict[str, Score]) -> str:
    """Figures of several sets of songs as a Markdown table."""
    names = ("all", *FAMILIES, *(name for name in CLASSES if name not in FAMILIES))
    lines = ["| set | " + " | ".join((*names, "velocity r")) + " |", "|---" * (len(names) + 2) + "|"]
    for set_name, score in scores.items():
        cells = [f"{score.f(name):.3f}" for name in names] + [f"{score.velocity_r:.3f}"]
        lines.append(f"| {set_name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
