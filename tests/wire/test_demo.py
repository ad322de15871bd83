"""The demo, as ``make demo`` runs it: real service, real weights, real callbacks, and notes that match the truth."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import mido
import pytest
import soundfile as sf

from service.demo.__main__ import SONG, TRUTH
from service.demo.score import score_notes

pytestmark = pytest.mark.weights

# Far below what is measured (README): less means that something is broken, not that something got a little worse.
LEAST_F = {"drums": 0.4, "bass": 0.5, "other": 0.3}


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "service.demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_the_song_that_ships(tmp_path: Path) -> None:
    ran = demo("--output", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Callback received: vocal separation generated successfully." in ran.stdout
    assert "Callback received: success" in ran.stdout
    source = sf.info(SONG)
    for stem in ("drums", "bass", "other", "vocals"):
        made = sf.info(tmp_path / f"{stem}.flac")
        assert (made.samplerate, made.frames, made.channels) == (source.samplerate, source.frames, source.channels)
    assert ElementTree.parse(tmp_path / "score.musicxml").getroot().tag == "score-partwise"  # noqa: S314 (our own)
    assert ElementTree.parse(tmp_path / "piano-roll.svg").getroot().tag.endswith("svg")  # noqa: S314
    assert sf.info(tmp_path / "preview.mp3").duration > 30
    tracks = mido.MidiFile(tmp_path / "song.mid").tracks
    assert {"Drums", "Electric Bass (finger)"} <= {track.name for track in tracks}
    with (tmp_path / "notes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["stem"] == "bass"]) > 20
    truth = json.loads(TRUTH.read_text())["instruments"]
    for stem, least in LEAST_F.items():
        found = [{"pitch": int(r["pitch_midi"]), "start": float(r["start_time_s"])} for r in rows if r["stem"] == stem]
        true = [note for part in truth if part["stem"] == stem for note in part["notes"]]
        assert score_notes(found, true, drums=stem == "drums").f_measure > least, stem


def test_a_song_that_is_none_fails(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_text("la la la, these are only words\n" * 20)
    ran = demo(str(tmp_path / "song.mp3"), "--output", str(tmp_path / "out"))
    assert ran.returncode == 1
    assert "text" in ran.stdout
