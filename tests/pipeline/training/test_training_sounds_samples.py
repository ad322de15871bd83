"""SFZ files and recordings: what is read, what is played, what is left out."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.training.errors import TrainingError
from pipeline.training.render import Job, render
from pipeline.training.sounds.base import RATE_HZ, Played
from pipeline.training.sounds.collection import Sources, load_sounds
from pipeline.training.sounds.library import LIBRARIES, family_of_name, sampled_sounds
from pipeline.training.sounds.sfz import pitch_of, regions_of
from pipeline.training.sounds.tuning import check_tuning, pitch_error_cents

FILE_HZ = 44_100


def hz_of(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


def record(path: Path, pitch: float, duration_s: float, silence_s: float = 0.0) -> None:
    """A steady tone with a few harmonics, after some silence, as a library's recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(duration_s * FILE_HZ)) / FILE_HZ
    tone = sum(np.sin(2 * np.pi * hz_of(pitch) * k * time) / k for k in (1, 2, 3, 4)) * 0.3
    samples = np.concatenate([np.zeros(round(silence_s * FILE_HZ)), tone])
    soundfile.write(path, np.stack([samples, samples], axis=1), FILE_HZ, subtype="PCM_16")


def write_flutes(folder: Path) -> Path:
    for pitch in (60, 67, 74):
        record(folder / "Samples" / f"flute {pitch}.wav", pitch, 3.0, silence_s=0.12)
    text = """
        // a comment <region> sample=not this.wav
        #define $REL 0.2
        <control> default_path=Samples/ set_cc5=0
        <global> ampeg_release=$REL sw_default=c1
        <group> lovel=1 hivel=127
        #include "more.sfzh"
        <region> sample=FLUTE 74.wav lokey=71 hikey=79 pitch_keycenter=d5 volume=-3 tune=-5
        <region> sample=flute 60.wav lokey=0 hikey=127 pitch_keycenter=60 seq_position=2
        <region> sample=flute 60.wav lokey=0 hikey=127 pitch_keycenter=60 trigger=release
        <region> sample=flute 60.wav lokey=0 hikey=127 pitch_keycenter=60 locc5=64
        <region> sample=flute 60.wav lokey=0 hikey=127 pitch_keycenter=60 sw_last=d1
        <region> sample=gone.wav key=60
    """
    (folder / "more.sfzh").write_text(
        "<region> sample=flute 60.wav lokey=54 hikey=63 pitch_keycenter=60\n"
        "<region> sample=flute 67.wav lokey=64 hikey=70 pitch_keycenter=67 loop_mode=loop_sustain "
        f"loop_start={FILE_HZ} loop_end={2 * FILE_HZ}\n"
    )
    path = folder / "Flute.sfz"
    path.write_text(text)
    return path


def test_the_regions_that_a_key_alone_starts(tmp_path: Path) -> None:
    low, middle, high = regions_of(write_flutes(tmp_path))
    assert (low.keys, low.root, low.release_s, low.velocities) == ((54, 63), 60, 0.2, (1, 127))
    assert middle.loop == (FILE_HZ, 2 * FILE_HZ)
    assert high.sample.name == "flute 74.wav"
    assert (high.root, high.volume_db) == (74.05, -3)


@pytest.mark.parametrize(("text", "pitch"), [("60", 60), ("c4", 60), ("A#-1", 10), ("eb3", 51), ("F#2", 42)])
def test_pitches_are_numbers_or_names(text: str, pitch: int) -> None:
    assert pitch_of(text) == pitch


def test_recordings_are_played_at_every_pitch_on_time_and_round_their_loop(tmp_path: Path) -> None:
    write_flutes(tmp_path / "Some Library")
    (sound,), left_out = sampled_sounds(tmp_path)
    assert left_out == []
    assert (sound.name, sound.family, sound.held) == ("sfz:Some Library/Flute", "reeds and pipes", True)
    assert sound.keys == (55, 79)
    assert abs(check_tuning(sound)) < 6
    notes = [Played(0.0, 0.4, 57, 100), Played(1.0, 6.0, 65, 100), Played(7.0, 7.5, 76, 100)]
    performance = sound.play(notes, 8.0, np.random.default_rng(0))
    for note in notes:
        start = round(note.start_s * RATE_HZ)
        tone = performance.samples[start + 500 : round(note.end_s * RATE_HZ)]
        assert abs(pitch_error_cents(tone[:8000], hz_of(note.pitch))) < 8
    level = np.abs(performance.samples)
    assert level[round(0.9 * RATE_HZ) : round(0.99 * RATE_HZ)].max() == 0
    assert np.argmax(level[round(0.9 * RATE_HZ) :] > 0.01) / RATE_HZ == pytest.approx(0.1, abs=0.005)
    # Five seconds of a recording of three: the loop.
    assert level[round(5.8 * RATE_HZ) : 6 * RATE_HZ].max() > 0.1
    assert performance.ends_s == pytest.approx((0.4, 6.0, 7.5))


def test_a_recording_without_a_loop_ends_when_it_ends(tmp_path: Path) -> None:
    write_flutes(tmp_path)
    (sound,), _ = sampled_sounds(tmp_path)
    performance = sound.play([Played(0.0, 6.0, 60, 100)], 7.0, np.random.default_rng(0))
    assert performance.ends_s[0] == pytest.approx(3.0, abs=0.02)


def test_softer_is_quieter(tmp_path: Path) -> None:
    write_flutes(tmp_path)
    (sound,), _ = sampled_sounds(tmp_path)
    soft, loud = (
        np.abs(sound.play([Played(0.0, 0.5, 60, velocity)], 1.0, np.random.default_rng(0)).samples).max()
        for velocity in (40, 120)
    )
    assert soft < loud / 4


def test_what_is_out_of_tune_unknown_or_empty_is_left_out(tmp_path: Path) -> None:
    for name, error in (("sharp flute", 0.6), ("octave bass", -12.0)):
        for pitch in (36, 48, 60):
            record(tmp_path / name / f"{pitch}.wav", pitch + error, 1.0)
        regions = [f"<region> sample={name}/{pitch}.wav pitch_keycenter={pitch}" for pitch in (36, 48, 60)]
        (tmp_path / f"{name}.sfz").write_text("\n".join(regions))
    (tmp_path / "thing.sfz").write_text("<region> sample=a.wav key=60")
    (tmp_path / "oboe.sfz").write_text("<region> sample=a.wav key=60")
    (bass,), left_out = sampled_sounds(tmp_path)
    # An octave is a way of writing, and is put right.
    assert bass.name == "sfz:octave bass"
    assert bass.keys == (19, 53)
    assert abs(check_tuning(bass)) < 10
    assert left_out == [
        "oboe: no regions with recordings",
        "sharp flute: 60 cents out of tune",
        "thing: no family, or no plain notes",
    ]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Lib/Electric Piano 1", "piano"),
        ("Lib/Bassoon", "reeds and pipes"),
        ("Lib/Alto Flute", "reeds and pipes"),
        ("Lib/finger_bass", "bass"),
        ("Lib/Distortion Guitar", "distorted guitar"),
        ("Lib/church_organ", "organ"),
        ("Lib/Violin tremolo", None),
        ("Lib/Snare", None),
        ("Salamander Grand Piano", None),
    ],
)
def test_families_are_told_by_names(name: str, family: str | None) -> None:
    assert family_of_name(name) == family


def test_what_is_left_out_of_a_library_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_flutes(tmp_path / "library")
    (tmp_path / "library" / "thing.sfz").write_text("")
    render(Job(tmp_path / "songs", Sources((), (tmp_path / "library",), synthetic=40), None, 0, 1, song_s=4.0), 1)
    assert capsys.readouterr().err == "SFZ files left out of --library: 1 (thing: no family, or no plain notes)\n"


@pytest.mark.parametrize("files", [(), ("thing.sfz",)])
def test_a_library_of_nothing_is_refused(tmp_path: Path, files: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).write_text("")
    with pytest.raises(TrainingError, match=f"--library {tmp_path}: of {len(files)} SFZ files"):
        load_sounds(Sources((), (tmp_path,), synthetic=1))


def test_every_library_says_where_it_is_from_its_licence_and_its_revision() -> None:
    for name, address, licence, revision in LIBRARIES:
        assert name
        assert address.startswith("https://")
        assert licence.startswith(("CC0", "CC-BY-3", "CC-BY-4", "public domain"))
        assert re.fullmatch("[0-9a-f]{40}", revision)
