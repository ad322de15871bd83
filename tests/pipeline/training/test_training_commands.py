"""The commands of RECIPE.md, from nothing to weights that are scored, on the smallest of everything."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pipeline.training.__main__ import main

RENDER = ("render", "SONGS", "--count", "2", "--synthetic", "30", "--tracked", "6")
TRAIN = ("train", "SONGS", "--out", "RUN", "--steps", "2", "--batch", "1", "--device", "cpu")


def run(folder, *words):
    command = [sys.executable, "-m", "pipeline.training", *words, "--threads", "1"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("recipe")
    for words in (RENDER, TRAIN):
        done = run(made, *words)
        assert done.returncode == 0, done.stderr
    (made / "EMPTY").mkdir()
    torch.save({"network": {}, "optimizer": {}, "step": 1, "recipe": {}}, made / "drums.pt")
    return made


def refusal(folder, monkeypatch, capsys, *words):
    """The line that a command ends with."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["training", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_from_nothing_to_scores(folder):
    on = ("train", "SONGS", "--out", "ON", "--steps", "1", "--batch", "1", "--start", "w.safetensors")
    evaluation = ("evaluate", "w.safetensors", "SONGS")
    for words in (("export", "RUN/checkpoint.pt", "w.safetensors"), on, evaluation):
        done = run(folder, *words)
        assert done.returncode == 0, done.stderr
    assert "each part alone" in done.stdout
    assert "all parts as one" in done.stdout


@pytest.mark.parametrize("kind", ["RUN/checkpoint.pt", "exported.safetensors"])
def test_a_wider_network_starts_from_a_narrower_one(folder, kind):
    if kind != "RUN/checkpoint.pt":
        assert run(folder, "export", "RUN/checkpoint.pt", kind).returncode == 0
    out = f"WIDE-{Path(kind).suffix[1:]}"
    done = run(folder, "train", "SONGS", "--out", out, "--steps", "1", "--batch", "1", "--width", "64", "--start", kind)
    assert done.returncode == 0, done.stderr
    assert f"--start {kind}: widened from 48 to 64 channels" in done.stderr
    narrow, wide = (torch.load(folder / name / "checkpoint.pt")["network"] for name in ("RUN", out))
    # One step at a rate that only begins to rise
    kept = wide["before.0.layer.0.weight"][:48, :48]
    assert (kept - narrow["before.0.layer.0.weight"]).norm() < 0.05 * kept.norm()


def test_two_processes_start_from_another_training_and_keep_one_checkpoint(folder):
    words = ("--steps", "3", "--batch", "2", "--processes", "2", "--start", "RUN/checkpoint.pt", "--device", "cpu")
    done = run(folder, "train", "SONGS", "--out", "TEAM", *words)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["step"] for line in (folder / "TEAM" / "log.jsonl").read_text().splitlines()] == [2, 3]
    start, ended = (torch.load(folder / name / "checkpoint.pt")["network"] for name in ("RUN", "TEAM"))
    # The learning rate rises from next to nothing, so that three steps lead hardly anywhere
    kernels = [name for name, value in start.items() if value.dim() == 4]
    assert all(0 < (start[name] - ended[name]).norm() < 0.1 * start[name].norm() for name in kernels)
    assert run(folder, "export", "TEAM/checkpoint.pt", "team.safetensors").returncode == 0
    with safe_open(folder / "team.safetensors", framework="pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe["processes"] == 2
    assert recipe["start"] == hashlib.sha256((folder / "RUN" / "checkpoint.pt").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seed", "5"), "another seed (0)"),
        (("--batch", "2", "--processes", "2"), "another batch_size (1), processes (1)"),
        (("--start", "RUN/checkpoint.pt"), "another start"),
        (("--steps", "1"), "2 steps already"),
    ],
)
def test_a_training_of_another_recipe_is_not_gone_on_with(folder, monkeypatch, capsys, words, told):
    assert told in refusal(folder, monkeypatch, capsys, *TRAIN, *words)


@pytest.fixture
def altered(folder, tmp_path):
    """What makes a folder with the finished training's checkpoint, its recipe another."""

    def made(change):
        state = torch.load(folder / "RUN" / "checkpoint.pt")
        torch.save({**state, "recipe": json.dumps(change(json.loads(state["recipe"])))}, tmp_path / "checkpoint.pt")
        return str(tmp_path)

    return made


def test_a_training_of_an_older_recipe_is_not_gone_on_with(folder, altered, monkeypatch, capsys):
    older = altered(lambda recipe: {name: value for name, value in recipe.items() if name != "start"})
    told = refusal(folder, monkeypatch, capsys, *TRAIN, "--out", older)
    assert f"{older}: the training there was begun with another start" in told


def test_a_training_whose_rate_fell_from_the_first_step_on_is_kept(folder, altered, monkeypatch, capsys):
    fallen = altered(lambda recipe: {**recipe, "fall_share": 1.0})
    words = (*TRAIN, "--out", fallen, "--fall-share", "1")
    told = refusal(folder, monkeypatch, capsys, *words, "--steps", "3")
    assert f"{fallen}: the training there is one of 2 steps and cannot be prolonged" in told
    monkeypatch.setattr(sys, "argv", ["training", *words])
    main()
    # With as many steps it is gone on with, and has come to its end
    assert [path.name for path in Path(fallen).iterdir()] == ["checkpoint.pt"]


NEW = ("train", "SONGS", "--out", "R", "--steps", "1", "--batch", "1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("render", "OTHER", "--count", "1"), "--soundfont"),
        (("render", "OTHER", "--count", "1", "--tracked", "3"), "whose sounds --tracked records"),
        (("render", "RUN/log.jsonl", "--count", "1", "--synthetic", "30"), "RUN/log.jsonl: not a folder"),
        (("render", "OTHER", "--count", "1", "--synthetic", "-1"), "--synthetic: must be a whole number, at least 0"),
        (("render", "OTHER", "--count", "1", "--synthetic", "30", "--library", "EMPTY"), "--library EMPTY"),
        (("render", "OTHER", "--count", "1", "--synthetic", "30", "--pieces", "EMPTY"), "--pieces EMPTY"),
        (("render", "OTHER", "--count", "1", "--soundfont", "NONE.sf2"), "--soundfont NONE.sf2: no file"),
        (("render", "OTHER", "--count", "1", "--synthetic", "30", "--library", "NOWHERE"), "NOWHERE: no such folder"),
        (("render", "OTHER", "--count", "1", "--synthetic", "30", "--pieces", "NOWHERE"), "NOWHERE: no such folder"),
        (("train", "EMPTY", "--out", "R", "--steps", "1"), "EMPTY: no rendered songs"),
        (("train", "SONGS", "TYPO", "--out", "R", "--steps", "1"), "TYPO: no rendered songs"),
        (("accompany", "TYPO"), "TYPO: no rendered songs"),
        ((*NEW, "--steps", "0"), "--steps: must be a whole number, at least 1, not 0"),
        ((*NEW, "--seed", "-1"), "--seed"),
        ((*NEW, "--rate", "0"), "--rate: must be a number, above 0, not 0"),
        ((*NEW, "--rate", "nan"), "--rate"),
        ((*NEW, "--rate", "inf"), "--rate"),
        ((*NEW, "--rate", "fast"), "--rate"),
        ((*NEW, "--fall-share", "0"), "--fall-share: must be a number, above 0 and at most 1, not 0"),
        ((*NEW, "--fall-share", "1.01"), "--fall-share"),
        ((*NEW, "--separated-share", "-0.1"), "--separated-share: must be a number, at least 0 and at most 1"),
        ((*NEW, "--width", "0"), "--width"),
        ((*NEW, "--harmonics", "9"), "--harmonics: invalid choice: 9 (choose from 1, 2"),
        ((*NEW, "--batch", "3", "--processes", "2"), "--batch 3"),
        ((*NEW, "--separated-share", "0.5", "--batch", "2", "--processes", "2"), "no separated songs"),
        ((*NEW, "--start", "missing.pt"), "missing.pt"),
        ((*NEW, "--start", "RUN/log.jsonl"), "RUN/log.jsonl"),
        (
            (*NEW, "--start", "RUN/checkpoint.pt", "--width", "24"),
            "--start RUN/checkpoint.pt: not of a network of --width",
        ),
        (("export", "missing.pt", "w"), "missing.pt"),
        (("export", "drums.pt", "w"), "drums.pt: no checkpoint"),
        (("export", "RUN/log.jsonl", "w"), "RUN/log.jsonl: no checkpoint"),
        (("evaluate", "RUN/checkpoint.pt", "SONGS"), "RUN/checkpoint.pt: not weights"),
        (("evaluate", "missing.safetensors", "SONGS"), "missing.safetensors"),
        (("evaluate", "missing.safetensors", "EMPTY"), "no rendered songs"),
        (("separate", "EMPTY", "--count", "1"), "no rendered songs"),
        (("drums", "train", "--corpus", "EMPTY", "--checkpoint", "c.pt"), "no performances"),
        (("drums", "export", "--checkpoint", "RUN/checkpoint.pt", "--out", "w"), "no weights of the drum network"),
        (("drums", "export", "--checkpoint", "RUN/log.jsonl", "--out", "w"), "no checkpoint of the drum network"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, monkeypatch, capsys, words, told):
    assert told in refusal(folder, monkeypatch, capsys, *words)
    assert not (folder / "OTHER").exists()
    assert not (folder / "R").exists()


def test_what_fluidsynth_cannot_read_is_refused_in_one_line(folder, monkeypatch, capsys):
    pytest.importorskip("fluidsynth", reason="FluidSynth is not on this system", exc_type=ImportError)
    told = refusal(folder, monkeypatch, capsys, "render", "OTHER", "--count", "1", "--soundfont", "drums.pt")
    assert "--soundfont drums.pt: not a soundfont" in told


def test_without_fluidsynth_soundfonts_are_refused_in_one_line(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    monkeypatch.delitem(sys.modules, "pipeline.training.sounds.soundfont", raising=False)
    told = refusal(folder, monkeypatch, capsys, "render", "OTHER", "--count", "1", "--soundfont", "drums.pt")
    assert "soundfonts need FluidSynth (" in told
    assert told.endswith("RECIPE.md says what to install")


def test_what_is_wrong_with_the_code_keeps_its_traceback(folder, monkeypatch):
    def broken(*_):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.chdir(folder)
    monkeypatch.setattr("pipeline.training.__main__.export", broken)
    monkeypatch.setattr(sys, "argv", ["training", "export", "RUN/checkpoint.pt", "w"])
    with pytest.raises(ValueError, match="broadcast"):
        main()
