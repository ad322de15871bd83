"""The whole line, in what its stages do not show by themselves: files appear when all are complete, and progress."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile as sf

from pipeline.errors import Cancelled, ModelMissing, UnknownTranscriber
from pipeline.models.store import ModelStore
from pipeline.song import SongPipeline
from support.audio import tone


@pytest.fixture
def pipeline(tmp_path: Path) -> SongPipeline:
    store = ModelStore(tmp_path / "models")
    store.pull("basic-pitch")
    store.pull("swift-f0")
    return SongPipeline(store)


def plucked(path: Path, times: int) -> Path:
    """A string plucked twice a second: no transcriber doubts that."""
    time_s = np.arange(22_050) / 44_100
    string = sum(np.sin(2 * np.pi * 220.0 * partial * time_s) / partial for partial in range(1, 7))
    sf.write(path, np.tile(0.3 * string * np.exp(-5 * time_s), times), 44_100)
    return path


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    return plucked(tmp_path / "stem.flac", 2)


def test_notes_come_with_a_midi_file_for_every_stem(pipeline: SongPipeline, stem: Path, tmp_path: Path) -> None:
    made = pipeline.transcribe({"bass": stem}, tmp_path / "out")
    files = {made.midi, made.csv, made.score, made.piano_roll, made.preview, made.beats_json, *made.stem_midi.values()}
    assert set((tmp_path / "out").iterdir()) == files
    assert {path.name for path in files} == {
        "song.mid", "notes.csv", "score.musicxml", "piano-roll.svg", "preview.mp3", "beats.json", "bass.mid",
    }  # fmt: skip
    assert made.stem_midi == {"bass": tmp_path / "out" / "bass.mid"}


def test_when_one_file_cannot_be_written_there_is_none(pipeline: SongPipeline, stem: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        pipeline.transcribe({"n" * 300: stem}, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_only_what_is_wanted_is_written_down(pipeline: SongPipeline, stem: Path, tmp_path: Path) -> None:
    made = pipeline.transcribe({"bass": stem, "other": stem}, tmp_path / "out", wanted=["other"])
    assert [instrument.stem for instrument in made.heard.instruments] == ["other"]
    assert made.heard.duration_s == 1.0


def test_an_unknown_transcriber_is_refused_before_anything_is_made(
    pipeline: SongPipeline, stem: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownTranscriber, match="auto, basic-pitch"):
        pipeline.transcribe({"bass": stem}, tmp_path / "out", transcriber="crystal ball")
    assert not (tmp_path / "out").exists()


class Reports:
    """Remembers what it is told, and stops the work from some point on."""

    def __init__(self, stage: str = "", at: float = 2.0) -> None:
        self.seen: list[tuple[str, float]] = []
        self._stage, self._at = stage, at

    def __call__(self, stage: str, fraction: float) -> None:
        self.seen.append((stage, fraction))
        if stage == self._stage and fraction >= self._at:
            raise Cancelled("Enough.")

    def check(self, *stages: str) -> None:
        """It was told these stages in order, from 0 to 1 without ever falling."""
        assert list(dict.fromkeys(stage for stage, _ in self.seen)) == list(stages)
        fractions = [fraction for _, fraction in self.seen]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)


@pytest.fixture
def nothing_left(left_running: Callable[[], list[psutil.Process]]) -> Callable[..., bool]:
    """Whether there are no files in the folders, and no processes of ours."""
    return lambda *folders: not any(any(folder.iterdir()) for folder in folders) and not left_running()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """20 s: several blocks of everything."""
    sf.write(tmp_path / "song.flac", tone(20.0, hz=220.0), 44_100)
    return tmp_path / "song.flac"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_progress_of_a_transcription_advances_inside_every_stem(pipeline: SongPipeline, tmp_path: Path) -> None:
    reports = Reports()
    song = plucked(tmp_path / "song.flac", 160)
    pipeline.transcribe({"drums": song, "bass": song, "other": song}, tmp_path / "out", on_progress=reports)
    reports.check("transcribing", "counting", "writing")
    for start, stop in [(0.0, 0.2), (0.27, 0.48), (0.48, 0.69), (0.69, 0.9)]:  # decoding, then each stem
        assert len({fraction for _, fraction in reports.seen if start <= fraction < stop}) > 8


def test_a_wav_is_the_stem_to_the_bit(pipeline: SongPipeline, song: Path, tmp_path: Path) -> None:
    reports = Reports()
    made = pipeline.to_wav(song, tmp_path / "new" / "song.wav", on_progress=reports)
    reports.check("decoding", "writing")
    assert made.path == tmp_path / "new" / "song.wav"
    assert made.duration_s == 20.0
    np.testing.assert_array_equal(*(sf.read(path, dtype="int16")[0] for path in (song, made.path)))


@pytest.mark.parametrize(("stage", "at"), [("decoding", 0.0), ("decoding", 0.3), ("writing", 0.7), ("writing", 1.0)])
def test_a_wav_stops_where_a_report_raises(
    pipeline: SongPipeline,
    song: Path,
    scratch: Path,
    tmp_path: Path,
    stage: str,
    at: float,
    nothing_left: Callable[..., bool],
) -> None:
    reports = Reports(stage, at)
    with pytest.raises(Cancelled):
        pipeline.to_wav(song, tmp_path / "out" / "song.wav", scratch=scratch, on_progress=reports)
    assert reports.seen[-1][0] == stage
    assert nothing_left(tmp_path / "out", scratch)


@pytest.mark.parametrize("at", [0.0, 0.05, 0.2, 0.45, 0.55, 0.85])
def test_a_transcription_stops_where_a_report_raises(
    pipeline: SongPipeline, song: Path, scratch: Path, tmp_path: Path, at: float, nothing_left: Callable[..., bool]
) -> None:
    reports = Reports("transcribing", at)
    with pytest.raises(Cancelled):
        pipeline.transcribe({"drums": song, "bass": song}, tmp_path / "out", scratch=scratch, on_progress=reports)
    assert [fraction >= at for _, fraction in reports.seen].index(True) == len(reports.seen) - 1  # the last word
    assert nothing_left(tmp_path / "out", scratch)


@pytest.mark.parametrize("at", [0.0, 0.01])
def test_a_separation_stops_while_it_decodes(
    pipeline: SongPipeline, song: Path, scratch: Path, tmp_path: Path, at: float, nothing_left: Callable[..., bool]
) -> None:
    with pytest.raises(Cancelled):
        pipeline.separate(song, tmp_path / "out", scratch=scratch, on_progress=Reports("decoding", at))
    assert nothing_left(tmp_path / "out", scratch)


def test_a_separation_stops_before_its_model_is_loaded(
    pipeline: SongPipeline, song: Path, scratch: Path, tmp_path: Path, nothing_left: Callable[..., bool]
) -> None:
    with pytest.raises(Cancelled):
        pipeline.separate(song, tmp_path / "out", scratch=scratch, on_progress=Reports("loading", 0.0))
    with pytest.raises(ModelMissing):
        pipeline.separate(song, tmp_path / "out", scratch=scratch)
    assert nothing_left(tmp_path / "out", scratch)


class Watched(ModelStore):
    """Keeps what was asked for, and gives the separator when it is let."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []
        self.arrived, self.let = threading.Event(), threading.Event()

    def require(self, name: str) -> tuple[Path, ...]:
        self.asked.append(name)
        if name == "htdemucs":
            self.arrived.set()
            assert self.let.wait(60.0)
        return super().require(name)


def test_transcriptions_at_once_come_out_as_each_alone(
    pipeline: SongPipeline, song: Path, stem: Path, tmp_path: Path
) -> None:
    songs = [{"bass": stem, "other": song}, {"vocals": stem}, {"drums": song, "piano": stem}, {"other": song}]
    store = Watched(tmp_path / "models")
    together = SongPipeline(store)
    with ThreadPoolExecutor(len(songs)) as pool:
        list(pool.map(lambda number: together.transcribe(songs[number], tmp_path / f"together-{number}"), range(4)))
    assert sorted(store.asked) == ["basic-pitch", "swift-f0"]  # each loaded once
    for number, stems in enumerate(songs):
        pipeline.transcribe(stems, tmp_path / f"alone-{number}")
        alone, found = (
            {path.name: path.read_bytes() for path in (tmp_path / f"{how}-{number}").iterdir()}
            for how in ("alone", "together")
        )
        assert found == alone


def test_who_waits_for_another_to_load_the_separator_can_be_stopped(stem: Path, tmp_path: Path) -> None:
    store = Watched(tmp_path / "models")
    pipeline = SongPipeline(store)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(pipeline.separate, stem, tmp_path / "first")
        assert store.arrived.wait(60.0)
        with pytest.raises(Cancelled):
            pipeline.separate(stem, tmp_path / "second", on_progress=Reports("loading", 0.0))
        assert not loading.done()
        store.let.set()
        with pytest.raises(ModelMissing):
            loading.result(60.0)
    with pytest.raises(ModelMissing):  # who comes next tries again
        pipeline.separate(stem, tmp_path / "third")
    assert store.asked == ["htdemucs"] * 2


@pytest.mark.weights
def test_separations_at_once_come_out_as_each_alone(model_store: ModelStore, tmp_path: Path) -> None:
    """By the same bytes in every file, in batches of the default size and whichever of them loads the model."""
    songs = []
    for seed, (duration_s, rate_hz) in enumerate([(7.0, 48_000), (5.0, 44_100)]):
        samples = 0.1 * np.random.default_rng(seed).standard_normal((round(duration_s * rate_hz), 2))
        songs.append(tmp_path / f"song-{seed}.flac")
        sf.write(songs[-1], samples, rate_hz)
    told: list[tuple[int, int]] = []
    together = SongPipeline(model_store, device="cpu", on_batch=lambda *fill: told.append(fill))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda song: together.separate(song, tmp_path / "together" / song.stem), songs))
    assert told == [(1, 1)] * 3
    alone = SongPipeline(model_store, device="cpu")
    for song, stems in zip(songs, found, strict=True):
        expected = alone.separate(song, tmp_path / "alone" / song.stem)
        assert [stem.name for stem in stems] == [stem.name for stem in expected]
        for stem, other in zip(stems, expected, strict=True):
            assert stem.path.read_bytes() == other.path.read_bytes()


@pytest.mark.weights
def test_one_stem_and_the_rest_with_its_progress(model_store: ModelStore, stem: Path, tmp_path: Path) -> None:
    pipeline = SongPipeline(model_store)
    reports = Reports()
    made = pipeline.separate(stem, tmp_path / "out", only="drums", on_progress=reports)
    assert [(stem.name, stem.path.name) for stem in made] == [("drums", "drums.flac"), ("no_drums", "no_drums.flac")]
    reports.check("decoding", "loading", "separating")
    again = Reports()
    pipeline.separate(stem, tmp_path / "out", only="drums", on_progress=again)
    again.check("decoding", "separating")
