"""The commands of RECIPE.md, from nothing to weights that are scored, on the smallest of everything."""

import json
import subprocess
import sys

import pytest
import torch

RENDER = ("render", "SONGS", "--count", "2", "--synthetic", "30")
TRAIN = ("train", "SONGS", "--out", "RUN", "--steps", "2", "--batch", "1", "--device", "cpu")


def run(folder, *words):
    command = [sys.executable, "-m", "pipeline.training", *words, "--threads", "1"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("recipe")
    done = run(made, *RENDER)
    assert done.returncode == 0, done.stderr
    return made


def test_from_nothing_to_scores(folder):
    on = ("train", "SONGS", "--out", "ON", "--steps", "1", "--batch", "1", "--start", "w.safetensors")
    evaluation = ("evaluate", "w.safetensors", "SONGS")
    for words in (TRAIN, ("export", "RUN/checkpoint.pt", "w.safetensors"), on, evaluation):
        done = run(folder, *words)
        assert done.returncode == 0, done.stderr
    assert "each part alone" in done.stdout
    assert "all parts as one" in done.stdout


def test_two_processes_start_from_another_training_and_keep_one_checkpoint(folder):
    first = run(folder, *TRAIN)
    words = ("--steps", "3", "--batch", "2", "--processes", "2", "--start", "RUN/checkpoint.pt", "--device", "cpu")
    done = run(folder, "train", "SONGS", "--out", "TEAM", *words)
    assert (first.returncode, done.returncode) == (0, 0), done.stderr
    assert [json.loads(line)["step"] for line in (folder / "TEAM" / "log.jsonl").read_text().splitlines()] == [2, 3]
    start, ended = (torch.load(folder / name / "checkpoint.pt")["network"] for name in ("RUN", "TEAM"))
    # The learning rate rises from next to nothing, so that three steps lead hardly anywhere
    kernels = [name for name, value in start.items() if value.dim() == 4]
    assert all(0 < (start[name] - ended[name]).norm() < 0.1 * start[name].norm() for name in kernels)


def test_a_training_of_another_recipe_is_not_gone_on_with(folder):
    assert run(folder, *TRAIN).returncode == 0
    for words, told in ((("--seed", "5"), "another seed"), (("--steps", "1"), "2 steps already")):
        done = run(folder, *TRAIN, *words)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("render", "OTHER", "--count", "1"), "--soundfont"),
        (("train", "NOWHERE", "--out", "R", "--steps", "1"), "no rendered songs"),
        (("train", "SONGS", "--out", "R", "--steps", "0"), "--steps"),
        (("train", "SONGS", "--out", "R", "--steps", "1", "--batch", "3", "--processes", "2"), "--batch 3"),
        (("train", "SONGS", "--out", "R", "--steps", "1", "--start", "missing.pt"), "missing.pt"),
        (("export", "missing.pt", "w"), "missing.pt"),
        (("evaluate", "missing.safetensors", "SONGS"), "missing.safetensors"),
        (("evaluate", "missing.safetensors", "NOWHERE"), "no rendered songs"),
        (("train", "SONGS", "--out", "R", "--steps", "1", "--separated-share", "0.5"), "no separated songs"),
        (("separate", "NOWHERE", "--count", "1"), "no rendered songs"),
        (("drums", "train", "--corpus", "NOWHERE", "--checkpoint", "c.pt"), "no performances"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, words, told):
    done = run(folder, *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
