"""Training the drum network: targets, batches, resuming, exporting, and the measure of it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.training.__main__ import main
from pipeline.training.drums import commands, corpus
from pipeline.training.drums.dataset import NOTHING, Songs, targets
from pipeline.training.drums.evaluate import Score, evaluate, table
from pipeline.training.drums.export import export, fused
from pipeline.training.drums.render import HELD_OUT, Song, write_songs
from pipeline.training.drums.train import Recipe, Run, loss_of
from pipeline.training.errors import TrainingError
from pipeline.transcription.drum_classes import CLASSES, FAMILIES
from pipeline.transcription.drum_decoding import Stroke
from pipeline.transcription.drum_features import FINE, FLOOR
from pipeline.transcription.drum_network import REACH, DrumNetwork, Heard

CPU = torch.device("cpu")
RECIPE = Recipe(steps=6, batch_size=2, n_frames=100, seed=1)
KICK, OPEN_HAT = CLASSES.index("kick"), CLASSES.index("open hat")


def drum_song(seed: int, n_frames: int = 150) -> Song:
    """Kicks are bursts in low bands, open hats in high ones."""
    rng = np.random.default_rng(seed)
    levels = np.full((n_frames, FINE.count), FLOOR, np.float16)
    hits = []
    for frame in range(10, n_frames - 10, 20):
        kind = int(rng.choice([KICK, OPEN_HAT]))
        bands = slice(0, 10) if kind == KICK else slice(60, 80)
        levels[frame : frame + 6, bands] = np.linspace(0.0, -2.0, 6, dtype=np.float16)[:, None]
        hits.append((frame / 100, kind, rng.uniform(0.2, 1.0)))
    return Song(levels, np.zeros(FINE.count, np.float16), np.array(hits, np.float32))


@pytest.fixture
def songs(tmp_path: Path) -> Songs:
    write_songs(tmp_path / "songs.npz", [drum_song(seed) for seed in range(4)])
    return Songs([tmp_path / "songs.npz"], [1.0])


def weights(run: Run) -> dict[str, np.ndarray]:
    return {name: values.numpy().copy() for name, values in run.network.state_dict().items()}


def test_targets_say_family_class_and_velocity_around_an_onset() -> None:
    onset, kind, loudness = targets(np.array([[0.5, OPEN_HAT, 0.7]], np.float32), 100)
    hats = list(FAMILIES).index("hi-hat")
    assert np.argmax(onset[:, hats]) == 50
    assert onset[50, hats] == 1.0
    assert 0 < onset[51, hats] < 1
    assert kind[50, hats] == FAMILIES["hi-hat"].index("open hat")
    assert loudness[50, hats] == pytest.approx(0.7)
    assert not onset[:, [row for row in range(len(FAMILIES)) if row != hats]].any()
    assert (kind[40] == NOTHING).all()


def test_batches_are_drawn_anew_and_alike_for_one_seed(songs: Songs) -> None:
    first, again, other = (songs.batch(np.random.default_rng(seed), 3, 80) for seed in (1, 1, 2))
    assert first.levels.shape == (3, REACH + 80 + REACH, FINE.count)
    assert first.onset.shape == (3, 80, len(FAMILIES))
    assert torch.equal(first.levels, again.levels)
    assert not torch.equal(first.levels, other.levels)
    assert first.levels.min() >= FLOOR


def test_around_an_excerpt_is_what_the_network_sees_there_at_work(tmp_path: Path) -> None:
    """Before and after a whole song is nothing, not even noise; around half of one is the rest of it."""
    write_songs(tmp_path / "song.npz", [drum_song(0)])
    songs = Songs([tmp_path / "song.npz"], [1.0])
    whole = songs.batch(np.random.default_rng(0), 4, 150)
    beyond = torch.cat([whole.levels[:, :REACH], whole.levels[:, -REACH:]])
    assert (beyond == FLOOR).all()
    inner = whole.levels[:, REACH:-REACH]
    assert inner.min() > FLOOR
    part = songs.batch(np.random.default_rng(0), 4, 75)
    sounding = (part.levels > FLOOR).all(dim=2).sum(dim=1)
    assert (sounding > 75).all()


def test_what_is_around_an_excerpt_does_not_count(songs: Songs) -> None:
    batch = songs.batch(np.random.default_rng(0), 1, 80)
    heard = Heard(*(torch.ones(1, len(batch.levels[0]), width, requires_grad=True) for width in (5, 5, len(CLASSES))))
    loss_of(heard, batch).backward()
    for said in vars(heard).values():
        assert not said.grad[:, :REACH].any()
        assert not said.grad[:, -REACH:].any()
        assert said.grad[:, REACH:-REACH].any()


def test_files_of_no_weight_are_never_drawn(tmp_path: Path) -> None:
    silent = Song(np.full((150, FINE.count), FLOOR, np.float16), np.zeros(FINE.count, np.float16), np.zeros((0, 3)))
    write_songs(tmp_path / "a.npz", [silent])
    write_songs(tmp_path / "b.npz", [drum_song(0)])
    songs = Songs([tmp_path / "a.npz", tmp_path / "b.npz"], [1.0, 0.0])
    assert not songs.batch(np.random.default_rng(0), 20, 100).onset.any()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, songs: Songs) -> None:
    whole = Run(tmp_path / "whole.pt", RECIPE, CPU)
    whole.train(songs)
    Run(tmp_path / "halves.pt", RECIPE, CPU).train(songs, until=3)
    second = Run(tmp_path / "halves.pt", RECIPE, CPU)
    assert second.step == 3
    second.train(songs)
    for name, values in weights(whole).items():
        assert np.array_equal(values, weights(second)[name]), name


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    Run(tmp_path / "run.pt", RECIPE, CPU).save()
    with pytest.raises(TrainingError, match="another recipe"):
        Run(tmp_path / "run.pt", Recipe(steps=6, batch_size=4), CPU)


def test_steps_that_would_raise_a_rate_that_fell_are_refused(tmp_path: Path, songs: Songs) -> None:
    checkpoint = tmp_path / "made" / "run.pt"
    Run(checkpoint, RECIPE, CPU).train(songs, until=0)
    Run(checkpoint, replace(RECIPE, steps=8), CPU).train(songs)  # not begun to fall
    with pytest.raises(TrainingError, match="cannot be prolonged to --steps 9: it has taken 8 of 8 steps"):
        Run(checkpoint, replace(RECIPE, steps=9), CPU)
    with pytest.raises(TrainingError, match="8 steps already"):
        Run(checkpoint, RECIPE, CPU)
    assert Run(checkpoint, replace(RECIPE, steps=8), CPU).step == 8


def test_a_short_training_tells_low_bursts_from_high_ones(tmp_path: Path, songs: Songs) -> None:
    run = Run(tmp_path / "run.pt", Recipe(steps=60, batch_size=4, n_frames=100, seed=1), CPU)
    run.train(songs)
    score = evaluate(fused(run.network), [drum_song(100), drum_song(101)], [0.5])[0.5]
    assert score.f("kick") > 0.9
    assert score.f("open hat") > 0.9


def test_exported_weights_hear_what_the_trained_network_hears(tmp_path: Path, songs: Songs) -> None:
    run = Run(tmp_path / "run.pt", RECIPE, CPU)
    run.train(songs)
    trained = run.network.eval()
    export(trained, tmp_path / "a.safetensors")
    export(trained, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    batch = songs.batch(np.random.default_rng(0), 2, 100)
    with torch.inference_mode():
        expected, simple = trained(batch.levels, batch.profile), fused(trained)(batch.levels, batch.profile)
    for name in ("onset", "loudness", "kinds"):
        assert torch.allclose(getattr(expected, name), getattr(simple, name), atol=1e-3), name
    assert not any(".norm." in name for name in DrumNetwork(fused=True).state_dict())


def test_true_strokes_score_full_marks_and_misses_count() -> None:
    song = drum_song(7)
    true = [Stroke(time_s, CLASSES[int(kind)], velocity) for time_s, kind, velocity in song.hits.tolist()]
    perfect, half = Score(), Score()
    perfect.add(song, true)
    half.add(song, [Stroke(s.time_s + 0.06, s.name, s.velocity) for s in true[::2]] + true[1::2])
    assert perfect.f("all") == 1.0
    assert perfect.velocity_r == pytest.approx(1.0)
    assert 0.3 < half.f("all") < 0.7
    assert "1.000" in table({"set": perfect})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("render", "--corpus", "C", "--pieces", "."), "--pieces .: no MIDI files"),
        (("render", "--corpus", "C", "--library", "lmms=."), "--library lmms=.: no samples"),
        (("render", "--corpus", "C", "--library", "gogodze=."), "--library gogodze=.: no samples"),
        (("render", "--corpus", "C", "--library", "muldjord"), "--library: must be NAME=FOLDER"),
        (("render", "--corpus", "C", "--library", "nope=."), "muldjord, gogodze, frankensnare, lmms, not nope=."),
        (("render", "--corpus", "C", "--human", "-1"), "--human: must be a whole number, at least 0, not -1"),
        (("render", "--corpus", "C", "--workers", "0"), "--workers: must be a whole number, at least 1, not 0"),
        (("train", "--corpus", "C", "--checkpoint", "c.pt", "--steps", "many"), "--steps: must be a whole number"),
        (("evaluate", "--corpus", "WRONG"), "--corpus WRONG: no held-out performances"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_that_names_the_option(
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["training", "drums", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert told in capsys.readouterr().err


def test_human_and_separated_performances_are_drawn_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("composed-000", "held-out-human-000", "human-000", "separated-000"):
        write_songs(tmp_path / f"{name}.npz", [drum_song(0)])
    drawn = {}

    def songs(paths: list[Path], weights: list[float]) -> Songs:
        drawn.update(zip([path.stem for path in paths], weights, strict=True))
        return Songs(paths, weights)

    monkeypatch.setattr(commands, "Songs", songs)
    monkeypatch.setattr(commands.Run, "train", lambda run, songs: None)
    words = ("train", "--corpus", str(tmp_path), "--checkpoint", str(tmp_path / "c.pt"), "--device", "cpu")
    monkeypatch.setattr(sys, "argv", ["training", "drums", *words])
    main()
    assert drawn == {"composed-000": 1.0, "human-000": 2.5, "separated-000": 20.0}


def test_what_is_held_out_has_bleed_of_its_own_and_of_other_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "versions").mkdir()
    for name in ("0.mid", "1.mid", "2.mid", "3.mid", "4.mid", "5.mid", "versions/0-v1.mid"):
        (tmp_path / name).touch()
    bleed = {}
    monkeypatch.setattr(corpus, "distribution_kits", lambda folders: {name: {} for name in HELD_OUT})
    monkeypatch.setattr(corpus, "leaks", lambda seed, pieces: (seed, [path.stem for path in pieces]))
    monkeypatch.setattr(
        corpus, "_render", lambda song, jobs, workers: bleed.update({jobs[0][0].stem: song.args[0].leaks})
    )
    corpus.render_corpus(corpus.Plan(tmp_path / "corpus", separated=0, pieces=tmp_path))
    seeds, pieces = zip(bleed["composed-000"], bleed["held-out-composed-000"], strict=True)
    assert seeds[0] != seeds[1]
    assert pieces == (["0", "1", "2", "3", "5"], ["4"])
