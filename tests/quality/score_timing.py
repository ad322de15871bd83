"""How well tempo, beats, bars and time signatures are found: writes the section ``time`` of ``RESULTS.md``.

Conventions (mir_eval's)
------------------------
* *beat F*, *downbeat F*: by a largest matching within 70 ms; what lies in the first 5 s is left out on both sides.
* *tempo*: the song's median tempo is within 2 % of the true one.  *octave*: it is not, but within 2 % of a half, twice,
  a third or three times it: counted apart.
* *signature*: the time signature is right; 12/8 and 4/4 are two, and so are 2/4 and 4/4.
* *answered*: there was an answer at all; without one everything is zero.  Means weigh every song the same.

Protocols
---------
* ``notes``: from the true notes of all stems;
* ``stems``: from our transcription of the true stems;
* ``mix``: from our transcription of what our separation makes of the mix (``<song>/separated/*.flac``);
* ``librosa``: its ``beat_track`` on the mix, every fourth beat taken for a downbeat: the peer.

Run from the repository root::

    python tests/quality/score_timing.py [--half tuning|figures]            # notes, of timing_songs
    python tests/quality/score_timing.py --folder DIR --protocol mix        # any songs, as timing_songs.py writes them

The songs for the figures, by their notes, are on the page; the rest is printed only.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.analysis.beats import Beats, estimate_beats
from pipeline.audio.decode import DecodeLimits, decode
from pipeline.models.store import ModelStore, default_root
from pipeline.notes import Instrument, Note
from pipeline.transcription.routing import Transcription
from quality import timing_songs
from quality.results_page import update_section

TOLERANCE = 0.02
OCTAVES = (1 / 3, 1 / 2, 2.0, 3.0)


@dataclass(frozen=True)
class Truth:
    """What is known of a song: beats in seconds, which begin bars, the time signature."""

    beats_s: np.ndarray
    downbeats: np.ndarray
    signature: tuple[int, int] | None

    @property
    def bpm(self) -> float:
        """Quarter notes, dotted quarters in compound metres, a minute."""
        odd = self.signature is not None and self.signature[1] == 8 and self.signature[0] % 3 != 0
        return float(60 / np.median(np.diff(self.beats_s))) / (2 if odd else 1)


def scores(truth: Truth, beats_s: np.ndarray, downbeats_s: np.ndarray, bpm: float) -> dict[str, float]:
    """Figures of one song, 0-1."""
    ratio = bpm / truth.bpm if bpm else 0.0
    trim = mir_eval.beat.trim_beats
    return {
        "tempo": float(abs(ratio - 1) <= TOLERANCE),
        "octave": float(any(abs(ratio / octave - 1) <= TOLERANCE for octave in OCTAVES)),
        "beat F": float(mir_eval.beat.f_measure(trim(truth.beats_s), trim(beats_s))),
        "downbeat F": float(mir_eval.beat.f_measure(trim(truth.beats_s[truth.downbeats]), trim(downbeats_s))),
    }


def scored(truth: Truth, found: Beats | None) -> dict[str, float]:
    """Figures of an answer of ours."""
    if found is None:
        return {"tempo": 0.0, "octave": 0.0, "beat F": 0.0, "downbeat F": 0.0, "signature": 0.0, "answered": 0.0}
    out = scores(truth, found.times_s, found.times_s[found.downbeats], found.bpm)
    if truth.signature is not None:
        out["signature"] = float(found.time_signature == tuple(truth.signature))
    out["answered"] = 1.0
    return out


def true_instruments(notes: list[dict]) -> list[Instrument]:
    """Instruments of a notes.json, velocities 0-1."""
    out = []
    for one in notes:
        played = sorted(one["notes"], key=lambda n: (n["start"], n["pitch"]))
        made = tuple(Note(n["pitch"], n["start"], n["end"], n["velocity"] / 127) for n in played)
        out.append(Instrument(one["name"], one["program"], one["is_drum"], one["stem"], made))
    return out


def composed(half: str) -> Iterator[tuple[str, Truth, list[Instrument]]]:
    """The songs of :mod:`timing_songs` with their true notes; nothing is rendered."""
    for name in timing_songs.names(half):
        song = timing_songs.compose(name)
        heard = [
            Instrument(
                part.name,
                part.program,
                part.is_drum,
                part.stem,
                tuple(Note(n.pitch, n.start_s, n.end_s, n.velocity / 127) for n in notes),
            )
            for part, notes in timing_songs.perform(song)[0]
        ]
        yield name, Truth(song.beats_s, np.array(song.downbeats), song.signature), heard


def transcribed(transcription: Transcription, folder: Path) -> tuple[Instrument, ...]:
    """The notes of the stems in a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        stems = {}
        for path in sorted(folder.glob("*.flac")):
            (Path(scratch) / path.stem).mkdir()
            stems[path.stem] = decode(path, Path(scratch) / path.stem, DecodeLimits())
        return transcription.transcribe(stems)


def librosa_scores(truth: Truth, mix: Path) -> dict[str, float]:
    """Figures of librosa."""
    import librosa

    samples, rate_hz = soundfile.read(mix, dtype="float32", always_2d=True)
    mono = librosa.resample(samples.mean(axis=1), orig_sr=rate_hz, target_sr=22_050)
    tempo, beats = librosa.beat.beat_track(y=mono, sr=22_050, units="time")
    return scores(truth, beats, beats[::4], float(np.atleast_1d(tempo)[0]))


def folder_scores(root: Path, protocol: str) -> dict[str, dict[str, float]]:
    """Figures of every song of a folder that has a ``beats.json``."""
    transcription = Transcription(ModelStore(Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root())))
    rows = {}
    for path in sorted(root.glob("*/beats.json")):
        song = path.parent
        known = json.loads(path.read_text())
        signature = tuple(known["signature"]) if known["signature"] else None
        truth = Truth(np.array(known["beats"]), np.array(known["downbeats"], dtype=int), signature)
        if protocol == "librosa":
            rows[song.name] = librosa_scores(truth, song / "mix.flac")
        elif protocol == "notes":
            notes = json.loads((song / "notes.json").read_text())["instruments"]
            rows[song.name] = scored(truth, estimate_beats(true_instruments(notes)))
        else:
            stems = song / ("stems" if protocol == "stems" else "separated")
            rows[song.name] = scored(truth, estimate_beats(transcribed(transcription, stems)))
        if signature is None:  # then nobody knows the bars either
            del rows[song.name]["downbeat F"]
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """Means, then every song."""
    names = sorted({name for row in rows.values() for name in row})
    mean = {name: np.mean([row[name] for row in rows.values() if name in row]) for name in names}
    lines = [f"{len(rows)} songs  " + "  ".join(f"{name} {value:.3f}" for name, value in mean.items())]
    for song, row in rows.items():
        lines.append(f"  {song:34s}" + "  ".join(f"{name} {row[name]:.2f}" for name in names if name in row))
    return "\n".join(lines)


def page(rows: dict[str, dict[str, float]]) -> str:
    """The section of the page."""
    names = ("answered", "tempo", "octave", "beat F", "downbeat F", "signature")
    figures = " | ".join(f"{np.mean([row[name] for row in rows.values()]):.3f}" for name in names)
    return "\n".join(
        [
            "## Time\n",
            "`python tests/quality/score_timing.py` composes the songs, whose tempo maps are known, and says what the",
            "figures are. What is heard are their true notes; *octave*: the tempo is right but for a factor 2 or 3.\n",
            f"| songs | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
            f"| {len(rows)} | {figures} |",
        ]
    )


def main() -> None:
    """Print the table of one protocol."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--protocol", choices=("notes", "stems", "mix", "librosa"), default="notes")
    parser.add_argument("--half", choices=("tuning", "figures"), default="figures")
    args = parser.parse_args()
    if args.folder:
        rows = folder_scores(args.folder, args.protocol)
    elif args.protocol == "notes":
        rows = {name: scored(truth, estimate_beats(heard)) for name, truth, heard in composed(args.half)}
    else:
        parser.error("this protocol needs --folder")
    print(table(rows))
    if not args.folder and args.half == "figures":
        update_section("time", page(rows))


if __name__ == "__main__":
    main()
