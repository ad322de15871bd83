"""The commands of ``python -m pipeline.training drums``: render, train, evaluate, export."""

import argparse
from pathlib import Path

import torch

from pipeline.separation.device import DEVICES, choose_device
from pipeline.training.drums.corpus import Plan, render_corpus
from pipeline.training.drums.dataset import Songs
from pipeline.training.drums.export import export, fused
from pipeline.training.drums.kits import HYDROGEN_FOLDERS
from pipeline.training.drums.render import read_songs
from pipeline.training.drums.sample_libraries import LIBRARIES
from pipeline.training.drums.train import Recipe, Run
from pipeline.transcription.drum_network import WEIGHTS_PATH, DrumNetwork, load_network
from pipeline.transcription.drums import THRESHOLD

_SEPARATED_WEIGHT = 20.0  # of a separated performance in training: they are few, and what is really heard
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
    render.add_argument("--composed", type=int, default=Plan.composed, help="files of 100 composed performances")
    render.add_argument("--human", type=int, default=Plan.human, help="files of 100 performances of Groove MIDI")
    render.add_argument("--separated", type=int, default=Plan.separated, help="files of 6 separated performances")
    render.add_argument("--groove-midi", type=Path, help="the unpacked Groove MIDI dataset (v1.0.0, MIDI only)")
    render.add_argument("--pieces", type=Path, help="folder of POP909's MIDI files")
    render.add_argument("--library", action="append", default=[], help=f"NAME=FOLDER; {', '.join(LIBRARIES)}, lmms")
    render.add_argument("--hydrogen", type=Path, action="append", help="folders of Hydrogen kits")
    render.add_argument("--workers", type=int, default=1)
    render.set_defaults(run=_render, threads=1)
    train = commands.add_parser("train", help="train, or go on training")
    train.add_argument("--corpus", type=Path, required=True)
    train.add_argument("--checkpoint", type=Path, required=True)
    train.add_argument("--steps", type=int, default=Recipe.steps)
    train.add_argument("--seed", type=int, default=Recipe.seed)
    train.add_argument("--device", choices=DEVICES, default="auto")
    train.add_argument("--threads", type=int, default=1, help="of the processor")
    train.set_defaults(run=_train)
    measure = commands.add_parser("evaluate", help="measure on kits that were kept out of training")
    measure.add_argument("--corpus", type=Path, required=True)
    measure.add_argument("--checkpoint", type=Path, help="the shipped weights by default")
    measure.add_argument("--threads", type=int, default=1)
    measure.set_defaults(run=_evaluate)
    ship = commands.add_parser("export", help="write the weights that ship")
    ship.add_argument("--checkpoint", type=Path, required=True)
    ship.add_argument("--out", type=Path, default=WEIGHTS_PATH)
    ship.set_defaults(run=_export, threads=1)


def _render(arguments: argparse.Namespace) -> None:
    libraries = dict(entry.split("=", 1) for entry in arguments.library)
    render_corpus(
        Plan(
            arguments.corpus,
            composed=arguments.composed,
            human=arguments.human,
            separated=arguments.separated,
            groove_midi=arguments.groove_midi,
            pieces=arguments.pieces,
            libraries={name: Path(folder) for name, folder in libraries.items()},
            hydrogen=arguments.hydrogen or HYDROGEN_FOLDERS,
            workers=arguments.workers,
        )
    )


def _train(arguments: argparse.Namespace) -> None:
    paths = [path for path in sorted(arguments.corpus.glob("[!.]*.npz")) if not path.name.startswith("held-out")]
    if not paths:
        raise ValueError(f"{arguments.corpus}: no performances: run `python -m pipeline.training drums render` first")
    weights = [_SEPARATED_WEIGHT if path.name.startswith("separated") else 1.0 for path in paths]
    recipe = Recipe(steps=arguments.steps, seed=arguments.seed)
    Run(arguments.checkpoint, recipe, choose_device(arguments.device)).train(Songs(paths, weights))


def _trained(checkpoint: Path) -> DrumNetwork:
    network = DrumNetwork(fused=False)
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["network"])
    return network


def _evaluate(arguments: argparse.Namespace) -> None:
    # Needs the extra "training"
    from pipeline.training.drums.evaluate import THRESHOLDS, evaluate, table

    network = fused(_trained(arguments.checkpoint)) if arguments.checkpoint else load_network(torch.device("cpu"))
    sets = {path.stem: list(read_songs(path)) for path in sorted(arguments.corpus.glob("held-out-*.npz"))}
    scores = {name: evaluate(network, songs, THRESHOLDS) for name, songs in sets.items()}
    for name, by_threshold in scores.items():
        print(name, ", ".join(f"{threshold}: {score.f('all'):.3f}" for threshold, score in by_threshold.items()))
    print(table({name: by_threshold[THRESHOLD] for name, by_threshold in scores.items()}))


def _export(arguments: argparse.Namespace) -> None:
    export(_trained(arguments.checkpoint), arguments.out)
