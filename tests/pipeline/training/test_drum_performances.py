"""Drum performances: composed and human grooves, drums mixed and worn, kits read from files, and the truth."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile

from pipeline.training.drums import bands
from pipeline.training.drums.bands import band
from pipeline.training.drums.grooves import Hit, compose
from pipeline.training.drums.human_grooves import perform, performances
from pipeline.training.drums.kits import RATE_HZ, Kit, hydrogen_kit, kind_of, trimmed, voice_of
from pipeline.training.drums.mixing import mix, worn
from pipeline.training.drums.render import Sources, dry_song, heard, labelled, read_songs, render_song, write_songs
from pipeline.training.drums.sample_libraries import library_kits
from pipeline.training.drums.synthetic_kits import synthetic_kit
from pipeline.transcription.drum_classes import CLASSES

DURATION_S = 6.0


def click(length: int = 4000, hz: float = 3000.0) -> np.ndarray:
    t = np.arange(length) / RATE_HZ
    return (np.sin(2 * np.pi * hz * t) * np.exp(-t / 0.02)).astype(np.float32)


@pytest.fixture
def kit() -> Kit:
    kit = synthetic_kit(np.random.default_rng(1))
    return kit | {"other": [voice_of("other", [(1.0, click())])]}


def test_composed_strokes_are_of_the_kit_in_order_and_within_the_piece(kit: Kit) -> None:
    for seed in range(8):
        hits = compose(np.random.default_rng(seed), kit, DURATION_S)
        assert hits
        assert hits == sorted(hits, key=lambda hit: hit.time_s)
        for hit in hits:
            assert 0 < hit.time_s < DURATION_S
            assert 0 < hit.velocity <= 1
            assert hit.voice < len(kit[hit.kind])


def test_a_given_tempo_puts_kicks_on_its_bars(kit: Kit) -> None:
    bars = []
    for seed in range(12):
        kicks = [
            hit.time_s
            for hit in compose(np.random.default_rng(seed), kit, DURATION_S, 120.0, 0.02)
            if hit.kind == "kick"
        ]
        bars += [min(abs(time_s - 2.02) for time_s in kicks)] if kicks else []
    assert np.median(bars) < 0.02  # the second bar of four beats begins 2 s after the first


def test_a_long_performance_keeps_the_beat_of_its_tempo_to_the_end(kit: Kit) -> None:
    audio, hits = dry_song(np.random.default_rng(0), Sources({"a": kit}), 0, 120.0, 45.0)
    assert len(audio) == 45 * RATE_HZ
    late = hits[hits[:, 0] > 20, 0]
    off_beat_s = np.abs((late - 0.02 + 0.25) % 0.5 - 0.25)
    assert np.mean(off_beat_s < 0.03) > 0.4
    assert late.max() > 43


def test_all_tracks_of_a_piece_are_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = pretty_midi.PrettyMIDI()
    for pitch, is_drum in ((76, False), (64, False), (39, False), (90, True)):
        track = pretty_midi.Instrument(0, is_drum)
        track.notes = [pretty_midi.Note(90, pitch, 0.5 * i, 0.5 * i + 0.4) for i in range(20)]
        piece.instruments.append(track)
    piece.write(str(tmp_path / "piece.mid"))
    midis: list[pretty_midi.PrettyMIDI] = []
    monkeypatch.setattr(bands, "rendered", lambda midi, _: midis.append(midi) or np.ones(100, np.float32))
    monkeypatch.setattr(bands, "_random_notes", lambda *_: [])
    for seed in range(10):
        band(np.random.default_rng(seed), 4.0, [tmp_path / "piece.mid"])
    assert {note.pitch for midi in midis for part in midi.instruments for note in part.notes} == {76, 64, 39}


def test_strokes_sound_when_they_should(kit: Kit) -> None:
    hits = [Hit(1.0, "kick", 0, 1.0), Hit(2.0, "snare", 0, 1.0)]
    audio, pitches = mix(np.random.default_rng(0), kit, hits, DURATION_S, varied=False)
    assert pitches == [0.0, 0.0]
    assert not audio[: RATE_HZ - 1].any()
    for time_s in (1.0, 2.0):
        assert np.abs(audio[round(time_s * RATE_HZ) :][:2000]).max() > 0.05


def test_a_closing_hat_cuts_off_an_open_one(kit: Kit) -> None:
    alone = [Hit(0.5, "open", 0, 1.0)]
    closed = [*alone, Hit(0.7, "pedal", 0, 0.0)]  # as good as silent itself
    kit = kit | {"pedal": kit["closed"]}
    ringing, _ = mix(np.random.default_rng(0), kit, alone, DURATION_S, varied=False)
    cut, _ = mix(np.random.default_rng(0), kit, closed, DURATION_S, varied=False)
    after = slice(round(0.75 * RATE_HZ), round(0.9 * RATE_HZ))
    assert np.abs(cut[after]).max() < 0.01 * np.abs(ringing[after]).max()


def test_toms_are_labelled_by_what_they_sound_like_once_varied() -> None:
    kit: Kit = {"tom": [voice_of("tom", [(1.0, click(20_000, hz=hz))]) for hz in (80.0, 125.0, 200.0)]}
    hits = [Hit(0.5 * i, "tom", i, 1.0) for i in range(3)]
    _, pitches = mix(np.random.default_rng(0), kit, hits, DURATION_S, varied=False)
    assert [CLASSES[int(row[1])] for row in labelled(hits, pitches)] == ["low tom", "mid tom", "high tom"]
    _, tuned = mix(np.random.default_rng(0), kit, hits, DURATION_S, varied=True)
    assert tuned != pitches


def test_percussion_without_a_name_is_no_truth() -> None:
    rows = labelled([Hit(0.1, "other", 0, 1.0), Hit(0.2, "stick", 0, 0.5)], [0.0, 0.0])
    assert rows.tolist() == [[pytest.approx(0.2), CLASSES.index("side stick"), 0.5]]


def test_wear_keeps_length_and_full_scale() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        dry = rng.standard_normal(2 * RATE_HZ).astype(np.float32)
        audio = worn(rng, dry, [rng.standard_normal(3 * RATE_HZ).astype(np.float32)])
        assert len(audio) == len(dry)
        assert 0 < np.abs(audio).max() <= 1.0


def test_the_same_seed_gives_the_same_song_and_files_keep_songs(tmp_path: Path, kit: Kit) -> None:
    leak = np.random.default_rng(0).standard_normal(25 * RATE_HZ).astype(np.float32)
    sources = Sources({"a": kit, "b:1": kit}, leaks=[leak])
    songs = [render_song(sources, seed) for seed in (3, 4)]
    write_songs(tmp_path / "songs.npz", songs)
    again = [render_song(sources, 3), list(read_songs(tmp_path / "songs.npz"))[1]]
    for first, second in zip(songs, again, strict=True):
        for name in ("levels", "profile", "hits"):
            assert np.array_equal(getattr(first, name), getattr(second, name))
    assert len(songs[0].hits) > 10


def test_truth_is_at_the_frames_that_rise() -> None:
    audio = np.zeros(2 * RATE_HZ, dtype=np.float32)
    audio[RATE_HZ : RATE_HZ + 4000] = click()
    song = heard(audio, np.array([[1.0, 0, 1.0]], dtype=np.float32))
    loudest = song.levels.astype(np.float32).max(axis=1)
    assert loudest[97] < loudest[101]
    assert 99 <= int(np.argmax(np.diff(loudest))) <= 101


def write_groove(path: Path, split: str, session: str, row: int) -> str:
    midi = pretty_midi.PrettyMIDI()
    part = pretty_midi.Instrument(0, is_drum=True)
    part.notes = [
        pretty_midi.Note(20 + 8 * i, key, 0.5 * i, 0.5 * i + 0.1)
        for i, key in enumerate((36, 42, 38, 43, 48, 51, 44, 26, 49, 36, 36, 36))
    ]
    midi.instruments.append(part)
    name = f"{row}.mid"
    midi.write(str(path / name))
    return f"{session},{name},{split},{12.0 if row != 3 else 2.0}"


def test_human_grooves_leave_out_eval_sessions_other_parts_and_short_ones(tmp_path: Path) -> None:
    rows = [
        write_groove(tmp_path, "train", "drummer1/session1", 0),
        write_groove(tmp_path, "train", "drummer1/eval_session", 1),
        write_groove(tmp_path, "test", "drummer1/session1", 2),
        write_groove(tmp_path, "train", "drummer1/session1", 3),
    ]
    (tmp_path / "info.csv").write_text("\n".join(["session,midi_filename,split,duration", *rows]), encoding="utf-8")
    assert [path.name for path in performances(tmp_path, "train")] == ["0.mid"]


def test_human_grooves_keep_their_rhythm_and_velocities(tmp_path: Path, kit: Kit) -> None:
    write_groove(tmp_path, "train", "s", 0)
    for seed in range(10):
        hits = perform(np.random.default_rng(seed), kit, tmp_path / "0.mid", 8.0)
        kicks = [hit for hit in hits if hit.kind == "kick"]
        if len(kicks) >= 2:
            assert kicks[0].velocity == pytest.approx(20 / 127)
        toms = [hit.voice for hit in hits if hit.kind == "tom"]
        assert toms[:2] in ([0, 2], [])


def test_names_of_drums_say_their_kind() -> None:
    assert kind_of('Hi-Hat Pedal (14")') == "pedal"
    assert kind_of("Snare Rimshot") == "snare"
    assert kind_of("Crash/Ride Bow") == "ride"
    assert kind_of("Tambourine") == "other"
    assert kind_of("Hi-Hat Semiopen") == ""


def test_samples_start_at_their_onset_and_silence_is_none() -> None:
    padded = np.concatenate([np.zeros(1000), 0.3 * click()])
    sample = trimmed(padded, "stick")
    assert sample is not None
    assert np.abs(sample).max() == pytest.approx(1.0)
    assert np.abs(sample[:20]).max() > 0.05
    assert trimmed(np.zeros(5000), "stick") is None


def test_a_hydrogen_kit_is_read_by_layers(tmp_path: Path) -> None:
    for name in ("soft", "loud"):
        soundfile.write(tmp_path / f"{name}.wav", click(), RATE_HZ)
    (tmp_path / "drumkit.xml").write_text(
        "<drumkit_info><instrumentList><instrument><name>Snare</name>"
        "<layer><filename>loud.wav</filename><max>1</max></layer>"
        "<layer><filename>soft.wav</filename><max>0.5</max></layer></instrument>"
        "<instrument><name>Whistle</name></instrument></instrumentList></drumkit_info>",
        encoding="utf-8",
    )
    kit = hydrogen_kit(tmp_path)
    assert list(kit) == ["snare"]
    assert [velocity for velocity, _ in kit["snare"][0].layers] == [0.5, 1.0]


def test_a_library_gives_kits_that_microphones_balance_anew(tmp_path: Path) -> None:
    for microphone, hz in (("oh_mic", 800.0), ("kick_mic", 200.0)):
        folder = tmp_path / "Samples" / microphone
        folder.mkdir(parents=True)
        for layer, gain in ((1, 0.1), (2, 0.8)):
            soundfile.write(folder / f"ks_vl{layer}_rr1.wav", gain * click(hz=hz), RATE_HZ)
    kits = library_kits("gogodze", tmp_path, np.random.default_rng(0))
    assert len(kits) > 1
    assert all([velocity for velocity, _ in kit["kick"][0].layers] == [0.5, 1.0] for kit in kits.values())
    samples = [kit["kick"][0].layers[1][1] for kit in kits.values()]
    assert not all(np.array_equal(samples[0], sample) for sample in samples[1:])
