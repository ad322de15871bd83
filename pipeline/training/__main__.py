"""From nothing to the weights that come with the package, a command for each step; ``RECIPE.md`` has them in order.

python -m pipeline.training render|sing|accompany|separate|train|evaluate|export ...
python -m pipeline.training drums ...
"""

import argparse
import hashlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from pipeline.errors import PipelineError
from pipeline.separation.device import choose_device
from pipeline.training.arguments import any_number, count
from pipeline.training.dataset import Mixing, RenderedSong, rendered_songs
from pipeline.training.drums.commands import register
from pipeline.training.errors import TrainingError
from pipeline.training.export import export
from pipeline.training.process_group import run_processes
from pipeline.training.render import Job, render
from pipeline.training.separate import separate_songs
from pipeline.training.sounds.collection import Sources
from pipeline.training.train import Recipe, train, unfinished, weights_of
from pipeline.transcription.note_network import HARMONICS, Size


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _render_command(commands.add_parser("render", help="render songs with known notes"))
    _sing_command(commands.add_parser("sing", help="render unaccompanied singing with known notes"))
    _accompany_command(commands.add_parser("accompany", help="give rendered songs a drummer"))
    _separate_command(commands.add_parser("separate", help="send rendered songs through our own separation"))
    _train_command(commands.add_parser("train", help="train the note network; goes on where it was stopped"))
    _evaluate_command(commands.add_parser("evaluate", help="score weights on rendered songs"))
    _export_command(commands.add_parser("export", help="write the weights that inference loads"))
    register(commands)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        arguments.run(arguments)
    except (OSError, PipelineError, TrainingError) as error:
        parser.error(str(error))


def _number(least: float, most: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """What argparse reads a number by: one from ``least`` on, or ``above`` it, to ``most``."""
    limits = f"{'above' if above else 'at least'} {least}" + (f" and at most {most}" if most < math.inf else "")

    def parsed(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and least <= number <= most) or (above and number == least):
            raise argparse.ArgumentTypeError(f"must be a number, {limits}, not {text}")
        return number

    return parsed


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=count,
        default=torch.get_num_threads(),
        help="of the processor that it may use; all by default",
    )


def _render_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder that songs are added to")
    parser.add_argument("--count", type=count, required=True, help="songs, of 45 s and four to seven parts each")
    parser.add_argument(
        "--seed", type=any_number, default=0, help="of the first song; those that follow have the next ones"
    )
    parser.add_argument("--soundfont", type=Path, action="append", default=[], help="a General MIDI soundfont")
    parser.add_argument("--library", type=Path, action="append", default=[], help="folder of SFZ instruments")
    parser.add_argument("--synthetic", type=any_number, default=0, help="how many instruments to make up")
    parser.add_argument("--synthetic-seed", type=any_number, default=0, help="of those, and of --tracked")
    parser.add_argument(
        "--tracked",
        type=any_number,
        default=0,
        help="how many instruments to make by recording one note of another (fewer, where those are out of tune)",
    )
    parser.add_argument("--pieces", type=Path, help="folder with MIDI files whose parts may be borrowed")
    parser.add_argument("--processes", type=count, default=1, help="that render side by side; 1 by default")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        if not (arguments.soundfont or arguments.library or arguments.synthetic):
            others = ", whose sounds --tracked records" if arguments.tracked else ""
            raise TrainingError(f"nobody to play: give --soundfont, --library or --synthetic{others}")
        sources = Sources(
            soundfonts=tuple(arguments.soundfont),
            libraries=tuple(arguments.library),
            synthetic=arguments.synthetic,
            seed=arguments.synthetic_seed,
            tracked=arguments.tracked,
        )
        render(Job(arguments.songs, sources, arguments.pieces, arguments.seed, arguments.count), arguments.processes)

    parser.set_defaults(run=run)


def _sing_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder that songs are added to")
    parser.add_argument("--count", type=count, required=True)
    parser.add_argument("--seed", type=any_number, default=5_000_000, help="of the first song")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        # Needs espeak-ng and WORLD, which the other commands do without
        try:
            from pipeline.training.singing.songs import sing_songs
        except ModuleNotFoundError as error:
            raise TrainingError(f"singing needs the package {error.name}: RECIPE.md says what to install") from error

        sing_songs(arguments.songs, arguments.count, arguments.seed)

    parser.set_defaults(run=run)


def _accompany_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder of rendered songs")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        rendered_songs([arguments.songs])  # kits take a while to load
        # Needs Debian packages that the other commands do without
        from pipeline.training.accompany import accompany
        from pipeline.training.drums.kits import distribution_kits
        from pipeline.training.drums.render import Sources as Drums

        accompany(arguments.songs, Drums(distribution_kits()))

    parser.set_defaults(run=run)


def _separate_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder of rendered songs")
    parser.add_argument("--count", type=count, required=True, help="how many of them")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        separate_songs(arguments.songs, arguments.count)

    parser.set_defaults(run=run)


def _train_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, nargs="+", help="folders of rendered songs")
    parser.add_argument("--out", type=Path, required=True, help="folder of this training; an unfinished one goes on")
    parser.add_argument("--steps", type=count, required=True, help="batches in all")
    parser.add_argument("--batch", type=count, default=Recipe.batch_size, help="samples of 4 s in a batch")
    parser.add_argument("--rate", type=_number(0, above=True), default=Recipe.rate, help="highest learning rate")
    fall_share = _number(0, 1, above=True)
    parser.add_argument("--fall-share", type=fall_share, default=Recipe.fall_share, help="of the steps: the rate falls")
    parser.add_argument("--seed", type=any_number, default=0)
    parser.add_argument("--separated-share", type=_number(0, 1), default=0.0, help="of the samples; needs `separate`")
    parser.add_argument("--sparse", action="store_true", help="one part, or two of different songs (for the ablation)")
    parser.add_argument("--plain", action="store_true", help="no augmentation (for the ablation)")
    parser.add_argument("--width", type=count, default=Size.width, help="channels of the network")
    parser.add_argument(
        "--harmonics",
        type=int,
        choices=range(1, len(HARMONICS) + 1),
        default=Size.harmonics,
        help="how many are stacked; 1: none (for the ablation)",
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="checkpoint or exported weights of another training to start from; of fewer channels, they are widened",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=count, default=1, help="that train together, on one thread each")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        mixing = Mixing(
            dense=not arguments.sparse,
            augmented=not arguments.plain,
            separated_share=arguments.separated_share,
        )
        if arguments.batch % arguments.processes:
            raise TrainingError(
                f"--batch {arguments.batch} cannot be shared out among --processes {arguments.processes}"
            )
        recipe = Recipe(
            size=Size(width=arguments.width, harmonics=arguments.harmonics),
            mixing=mixing,
            batch_size=arguments.batch,
            steps=arguments.steps,
            rate=arguments.rate,
            fall_share=arguments.fall_share,
            seed=arguments.seed,
            processes=arguments.processes,
            start=hashlib.sha256(arguments.start.read_bytes()).hexdigest() if arguments.start else "",
        )
        # What can be known to go wrong is looked for here: from one of several processes it would come as a traceback
        start = weights_of(arguments.start, recipe.size, recipe.seed) if arguments.start else None
        songs, device = rendered_songs(arguments.songs), choose_device(arguments.device)
        if mixing.separated_share and not any(RenderedSong.open(song).is_separated() for song in songs):
            raise TrainingError(
                "--separated-share: no separated songs: run `python -m pipeline.training separate` first"
            )
        unfinished(arguments.out, recipe)
        run_processes(partial(train, songs, arguments.out, recipe, device, start), recipe.processes)

    parser.set_defaults(run=run)


def _evaluate_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help="file that `export` wrote")
    parser.add_argument("songs", type=Path, help="folder of rendered songs that nothing was trained on")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        # Needs the extra "training"
        from pipeline.training.evaluate import evaluate, table

        print(table(evaluate(arguments.weights, arguments.songs)))

    parser.set_defaults(run=run)


def _export_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a training, or steady.pt of an unfinished one")
    parser.add_argument("out", type=Path)
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        print(f"{export(arguments.checkpoint, arguments.out)} parameters")

    parser.set_defaults(run=run)


if __name__ == "__main__":
    main()
