"""The whole line, in what its stages do not show by themselves: files appear when all are complete."""

from pathlib import Path

import pytest
import soundfile as sf

from pipeline.models.store import ModelStore
from pipeline.song import SongPipeline
from support.audio import tone


@pytest.fixture
def pipeline(tmp_path: Path) -> SongPipeline:
    store = ModelStore(tmp_path / "models")
    store.pull("basic-pitch")
    return SongPipeline(store)


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    sf.write(tmp_path / "stem.flac", tone(1.0, hz=220.0), 44_100)
    return tmp_path / "stem.flac"


def test_notes_come_with_a_midi_file_for_every_stem(pipeline: SongPipeline, stem: Path, tmp_path: Path) -> None:
    made = pipeline.transcribe({"bass": stem}, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"song.mid", "notes.csv", "bass.mid"}
    assert made.midi.is_file()
    assert made.csv.is_file()
    assert made.stem_midi == {"bass": tmp_path / "out" / "bass.mid"}


def test_when_one_file_cannot_be_written_there_is_none(pipeline: SongPipeline, stem: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        pipeline.transcribe({"n" * 300: stem}, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
