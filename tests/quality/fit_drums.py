"""Fits the drum transcriber's network on performances made up and rendered here; writes drum_network.npz.

Run from the repository root (about ten minutes on two cores; see drum_kits.py for the Debian packages it needs)::

    python tests/quality/fit_drums.py [--songs 1400] [--out pipeline/transcription/drum_network.npz]

Kits in HELD_OUT take no part in the fit; F on performances of theirs is printed at the end.  Seeds are fixed, but on
another machine sums round differently, and the weights with them.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mir_eval
import numpy as np
import torch
from drum_grooves import GAINS, RATE_HZ, compose, mix, varied_kit, worn
from drum_kits import Kit, bleed_clip, load_kits, synthetic_kit

from pipeline.transcription.drum_features import FLOOR, FRAMES_PER_S, N_BANDS, band_powers, relative_levels
from pipeline.transcription.drums import FAMILIES, THRESHOLD, peak_frames

HELD_OUT = (
    "Audiophob",
    "BJA_Pacific",
    "Millo-Drums_v.1",
    "Millo_MultiLayered2",
    "Millo_MultiLayered3",
    "The Black Pearl 1.0",
)
N_HELD_OUT_SONGS = 96
SONG_S = 20.0
KINDS = {"kick": 0, "snare": 1, "stick": 1, "tom": 2, "closed": 3, "open": 4, "crash": 5, "ride": 6}
N_KINDS = 7
OFFSETS = (-10, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28)
HIDDEN = (192, 64)
MARGIN = 40  # frames of silence between songs, more than any offset
EPOCHS = 10
BATCH = 1024
QUIET_SHARE = 0.3  # of the frames without an onset, per epoch
VELOCITY_WEIGHT = 0.3
TOLERANCE_S = 0.05
SEED = 7


@dataclass(frozen=True)
class Song:
    """Levels (n_frames, 36) float16, profile (36,), and hits as (time in s, kind 0-6, velocity 0-1)."""

    levels: np.ndarray
    profile: np.ndarray
    hits: list[tuple[float, int, float]]


@cache
def kits() -> dict[str, Kit]:
    """All sampled kits; loaded once, before the worker processes are forked."""
    return load_kits()


@cache
def bleed() -> list[np.ndarray]:
    """Ten minutes of music without drums."""
    rng = np.random.default_rng(SEED)
    return [bleed_clip(rng, 60.0) for _ in range(10)]


def training_kit(rng: np.random.Generator, names: list[str]) -> Kit:
    """A sampled kit, one put together from several, or a synthetic one; half the time each drum varied."""
    choice = rng.random()
    if choice < 0.2:
        kit = synthetic_kit(rng)
    elif choice < 0.5:
        kit = kits()[names[rng.integers(len(names))]]
    else:
        having = {kind: [name for name in names if kind in kits()[name]] for kind in GAINS}
        kit = {kind: kits()[owners[rng.integers(len(owners))]][kind] for kind, owners in having.items()}
    return varied_kit(rng, kit) if rng.random() < 0.5 else kit


def make_song(job: tuple[int, tuple[str, ...], bool]) -> Song:
    """One performance from (seed, kit names, whether to use a kit as it is); four in a hundred have no drums."""
    seed, names, as_is = job
    rng = np.random.default_rng(seed)
    kit = kits()[names[seed % len(names)]] if as_is else training_kit(rng, list(names))
    hits = compose(rng, kit, SONG_S) if rng.random() > 0.04 else []
    length = round(SONG_S * RATE_HZ)
    if hits:
        dry = mix(rng, kit, hits, SONG_S)
    elif rng.random() < 0.5:
        dry = bleed()[rng.integers(len(bleed()))][:length]
    else:
        dry = 0.01 * rng.standard_normal(length)
    levels, profile = relative_levels(band_powers(worn(rng, dry, bleed())))
    return Song(levels.astype(np.float16), profile, [(h.time_s, KINDS[h.kind], h.velocity) for h in hits])


def make_songs(first_seed: int, count: int, names: list[str], as_is: bool = False) -> list[Song]:
    """Many performances, on all cores."""
    jobs = [(first_seed + i, tuple(names), as_is) for i in range(count)]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(make_song, jobs, chunksize=8))


def targets(song: Song) -> tuple[np.ndarray, np.ndarray]:
    """Per frame and kind: a triangle of two frames to both sides of each onset, and its velocity (-1: none)."""
    onset = np.zeros((len(song.levels), N_KINDS), np.float32)
    velocity = np.full((len(song.levels), N_KINDS), -1, np.float32)
    for time_s, kind, loudness in song.hits:
        centre = time_s * FRAMES_PER_S
        for frame in range(max(0, round(centre) - 2), min(len(onset), round(centre) + 3)):
            value = min(1.0, 1.6 * (1 - abs(frame - centre) / 2))
            if value > onset[frame, kind]:
                onset[frame, kind] = value
                if abs(frame - centre) < 1:
                    velocity[frame, kind] = loudness
    return onset, velocity


class Corpus:
    """All frames of many songs, one after the other, as tensors."""

    def __init__(self, songs: list[Song]) -> None:
        silence = np.full((MARGIN, N_BANDS), FLOOR, np.float16)
        levels, onsets, velocities, frames, owners = [silence], [], [], [], []
        position = MARGIN
        for number, song in enumerate(songs):
            onset, velocity = targets(song)
            levels += [song.levels, silence]
            onsets.append(onset)
            velocities.append(velocity)
            frames.append(np.arange(position, position + len(song.levels)))
            owners.append(np.full(len(song.levels), number))
            position += len(song.levels) + MARGIN
        self.levels = torch.tensor(np.concatenate(levels).astype(np.float32))
        self.profiles = torch.tensor(np.array([song.profile for song in songs]))
        self.onsets, self.velocities = (torch.tensor(np.concatenate(parts)) for parts in (onsets, velocities))
        self.frames, self.owners = (torch.tensor(np.concatenate(parts)) for parts in (frames, owners))

    def inputs(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Context (n, n_offsets, 36) and profile (n, 36) of the chosen frames."""
        around = self.frames[chosen][:, None] + torch.tensor(OFFSETS)
        return self.levels[around], self.profiles[self.owners[chosen]]


class Network(torch.nn.Module):
    """Two hidden layers; onset logits and velocity logits of the seven kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(N_BANDS * (len(OFFSETS) + 1), HIDDEN[0])
        self.second = torch.nn.Linear(*HIDDEN)
        self.output = torch.nn.Linear(HIDDEN[1], 2 * N_KINDS)

    def forward(self, context: torch.Tensor, profile: torch.Tensor) -> torch.Tensor:
        """(n, 14) logits."""
        values = torch.relu(self.first(torch.cat([context.flatten(1), profile], dim=1)))
        return self.output(torch.relu(self.second(values)))


def disturbed(context: torch.Tensor, profile: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Another tone and level for every example: levels are logarithmic, so both are sums."""
    n = len(context)
    knots = 0.1 * torch.randn(n, 1, 7) * torch.rand(n, 1, 1)
    tone = torch.nn.functional.interpolate(knots, N_BANDS, mode="linear", align_corners=True)
    tone += 0.08 * torch.randn(n, 1, 1)
    return (context + tone).clamp(min=FLOOR), (profile + tone[:, 0]).clamp(min=FLOOR)


def fit(songs: list[Song]) -> Network:
    """Trains from scratch."""
    torch.manual_seed(SEED)
    corpus = Corpus(songs)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-3)
    busy = corpus.onsets.amax(dim=1) > 0
    steps = int((busy.sum() + QUIET_SHARE * (~busy).sum()) * 0.99) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=EPOCHS * steps)
    for epoch in range(EPOCHS):
        wanted = busy | (torch.rand(len(busy)) < QUIET_SHARE)
        order = wanted.nonzero()[:, 0]
        order = order[torch.randperm(len(order))]
        total = 0.0
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            logits = network(*disturbed(*corpus.inputs(chosen)))
            velocity = corpus.velocities[chosen]
            known = velocity >= 0
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, :N_KINDS], corpus.onsets[chosen])
            error = (torch.sigmoid(logits[:, N_KINDS:]) - velocity)[known]
            loss = loss + VELOCITY_WEIGHT * (error**2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / steps:.4f}", flush=True)
    return network.eval()


def report(network: Network, songs: list[Song]) -> None:
    """Prints onset F per family and over all of them, at the transcriber's threshold."""
    corpus = Corpus(songs)
    with torch.no_grad():
        logits = [network(*corpus.inputs(chosen)) for chosen in torch.arange(len(corpus.frames)).split(BATCH)]
    probabilities = torch.sigmoid(torch.cat(logits)[:, :N_KINDS]).numpy()
    owners = corpus.owners.numpy()
    counts = np.zeros((len(FAMILIES), 2))  # matched; true + found
    for number, song in enumerate(songs):
        mine = probabilities[owners == number]
        for row, family in enumerate(FAMILIES):
            found = peak_frames(mine[:, family].max(axis=1), THRESHOLD) / FRAMES_PER_S
            true = np.unique([time_s for time_s, kind, _ in song.hits if kind in family])
            both = len(true) and len(found)
            matched = len(mir_eval.util.match_events(true, found, TOLERANCE_S)) if both else 0
            counts[row] += (matched, len(true) + len(found))
    names = ("kick", "snare", "toms", "hi-hat", "cymbals")
    cells = [f"{name} {2 * matched / total:.3f}" for name, (matched, total) in zip(names, counts, strict=True)]
    matched, total = counts.sum(axis=0)
    print(f"kits kept out: {', '.join(cells)}, all {2 * matched / total:.3f}", flush=True)


def save(network: Network, path: Path) -> None:
    """Writes the weights as half-precision numbers, as the transcriber reads them."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    first = state["first.weight"].T
    n_context = N_BANDS * len(OFFSETS)
    arrays = {
        "context": first[:n_context].reshape(len(OFFSETS), N_BANDS, -1),
        "profile": first[n_context:],
        "bias": state["first.bias"],
        "hidden": state["second.weight"].T,
        "hidden_bias": state["second.bias"],
        "output": state["output.weight"].T,
        "output_bias": state["output.bias"],
    }
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    np.savez_compressed(path, offsets=np.array(OFFSETS), **halves)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=1400)
    parser.add_argument("--out", type=Path, default=Path("pipeline/transcription/drum_network.npz"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # matrices this small only lose by being split
    names = sorted(kits())
    print(f"{len(names)} kits, {sum(len(clip) for clip in bleed()) / RATE_HZ:.0f} s of bleed", flush=True)
    seen = [name for name in names if name not in HELD_OUT]
    apart = make_songs(1_000_000, N_HELD_OUT_SONGS, list(HELD_OUT), as_is=True)
    songs = make_songs(0, arguments.songs, seen)
    network = fit(songs)
    report(network, apart)
    save(network, arguments.out)


if __name__ == "__main__":
    main()
