"""What recognition.py goes by, on music outside the bench: how much of solos leaks into the other stems, and how much
of players is there.

Run from the repository root::

    python tests/quality/tune_recognition.py hear SONGS VOICES INSTRUMENTS OUT [--seconds 200] [--seed 0]
    python tests/quality/tune_recognition.py report OUT

``hear`` takes excerpts until the time is up and adds to ``OUT``, a file of JSON lines, what the separator makes of
each.  ``SONGS`` has ``<song>/stems/*``, the true stems (such as ``tests/quality/songs/own``); ``VOICES`` and
``INSTRUMENTS`` have solos, see tune_phantoms.py.  Half the excerpts are a solo, a stem or a voice or an instrument;
half are some stems of a song, up to 12 dB apart, a third of these with a voice.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline import recognition
from pipeline.models.network import load_separation_model
from pipeline.models.store import ModelStore, default_root
from pipeline.separation.separator import Separator
from pipeline.transcription.pitch_track import PitchNetwork

EXCERPT_S = 5.85
SPREAD_DB = 12.0
LOUDNESS = 0.05
QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("hear")
    for argument in ("songs", "voices", "instruments", "out"):
        command.add_argument(argument, type=Path)
    command.add_argument("--seconds", type=float, default=200.0)
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=hear)
    command = commands.add_parser("report")
    command.add_argument("out", type=Path)
    command.set_defaults(run=report)
    options = vars(parser.parse_args())
    options.pop("run")(**options)


def family(path: Path) -> str:
    """The family that a true stem belongs to; the voices of songs are General MIDI instruments."""
    return path.stem if path.stem in (recognition.DRUMS, recognition.BASS) else recognition.OTHER


def chosen(
    rng: np.random.Generator, songs: list[list[Path]], voices: list[Path], instruments: list[Path]
) -> tuple[list[Path], set[str]]:
    """Files to hear at once, and their families."""
    kind = rng.random()
    if kind < 0.1:
        return [voices[rng.integers(len(voices))]], {recognition.VOCALS}
    if kind < 0.25:
        return [instruments[rng.integers(len(instruments))]], {recognition.OTHER}
    song = songs[rng.integers(len(songs))]
    if kind < 0.5:
        stem = song[rng.integers(len(song))]
        return [stem], {family(stem)}
    files = [song[i] for i in rng.permutation(len(song))[: rng.integers(1, len(song) + 1)]]
    if rng.random() < 0.35:
        files.append(voices[rng.integers(len(voices))])
        return files, {family(path) for path in files[:-1]} | {recognition.VOCALS}
    return files, {family(path) for path in files}


def excerpt(rng: np.random.Generator, files: list[Path]) -> NDArray[np.float32] | None:
    """The sum of the files at one place, at 44.1 kHz, every one of them audible there; None where one is silent."""
    infos = [soundfile.info(path) for path in files]
    place = rng.uniform(0.0, 1.0)
    total = np.zeros(round(EXCERPT_S * recognition_rate()))
    for path, info in zip(files, infos, strict=True):
        first = round(place * max(info.duration - EXCERPT_S, 0.0) * info.samplerate)
        audio, rate_hz = soundfile.read(path, round(EXCERPT_S * info.samplerate), first, dtype="float32")
        mono = soxr.resample(audio.mean(axis=1) if audio.ndim == 2 else audio, rate_hz, recognition_rate())
        rms = np.sqrt(np.square(mono).mean()) if len(mono) else 0.0
        if rms < 1e-3:
            return None
        mono = mono[: len(total)] * (LOUDNESS / rms * 10 ** (rng.uniform(-SPREAD_DB, 0.0) / 20))
        total[: len(mono)] += mono
    return np.asarray(total / max(np.abs(total).max(), 1.0), dtype=np.float32)


def recognition_rate() -> int:
    """The separator's rate in Hz."""
    return 44_100


def hear(songs: Path, voices: Path, instruments: Path, out: Path, seconds: float, seed: int) -> None:
    """Separates excerpts and keeps what comes of each."""
    store = ModelStore(default_root())
    separator = Separator(load_separation_model("htdemucs", store))
    network = PitchNetwork(*store.require("swift-f0"))
    rng = np.random.default_rng(seed)
    stems = [sorted(folder.iterdir()) for folder in sorted(songs.glob("*/stems"))]
    solos = [sorted(path for path in folder.iterdir() if path.is_file()) for folder in (voices, instruments)]
    begun = time.monotonic()
    with out.open("a") as lines:
        while time.monotonic() - begun < seconds:
            files, families = chosen(rng, stems, *solos)
            samples = excerpt(rng, files)
            if samples is None:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                made = recognition._separated(samples[None], separator, Path(scratch), lambda _: None)
            heard = recognition.heard(made, separator.rate_hz, network)
            names = ["/".join(path.parts[-3:]) for path in files]
            row = {"files": names, "families": sorted(families), **asdict(heard)}
            print(json.dumps(row), file=lines, flush=True)


def report(out: Path) -> None:
    """Prints each excerpt's loudest family but the lead, then how margins and odds lie apart."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    margins = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["families"]):
        families = "+".join(row["families"])
        of_row = recognition.opinion(recognition.Heard(row["levels_db"], row["voice"]))
        found = recognition.verdict([of_row])
        margins["solo" if len(row["families"]) == 1 else "several"].append(of_row.margin_db)
        levels = " ".join(f"{name} {round(level_db):4}" for name, level_db in row["levels_db"].items())
        print(
            f"{families:26} {found.stem or 'song':7}{of_row.margin_db:6.1f} dB  voice {row['voice']:5.1f}  "
            f"{levels}  {row['files'][-1]}"
        )
    for kind, of_kind in margins.items():
        print(f"{kind}, {len(of_kind)}: dB at 0 5 25 50 75 95 100 %", np.percentile(of_kind, QUANTILES).round(1))


if __name__ == "__main__":
    main()
