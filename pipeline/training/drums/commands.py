"""The commands of ``python -m pipeline.training drums``: render, train, evaluate, export."""

import argparse
from pathlib import Path

import torch

from pipeline.separation.device import DEVICES, choose_device
from pipeline.training.arguments import any_number, count
from pipeline.training.checkpoints import read_checkpoint
from pipeline.training.drums.corpus import Plan, render_corpus
from pipeline.training.drums.dataset import Songs
from pipeline.training.drums.export import export, fused
from pipeline.training.drums.kits import HYDROGEN_FOLDERS
from pipeline.training.drums.render import read_songs
from pipeline.training.drums.sample_libraries import NAMES
from pipeline.training.drums.train import Recipe, Run
from pipeline.training.errors import TrainingError
from pipeline.transcription.drum_network import WEIGHTS_PATH, DrumNetwork, load_network
from pipeline.transcription.drums import THRESHOLD

# How often a performance is drawn in training against a composed one, by what its file's name begins with: those of
# real drummers are fewer and teach velocities; separated ones are few, and what is really heard
_WEIGHTS = {"human": 2.5, "separated": 20.0}
_RENDER_FIRST = "run `python -m pipeline.training drums render` first"
_HELP = """python -m pipeline.training drums render --corpus corpus/drums --groove-midi ... --library muldjord=...
python -m pipeline.training drums train --corpus corpus/drums --checkpoint corpus/drums.pt --steps 3000
python -m pipeline.training drums evaluate --corpus corpus/drums --checkpoint corpus/drums.pt
python -m pipeline.training drums export --checkpoint corpus/drums.pt"""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``drums`` and its commands; what is parsed has ``run``, a function of the arguments, and ``threads``."""
    drums = subparsers.add_parser(
        "drums", help="the drum network", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = drums.add_subparsers(required=True)
    render = commands.add_parser("render", help="render performances, as far as they are not rendered yet")
    render.add_argument("--corpus", type=Path, required=True, help="folder of the performances")
    render.add_argument("--composed", type=any_number, default=Plan.composed, help="files of 100 composed performances")
    render.add_argument("--human", type=any_number, default=Plan.human, help="files of 100 performances of Groove MIDI")
    render.add_argument(
        "--separated", type=any_number, default=Plan.separated, help="files of 6 separated performances"
    )
    render.add_argument("--groove-midi", type=Path, help="the unpacked Groove MIDI dataset (v1.0.0, MIDI only)")
    render.add_argument("--pieces", type=Path, help="folder of POP909's MIDI files")
    render.add_argument(
        "--library", type=_library, action="append", default=[], help=f"NAME=FOLDER; names: {', '.join(NAMES)}"
    )
    render.add_argument("--hydrogen", type=Path, action="append", help="folders of Hydrogen kits")
    render.add_argument("--workers", type=count, default=1)
    render.set_defaults(run=_render, threads=1)
    train = commands.add_parser("train", help="train, or go on training")
    train.add_argument("--corpus", type=Path, required=True)
    train.add_argument("--checkpoint", type=Path, required=True)
    train.add_argument("--steps", type=count, default=Recipe.steps)
    train.add_argument("--seed", type=any_number, default=Recipe.seed)
    train.add_argument("--device", choices=DEVICES, default="auto")
    train.add_argument("--threads", type=count, default=1, help="of the processor")
    train.set_defaults(run=_train)
    measure = commands.add_parser("evaluate", help="measure on kits that were kept out of training")
    measure.add_argument("--corpus", type=Path, required=True)
    measure.add_argument("--checkpoint", type=Path, help="the shipped weights by default")
    measure.add_argument("--threads", type=count, default=1)
    measure.set_defaults(run=_evaluate)
    ship = commands.add_parser("export", help="write the weights that ship")
    ship.add_argument("--checkpoint", type=Path, required=True)
    ship.add_argument("--out", type=Path, default=WEIGHTS_PATH)
    ship.set_defaults(run=_export, threads=1)


def _library(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if name not in NAMES or not equals or not folder:
        raise argparse.ArgumentTypeError(f"must be NAME=FOLDER, NAME one of {', '.join(NAMES)}, not {text}")
    return name, Path(folder)


def _render(arguments: argparse.Namespace) -> None:
    render_corpus(
        Plan(
            arguments.corpus,
            composed=arguments.composed,
            human=arguments.human,
            separated=arguments.separated,
            groove_midi=arguments.groove_midi,
            pieces=arguments.pieces,
            libraries=dict(arguments.library),
            hydrogen=arguments.hydrogen or HYDROGEN_FOLDERS,
            workers=arguments.workers,
        )
    )


def _train(arguments: argparse.Namespace) -> None:
    paths = [path for path in sorted(arguments.corpus.glob("[!.]*.npz")) if not path.name.startswith("held-out")]
    if not paths:
        raise TrainingError(f"--corpus {arguments.corpus}: no performances to train on: {_RENDER_FIRST}")
    weights = [_WEIGHTS.get(path.name.partition("-")[0], 1.0) for path in paths]
    recipe = Recipe(steps=arguments.steps, seed=arguments.seed)
    Run(arguments.checkpoint, recipe, choose_device(arguments.device)).train(Songs(paths, weights))


def _trained(checkpoint: Path) -> DrumNetwork:
    network = DrumNetwork(fused=False)
    try:
        network.load_state_dict(read_checkpoint(checkpoint, ("network",), "drum")["network"])
    except RuntimeError as error:
        raise TrainingError(f"--checkpoint {checkpoint}: no weights of the drum network") from error
    return network


def _evaluate(arguments: argparse.Namespace) -> None:
    # Needs the extra "training"
    from pipeline.training.drums.evaluate import THRESHOLDS, evaluate, table

    paths = sorted(arguments.corpus.glob("held-out-*.npz"))
    if not paths:
        raise TrainingError(f"--corpus {arguments.corpus}: no held-out performances: {_RENDER_FIRST}")
    network = fused(_trained(arguments.checkpoint)) if arguments.checkpoint else load_network(torch.device("cpu"))
    sets = {path.stem: list(read_songs(path)) for path in paths}
    scores = {name: evaluate(network, songs, THRESHOLDS) for name, songs in sets.items()}
    for name, by_threshold in scores.items():
        print(name, ", ".join(f"{threshold}: {score.f('all'):.3f}" for threshold, score in by_threshold.items()))
    print(table({name: by_threshold[THRESHOLD] for name, by_threshold in scores.items()}))


def _export(arguments: argparse.Namespace) -> None:
    export(_trained(arguments.checkpoint), arguments.out)
