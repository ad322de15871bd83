"""Tempo and key of whole mixes, from a file to the answer."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pipeline import song as song_module
from pipeline.analysis.key import Key
from pipeline.errors import Cancelled, CorruptAudio
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument
from pipeline.song import SongPipeline
from pipeline.transcription import mix
from quality.bench_songs import OWN_SONGS
from support.audio import tone

RATE_HZ = 44_100
FloatArray = NDArray[np.float32]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> SongPipeline:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.pull("basic-pitch")
    return SongPipeline(store)


def own_song(name: str) -> tuple[FloatArray, dict[str, object]]:
    """The mix of a song of ours and what is known of it."""
    folder = OWN_SONGS / "own" / name
    samples = sum(sf.read(path, dtype="float32")[0] for path in sorted((folder / "stems").glob("*.ogg")))
    return np.asarray(samples), json.loads((folder / "notes.json").read_text(encoding="utf-8"))["meta"]


@pytest.mark.parametrize(
    ("name", "key", "signature"),
    [("house", Key.on(9, minor=True), (4, 4)), ("waltz", Key.on(7, minor=False), (3, 4))],
)
def test_songs_of_ours(pipeline: SongPipeline, tmp_path: Path, name: str, key: Key, signature: tuple[int, int]) -> None:
    samples, known = own_song(name)
    sf.write(tmp_path / "song.ogg", samples[: 29 * RATE_HZ], RATE_HZ)
    found = pipeline.tempo_and_key(tmp_path / "song.ogg", scratch=tmp_path)
    assert found.bpm == pytest.approx(60 / np.median(np.diff(np.array(known["beats"]))), rel=0.01)
    assert found.bpm_confidence > 0.8
    assert found.beats is not None
    assert found.beats.time_signature == signature
    assert found.key is not None
    assert found.key.key == key
    assert found.duration_s == 29.0
    assert [path.name for path in tmp_path.iterdir()] == ["song.ogg"]


def plucked(pitches: list[int], at_s: float, length_s: float, out: FloatArray) -> None:
    """Strings that ring for a while, added to what sounds."""
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    start = int(at_s * RATE_HZ)
    for pitch in pitches:
        hz = 440 * 2 ** ((pitch - 69) / 12)
        string = sum(np.sin(2 * np.pi * hz * partial * time_s) / partial for partial in range(1, 7))
        out[start : start + len(time_s)] += (0.1 * string * np.exp(-3 * time_s)).astype(np.float32)


def test_a_key_change_is_told_where_it_is(pipeline: SongPipeline, tmp_path: Path) -> None:
    beat_s, n_bars = 0.5, 32
    samples = np.zeros(int((n_bars * 4 + 2) * beat_s * RATE_HZ), dtype=np.float32)
    for bar in range(n_bars):
        tonic = 0 if bar < n_bars // 2 else 3
        root = tonic + (0, 5, 7, 0, 9, 2, 7, 0)[bar % 8]
        third = 3 if bar % 8 in (4, 5) else 4
        for beat in range(4):
            chord = [36 + root, *(60 + (root + tone) % 12 for tone in (0, third, 7))]
            plucked(chord, (4 * bar + beat) * beat_s, 0.9, samples)
    sf.write(tmp_path / "up.flac", samples, RATE_HZ)
    found = pipeline.tempo_and_key(tmp_path / "up.flac")
    assert [span.key for span in found.keys] == [Key.on(0, minor=False), Key.on(3, minor=False)]
    first, second = found.keys
    assert (first.start_s, first.end_s) == (0.0, second.start_s)
    assert second.start_s == pytest.approx(32.0, abs=5.0)
    assert second.end_s == pytest.approx(64.5, abs=1.0)


def clicks(bpm: float, duration_s: float) -> FloatArray:
    out = np.zeros(int(duration_s * RATE_HZ), dtype=np.float32)
    time_s = np.arange(int(0.03 * RATE_HZ)) / RATE_HZ
    click = 0.5 * np.sin(2 * np.pi * 1000 * time_s) * np.exp(-100 * time_s)
    for at in np.arange(0.2, duration_s - 0.1, 60 / bpm):
        out[int(at * RATE_HZ) : int(at * RATE_HZ) + len(click)] += click.astype(np.float32)
    return out


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 1), (22_050, 2), (96_000, 2)])
def test_a_click_track(pipeline: SongPipeline, tmp_path: Path, rate_hz: int, channels: int) -> None:
    at = np.arange(int(30.0 * rate_hz)) / rate_hz
    samples = np.interp(at, np.arange(30 * RATE_HZ) / RATE_HZ, clicks(93, 30.0))
    sf.write(tmp_path / "click.wav", np.repeat(samples[:, None], channels, axis=1), rate_hz)
    found = pipeline.tempo_and_key(tmp_path / "click.wav")
    assert found.bpm == pytest.approx(93, rel=0.001)
    assert found.bpm_confidence > 0.8
    assert found.key is None


def sound(name: str) -> FloatArray:
    rng = np.random.default_rng(0)
    n = 20 * RATE_HZ
    if name == "pink noise":
        pink = np.fft.irfft(np.fft.rfft(rng.normal(size=n)) / np.sqrt(np.arange(n // 2 + 1) + 1))
        return (0.2 * pink / np.abs(pink).max()).astype(np.float32)
    return {
        "silence": np.zeros(n, dtype=np.float32),
        "white noise": (0.1 * rng.normal(size=n)).astype(np.float32),
        "one tone": tone(20.0, channels=1)[:, 0],
        "a moment": tone(0.01, channels=1)[:, 0],
    }[name]


@pytest.mark.parametrize("name", ["silence", "white noise", "pink noise", "one tone", "a moment"])
def test_what_has_neither_tempo_nor_key(pipeline: SongPipeline, tmp_path: Path, name: str) -> None:
    samples = sound(name)
    sf.write(tmp_path / "sound.wav", samples, RATE_HZ)
    found = pipeline.tempo_and_key(tmp_path / "sound.wav")
    assert (found.bpm, found.bpm_confidence, found.keys) == (None, 0.0, ())
    assert found.duration_s == len(samples) / RATE_HZ


def test_a_long_recording_is_heard_in_pieces(
    pipeline: SongPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mix, "SPAN_S", 10)
    sf.write(tmp_path / "click.flac", clicks(93, 34.0), RATE_HZ)
    read: list[int] = []
    whole = mix.AudioSource.read
    monkeypatch.setattr(mix.AudioSource, "read", lambda self, start, n: read.append(n) or whole(self, start, n))
    found = pipeline.tempo_and_key(tmp_path / "click.flac")
    assert found.bpm == pytest.approx(93, rel=0.001)
    assert found.beats is not None
    assert found.beats.times_s[-1] > 33.0
    assert max(read) == 12 * RATE_HZ  # with a second on either side


def test_the_borders_of_pieces_are_no_notes(
    pipeline: SongPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sf.write(tmp_path / "tone.wav", tone(9.0, hz=440.0), RATE_HZ)
    heard: list[tuple[Instrument, ...]] = []
    monkeypatch.setattr(mix, "SPAN_S", 3)
    really = song_module.transcribe_mix
    monkeypatch.setattr(song_module, "transcribe_mix", lambda *args: heard.append(really(*args)) or heard[-1])
    pipeline.tempo_and_key(tmp_path / "tone.wav")
    onsets_s = [note.start_s for one in heard[0] for note in one.notes]
    assert onsets_s
    assert not [onset_s for onset_s in onsets_s if 0.5 < onset_s < 8.5]


@pytest.fixture
def song(tmp_path: Path) -> Path:
    sf.write(tmp_path / "song.flac", own_song("house")[0], RATE_HZ)
    return tmp_path / "song.flac"


def test_progress_goes_from_stage_to_stage(pipeline: SongPipeline, song: Path) -> None:
    seen: list[tuple[str, float]] = []
    one = pipeline.tempo_and_key(song, on_progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert list(dict.fromkeys(stage for stage, _ in seen)) == ["decoding", "listening", "counting"]
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert max(np.diff(fractions)) < 0.2
    again = pipeline.tempo_and_key(song)
    assert (one.keys, one.bpm, one.bpm_confidence) == (again.keys, again.bpm, again.bpm_confidence)
    assert one.beats is not None
    assert again.beats is not None
    np.testing.assert_array_equal(one.beats.times_s, again.beats.times_s)


@pytest.mark.parametrize("stage", ["decoding", "listening", "counting"])
def test_it_stops_where_a_report_raises(
    pipeline: SongPipeline, song: Path, tmp_path: Path, stage: str, left_running: Callable[[], list[psutil.Process]]
) -> None:
    def report(name: str, _fraction: float) -> None:
        if name == stage:
            raise Cancelled("Enough.")

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(Cancelled):
        pipeline.tempo_and_key(song, scratch=scratch, on_progress=report)
    assert list(scratch.iterdir()) == []
    assert left_running() == []


def test_what_is_no_audio_is_refused(pipeline: SongPipeline, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    with pytest.raises(CorruptAudio):
        pipeline.tempo_and_key(tmp_path / "song.wav")


def test_nothing_need_be_fetched_for_it(tmp_path: Path) -> None:
    sf.write(tmp_path / "click.wav", tone(1.0, hz=440.0), RATE_HZ)
    assert SongPipeline(ModelStore(tmp_path / "empty")).tempo_and_key(tmp_path / "click.wav").beats is None
