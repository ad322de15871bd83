"""Training the drum network: targets, batches, resuming, exporting, and the measure of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.training.drums.dataset import NOTHING, Songs, targets
from pipeline.training.drums.evaluate import Score, evaluate, table
from pipeline.training.drums.export import export, fused
from pipeline.training.drums.render import Song, write_songs
from pipeline.training.drums.train import Recipe, Run
from pipeline.transcription.drum_classes import CLASSES, FAMILIES
from pipeline.transcription.drum_decoding import Stroke
from pipeline.transcription.drum_features import FINE, FLOOR
from pipeline.transcription.drum_network import DrumNetwork

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
def corpus(tmp_path: Path) -> Songs:
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


def test_batches_are_drawn_anew_and_alike_for_one_seed(corpus: Songs) -> None:
    first, again, other = (corpus.batch(np.random.default_rng(seed), 3, 80) for seed in (1, 1, 2))
    assert first.levels.shape == (3, 80, FINE.count)
    assert first.onset.shape == (3, 80, len(FAMILIES))
    assert torch.equal(first.levels, again.levels)
    assert not torch.equal(first.levels, other.levels)
    assert first.levels.min() >= FLOOR


def test_files_of_no_weight_are_never_drawn(tmp_path: Path) -> None:
    silent = Song(np.full((150, FINE.count), FLOOR, np.float16), np.zeros(FINE.count, np.float16), np.zeros((0, 3)))
    write_songs(tmp_path / "a.npz", [silent])
    write_songs(tmp_path / "b.npz", [drum_song(0)])
    songs = Songs([tmp_path / "a.npz", tmp_path / "b.npz"], [1.0, 0.0])
    assert not songs.batch(np.random.default_rng(0), 20, 100).onset.any()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, corpus: Songs) -> None:
    whole = Run(tmp_path / "whole.pt", RECIPE, CPU)
    whole.train(corpus)
    Run(tmp_path / "halves.pt", RECIPE, CPU).train(corpus, until=3)
    second = Run(tmp_path / "halves.pt", RECIPE, CPU)
    assert second.step == 3
    second.train(corpus)
    for name, values in weights(whole).items():
        assert np.array_equal(values, weights(second)[name]), name


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    Run(tmp_path / "run.pt", RECIPE, CPU).save()
    with pytest.raises(ValueError, match="another recipe"):
        Run(tmp_path / "run.pt", Recipe(steps=6, batch_size=4), CPU)


def test_a_short_training_tells_low_bursts_from_high_ones(tmp_path: Path, corpus: Songs) -> None:
    run = Run(tmp_path / "run.pt", Recipe(steps=60, batch_size=4, n_frames=100, seed=1), CPU)
    run.train(corpus)
    score = evaluate(fused(run.network), [drum_song(100), drum_song(101)], [0.5])[0.5]
    assert score.f("kick") > 0.9
    assert score.f("open hat") > 0.9


def test_exported_weights_hear_what_the_trained_network_hears(tmp_path: Path, corpus: Songs) -> None:
    run = Run(tmp_path / "run.pt", RECIPE, CPU)
    run.train(corpus)
    trained = run.network.eval()
    export(trained, tmp_path / "a.safetensors")
    export(trained, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    batch = corpus.batch(np.random.default_rng(0), 2, 100)
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
