"""Means over songs, and the tables that show them beside the peers' and the last committed ones."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality.metrics import DRUM_CLASSES, STEMS, Scores, mean_scores

RESULTS = Path(__file__).with_name("results.json")
PEERS = Path(__file__).with_name("peers.json")
PROTOCOLS = {"true": "true stems", "mix": "from the mix"}
FITTED_SOUNDS = ("fluid", "muse")  # soundfonts that transcribers may be fitted on: their songs are also shown apart

Summary = dict[str, dict[str, dict[str, Any]]]  # set -> protocol -> what summarise says
_PITCHED = ("bass", "vocals", "guitar", "piano", "other", "harmonic", "all pitched")
_DRUMS = ("five", *DRUM_CLASSES)
_TIMES = ("elapsed", "cpu")
_TRIPLE = ("onset_f", "onset_offset_f", "velocity_r")


@dataclass(frozen=True, slots=True)
class SongScores:
    """How one song went in one protocol.

    Attributes:
        families: scores by family, and of the drums.
        absent: notes per 10 s by stem, of those the song does not have.
        time_share: how long transcription took, as a share of the audio's length.
        cpu_share: the processor time it took, of all cores together, as a share of the audio's length: what a busy
            machine does not change.
        sounds: what the song was rendered with, where that is known.
    """

    set_name: str
    song: str
    protocol: str
    families: Mapping[str, Scores]
    absent: Scores
    time_share: float
    cpu_share: float
    sounds: str = ""


def summarise(songs: Sequence[SongScores]) -> Summary:
    """Means over the songs of each set and protocol.

    A set that mixes songs made with sounds that transcribers may be fitted on with others appears twice more, as
    ``<set>, fitted sounds`` and ``<set>, other sounds``.
    """
    groups: dict[tuple[str, str], list[SongScores]] = {}
    for song in songs:
        groups.setdefault((song.set_name, song.protocol), []).append(song)
    for (name, protocol), members in list(groups.items()):
        fitted = [song for song in members if song.sounds in FITTED_SOUNDS]
        if 0 < len(fitted) < len(members):
            groups[f"{name}, fitted sounds", protocol] = fitted
            groups[f"{name}, other sounds", protocol] = [song for song in members if song not in fitted]
    summary: Summary = {}
    for (name, protocol), members in groups.items():
        families = dict.fromkeys(family for song in members for family in song.families)
        summary.setdefault(name, {})[protocol] = {
            "songs": len(members),
            "families": {f: mean_scores(s.families[f] for s in members if f in s.families) for f in families},
            "absent": mean_scores(song.absent for song in members if song.absent),
            "time": mean_scores({"elapsed": song.time_share, "cpu": song.cpu_share} for song in members),
        }
    return summary


def read_results(path: Path = RESULTS) -> tuple[Summary, Summary]:
    """The last committed figures, and those before them."""
    if not path.exists():
        return {}, {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["measured"], content["before"]


def write_results(measured: Summary, before: Summary, path: Path = RESULTS) -> None:
    """Keeps figures for the next run to compare with; four decimals."""
    content = {"measured": _rounded(measured), "before": _rounded(before)}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def updated(old: Summary, new: Summary) -> Summary:
    """The old figures with those of the sets and protocols that were measured anew."""
    return {name: old.get(name, {}) | new.get(name, {}) for name in {**old, **new}}


def tables(summary: Summary, before: Summary) -> str:
    """Markdown: for each protocol a table of pitched families, of drums, and of absent stems and time."""
    peers = json.loads(PEERS.read_text(encoding="utf-8"))
    parts = []
    for protocol, title in PROTOCOLS.items():
        sets = {name: summary[name][protocol] for name in sorted(summary) if protocol in summary[name]}
        if not sets:
            continue
        old = {name: before.get(name, {}).get(protocol, {}) for name in sets}
        known = [peer for peer in peers if peer["protocol"] == protocol]
        made = {
            "Pitched": _pitched(sets, old, known),
            "Drums": _drums(sets, old, known),
            "Notes per 10 s on absent stems, and time": _absent(sets, old),
        }
        parts += [f"### {name}, {title}\n\n{table}" for name, table in made.items() if table]
    return "\n\n".join(parts)


def song_table(songs: Iterable[SongScores]) -> str:
    """Markdown: every family of every song."""
    head = ("protocol", "set", "song", "family", "onset / +offset / r, or five")
    rows = [
        (song.protocol, song.set_name, song.song, family, _figures(scores, ("five",) if "five" in scores else _TRIPLE))
        for song in songs
        for family, scores in song.families.items()
    ]
    return markdown(head, rows)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that is also readable as text; nothing without rows."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    if len(lines) == 1:
        return ""
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *shown[1:]])


def _pitched(sets: Mapping[str, Any], old: Mapping[str, Any], peers: Sequence[Any]) -> str:
    head = ("set", "family", "songs", "onset F", "P", "R", "onset+offset F", "velocity r", "family", "before", "peers")
    columns = ("onset_f", "onset_precision", "onset_recall", "onset_offset_f", "velocity_r", "family")
    rows = []
    for name, figures in sets.items():
        shown: list[Scores] = []
        for family in _PITCHED:
            scores = figures["families"].get(family)
            if not scores or scores in shown:  # of a set with one kind of stem, merged families are that stem again
                continue
            shown.append(scores)
            was = _figures(old[name].get("families", {}).get(family, {}), _TRIPLE)
            rivals = _peer_cell(peers, name, family, _TRIPLE)
            rows.append(
                (name, family, str(scores["songs"]), *(_figure(scores.get(column)) for column in columns), was, rivals)
            )
    return markdown(head, rows)


def _drums(sets: Mapping[str, Any], old: Mapping[str, Any], peers: Sequence[Any]) -> str:
    head = ("set", "songs", *_DRUMS, "any", "velocity r", "before: five, r", "peers: five, " + ", ".join(DRUM_CLASSES))
    rows = []
    for name, figures in sets.items():
        scores = figures["families"].get("drums")
        if scores:
            was = _figures(old[name].get("families", {}).get("drums", {}), ("five", "velocity_r"))
            cells = [_figure(scores.get(column)) for column in (*_DRUMS, "any", "velocity_r")]
            rows.append((name, str(scores["songs"]), *cells, was, _peer_cell(peers, name, "drums", _DRUMS)))
    return markdown(head, rows)


def _absent(sets: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    found = {stem for figures in sets.values() for stem in figures["absent"]}
    stems = [stem for stem in STEMS if stem in found]
    head = ("set", *stems, "before", "time / duration", "CPU time / duration", "before")
    rows = []
    for name, figures in sets.items():
        rates, was = ([_rate(side.get("absent", {}).get(stem)) for stem in stems] for side in (figures, old[name]))
        times, took = ([_share(side.get("time", {}).get(kind)) for kind in _TIMES] for side in (figures, old[name]))
        rows.append((name, *rates, _joined(was), *times, _joined(took)))
    return markdown(head, rows)


def _peer_cell(peers: Sequence[Any], set_name: str, family: str, metrics: Sequence[str]) -> str:
    cells = []
    for peer in peers:
        scores = peer["figures"].get(set_name, {}).get(family)
        if scores:
            cells.append(f"{peer['name']} {_figures(scores, metrics)}")
    return "; ".join(cells)


def _figures(scores: Mapping[str, float], metrics: Sequence[str]) -> str:
    """Several figures in a cell, as far as there are any."""
    return _joined([_figure(scores.get(metric)) for metric in metrics])


def _joined(figures: Sequence[str]) -> str:
    while figures and figures[-1] == "-":
        figures = figures[:-1]
    return " / ".join(figures)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".replace("0.", ".", 1)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
