"""The songs of our own, and what is said about folders of songs that cannot be used."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from quality.bench_songs import OWN_SONGS, BenchError, load_bench, load_song
from quality.compose_songs import SONGS, meta
from quality.metrics import score_song

BASS = {"name": "Bass", "program": 33, "is_drum": False, "stem": "bass"}
TONE = {"pitch": 40, "start": 0.1, "end": 0.5, "velocity": 90}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    """A folder with one good song in it."""
    song = tmp_path / "made" / "one"
    (song / "stems").mkdir(parents=True)
    soundfile.write(song / "stems" / "bass.flac", np.zeros(44_100), 44_100)
    write_notes(song, {"meta": {"duration": 1.0}, "instruments": [{**BASS, "notes": [TONE]}]})
    return tmp_path


def write_notes(song, content):
    (song / "notes.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("song", load_bench(OWN_SONGS), ids=lambda song: song.name)
def test_own_songs_are_true_to_themselves(song):
    scores = score_song(song.true, song.true, annotated=song.annotated, velocities=song.velocities)
    assert scores["all pitched"]["onset_offset_f"] == 1.0
    assert scores["all pitched"]["velocity_r"] == pytest.approx(1.0)
    assert set(song.stems) in (song.annotated, set())
    assert all(notes[0, 0] > 0 and notes[:, 1].max() < song.duration_s for notes in song.true.values())
    assert all(notes[:, 3].min() > 0 and notes[:, 3].max() <= 127 for notes in song.true.values())


STEMS = [(song, stem) for song in load_bench(OWN_SONGS) for stem in song.stems]


@pytest.mark.parametrize(("song", "stem"), STEMS, ids=lambda value: getattr(value, "name", value))
def test_true_onsets_are_heard_when_they_are_said_to_be(song, stem):
    audio, rate_hz = soundfile.read(song.stems[stem])
    level = np.abs(audio).max(axis=1)
    first_s = song.true[stem][0, 0]
    before = level[: round((first_s - 0.02) * rate_hz)].max(initial=0.0)
    after = level[round((first_s - 0.005) * rate_hz) : round((first_s + 0.2) * rate_hz)]
    assert len(audio) / rate_hz == pytest.approx(song.duration_s, abs=1e-3)
    assert before < 0.05 * after.max()
    assert np.argmax(after > 0.05 * after.max()) / rate_hz < 0.03


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.name)
def test_the_committed_truth_is_that_of_the_composition(song):
    committed = json.loads((OWN_SONGS / "own" / song.name / "notes.json").read_text(encoding="utf-8"))
    assert committed["meta"] == meta(song)
    assert [len(i["notes"]) for i in committed["instruments"]] == [len(part.events) for part in song.parts]
    for part, instrument in zip(song.parts, committed["instruments"], strict=True):
        expected_s = sorted(song.tempo.at_s(event.beat) for event in part.events)
        assert np.abs(np.subtract([n["start"] for n in instrument["notes"]], expected_s)).max() < 0.15
    beats = committed["meta"]["beats"]
    lengths_s = [after - before for before, after in pairwise(beats)]
    bpm = [tempo["bpm"] for tempo in committed["meta"]["tempo_map"]]
    assert 60 / max(bpm) - 1e-3 < min(lengths_s) <= max(lengths_s) < 60 / min(bpm) + 1e-3
    assert committed["meta"]["downbeats"] == beats[:: song.beats_per_bar]


def test_a_song_is_read_as_it_lies_there(folder):
    (song,) = load_bench(folder)
    assert (song.set_name, song.name, song.annotated, song.complete) == ("made", "one", {"bass"}, True)
    assert not song.velocities
    assert not song.is_mix
    assert song.true["bass"].tolist() == [[0.1, 0.5, 40, 90]]
    assert [song.name for song in load_bench(folder, ["made"])] == ["one"]


def test_drums_are_drums_whatever_stem_they_name(folder):
    write_notes(folder / "made" / "one", {"meta": {}, "instruments": [{**BASS, "is_drum": True, "notes": [TONE]}]})
    with pytest.raises(BenchError, match="there are notes for drums, but no such file"):
        load_bench(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a list of notes"),
        ('{"instruments": []}', "'meta' is missing"),
        ('{"meta": {}, "instruments": [{"stem": "bass"}]}', "'notes' is missing"),
        ('{"meta": {}, "instruments": [{"stem": "bass", "notes": [{"start": 1}]}]}', "'end' is missing"),
        ('{"meta": {}, "instruments": [{"stem": "tuba", "notes": []}]}', "not tuba"),
        (
            '{"meta": {}, "instruments": [{"stem": "bass", "notes": [{"start": "x", "end": 1, "pitch": 1}]}]}',
            "not a list of notes",
        ),
    ],
)
def test_a_broken_truth_is_named(folder, content, message):
    path = folder / "made" / "one" / "notes.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=f"^{re.escape(str(path))}: .*{message}"):
        load_song(path)


def test_folders_without_songs_are_named(folder):
    with pytest.raises(BenchError, match="nowhere: no such folder"):
        load_bench(folder / "nowhere")
    with pytest.raises(BenchError, match=r"no song .* in it"):
        load_bench(folder / "made")
    with pytest.raises(BenchError, match="no songs in other"):
        load_bench(folder, ["made", "other"])


def test_a_song_without_audio_is_named(folder):
    (folder / "made" / "one" / "stems" / "bass.flac").unlink()
    with pytest.raises(BenchError, match="one: no audio beside"):
        load_bench(folder)
