"""How far the note network has learned its songs by heart: its loss on them, and on songs that it was not trained on.

Run from the repository root, with the same songs for all weights that are to be compared::

    python tests/quality/note_losses.py WEIGHTS SONGS [SONGS ...] [--width 48] [--batches 24]

Mean of :func:`pipeline.training.train.loss_of` over batches of eight samples, always the same ones, mixed as in
training: .35 of them are separated, where songs are.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.training.dataset import Mixing, RenderedSong, Samples, rendered_songs
from pipeline.training.train import loss_of, weights_of
from pipeline.transcription.note_network import NoteNetwork, Size

BATCH = 8
SEED = 5
SEPARATED_SHARE = 0.35


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--width", type=int, default=Size.width, help="channels of the network")
    parser.add_argument("--batches", type=int, default=24)
    arguments = parser.parse_args()
    size = Size(width=arguments.width)
    network = NoteNetwork(size)
    network.load_state_dict(weights_of(arguments.weights, size, seed=0))
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    songs = rendered_songs(arguments.songs)
    share = SEPARATED_SHARE if any(RenderedSong.open(song).is_separated() for song in songs) else 0.0
    samples = Samples(songs, Mixing(separated_share=share), BATCH, SEED)
    losses = []
    for index in range(arguments.batches):
        batch = samples.batch(index)
        targets = (batch.onset, batch.sounding, batch.velocity, batch.family)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            heard = network(torch.from_numpy(batch.samples))
        losses.append(float(loss_of(heard, *(torch.from_numpy(target) for target in targets))))
    print(f"loss {np.mean(losses):.3f} of {len(losses)} batches from {len(songs)} songs")


if __name__ == "__main__":
    main()
