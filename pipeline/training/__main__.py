"""From nothing to the weights that come with the package, a command for each step; ``RECIPE.md`` has them in order.

python -m pipeline.training render|sing|accompany|separate|train|evaluate|export ...
python -m pipeline.training drums ...
"""

import argparse
from functools import partial
from pathlib import Path

import torch

from pipeline.training.dataset import Mixing, rendered_songs
from pipeline.training.drums.commands import register
from pipeline.training.export import export
from pipeline.training.render import Job, render
from pipeline.training.separate import separate_songs
from pipeline.training.sounds.collection import Sources
from pipeline.training.team import together
from pipeline.training.train import Recipe, train, unfinished, weights_of
from pipeline.transcription.note_network import Size


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
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _count(text: str) -> int:
    """A number that counts something: 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_count, default=torch.get_num_threads(), help="of the processor")


def _render_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder that songs are added to")
    parser.add_argument("--count", type=_count, required=True, help="songs, of 45 s and four to seven parts each")
    parser.add_argument("--seed", type=int, default=0, help="of the first song; those that follow have the next ones")
    parser.add_argument("--soundfont", type=Path, action="append", default=[], help="a General MIDI soundfont")
    parser.add_argument("--library", type=Path, action="append", default=[], help="folder of SFZ instruments")
    parser.add_argument("--synthetic", type=int, default=0, help="how many instruments to make up")
    parser.add_argument("--synthetic-seed", type=int, default=0, help="of those")
    parser.add_argument("--pieces", type=Path, help="folder with MIDI files whose parts may be borrowed")
    parser.add_argument("--processes", type=_count, default=1)
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        if not (arguments.soundfont or arguments.library or arguments.synthetic):
            raise ValueError("nobody to play: give --soundfont, --library or --synthetic")
        sources = Sources(
            tuple(arguments.soundfont), tuple(arguments.library), arguments.synthetic, arguments.synthetic_seed
        )
        render(Job(arguments.songs, sources, arguments.pieces, arguments.seed, arguments.count), arguments.processes)

    parser.set_defaults(run=run)


def _sing_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder that songs are added to")
    parser.add_argument("--count", type=_count, required=True)
    parser.add_argument("--seed", type=int, default=5_000_000, help="of the first song")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        # Needs espeak-ng and WORLD, which the other commands do without
        from pipeline.training.singing.songs import sing_songs

        sing_songs(arguments.songs, arguments.count, arguments.seed)

    parser.set_defaults(run=run)


def _accompany_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder of rendered songs")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        # Needs Debian packages that the other commands do without
        from pipeline.training.accompany import accompany
        from pipeline.training.drums.kits import distribution_kits
        from pipeline.training.drums.render import Sources as Drums

        accompany(arguments.songs, Drums(distribution_kits()))

    parser.set_defaults(run=run)


def _separate_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, help="folder of rendered songs")
    parser.add_argument("--count", type=_count, required=True, help="how many of them")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        separate_songs(arguments.songs, arguments.count)

    parser.set_defaults(run=run)


def _train_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("songs", type=Path, nargs="+", help="folders of rendered songs")
    parser.add_argument("--out", type=Path, required=True, help="folder of this training; an unfinished one goes on")
    parser.add_argument("--steps", type=_count, required=True, help="batches in all")
    parser.add_argument("--batch", type=_count, default=Recipe.batch_size, help="samples of 4 s in a batch")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="highest learning rate")
    parser.add_argument("--fall-share", type=float, default=Recipe.fall_share, help="of the steps: the rate falls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--separated-share", type=float, default=0.0, help="of the samples; needs `separate`")
    parser.add_argument("--sparse", action="store_true", help="one part, or two of different songs (for the ablation)")
    parser.add_argument("--plain", action="store_true", help="no augmentation (for the ablation)")
    parser.add_argument("--width", type=int, default=Size.width, help="channels of the network")
    parser.add_argument("--harmonics", type=int, default=Size.harmonics, help="1: none stacked (for the ablation)")
    parser.add_argument(
        "--start", type=Path, help="checkpoint or exported weights of another training: start from them"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=_count, default=1, help="that train together, on one thread each")
    _common(parser)

    def run(arguments: argparse.Namespace) -> None:
        mixing = Mixing(
            dense=not arguments.sparse,
            augmented=not arguments.plain,
            separated_share=arguments.separated_share,
        )
        size = Size(width=arguments.width, harmonics=arguments.harmonics)
        recipe = Recipe(
            size, mixing, arguments.batch, arguments.steps, arguments.rate, arguments.fall_share, arguments.seed
        )
        start = weights_of(arguments.start) if arguments.start else None
        songs, device = rendered_songs(arguments.songs), torch.device(arguments.device)
        if arguments.batch % arguments.processes:
            raise ValueError(f"--batch {arguments.batch} cannot be shared out among --processes {arguments.processes}")
        unfinished(arguments.out, recipe, torch.device("cpu"))  # says in one line why it cannot go on
        together(partial(train, songs, arguments.out, recipe, device, start), arguments.processes)

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
