"""What each thing that the note network is made of gives: trainings of equal length, each without one of them.

Run from the repository root; with 750 steps a row takes ten minutes of one core, and goes on where it was stopped::

    python tests/quality/ablate_notes.py SONGS HELD --out FOLDER [--steps 750] [--threads 1] [--only NAME,NAME]

SONGS are rendered songs to train on (some accompanied and separated), HELD others, of other sounds.  Figures are
onset F / onset+offset F (50 ms, 50 cents): every part of the held-out songs on its own, and all parts of a song as one.
One training each: differences under .015 are noise.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.training.dataset import Mixing, rendered_songs
from pipeline.training.evaluate import ALONE, AS_ONE, evaluate, mean
from pipeline.training.export import export
from pipeline.training.train import Recipe, Run
from pipeline.transcription.note_network import Size

_WHOLE = Recipe(batch_size=4)


def variants(steps: int) -> dict[str, Recipe]:
    """By name; the first is what the others are compared with."""
    whole = replace(_WHOLE, steps=steps)
    return {
        "whole": whole,
        "without harmonic stacking": replace(whole, size=Size(harmonics=1)),
        "without dense mixes": replace(whole, mixing=Mixing(dense=False)),
        "without augmentation": replace(whole, mixing=Mixing(augmented=False)),
        "a fifth of it separated": replace(whole, mixing=Mixing(separated_share=0.2)),
        # Multiples of 16: of 24 channels PyTorch 2.13 makes gradients that are no numbers, in half precision on a CPU
        "two thirds of the width": replace(whole, size=Size(width=32)),
        "four thirds of the width": replace(whole, size=Size(width=64)),
        "half the steps": replace(whole, steps=steps // 2),
        "twice the steps": replace(whole, steps=2 * steps),
        "batches of twice the samples": replace(whole, batch_size=8),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("held", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=750)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="names of rows, with commas between them")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = arguments.only.split(",") if arguments.only else None
    if unknown := set(wanted or ()) - set(variants(arguments.steps)):
        parser.error(f"--only: no row is called {', '.join(sorted(unknown))}")
    songs, _ = rendered_songs([arguments.songs]), rendered_songs([arguments.held])
    print("| training | parameters | each part alone | all parts as one |\n|---|---|---|---|", flush=True)
    for name, recipe in variants(arguments.steps).items():
        if wanted is not None and name not in wanted:
            continue
        folder = arguments.out / name.replace(" ", "-")
        run = Run(folder, recipe, device)
        if run.step < recipe.steps:
            run.train(songs)
        n_parameters = export(folder / "checkpoint.pt", folder / "weights.safetensors")
        rows = evaluate(folder / "weights.safetensors", arguments.held)
        cells = [
            f"{mean(rows[row], 'onset F'):.3f} / {mean(rows[row], 'onset+offset F'):.3f}" for row in (ALONE, AS_ONE)
        ]
        print(f"| {name} | {n_parameters} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
