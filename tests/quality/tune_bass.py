"""Fits the bass transcriber's network on lines composed and rendered here; writes bass_network.npz.

Run from the repository root (about half an hour on two cores; see bass_lines.py for the soundfonts it needs)::

    python tests/quality/tune_bass.py [--lines 300] [--songs FOLDER] [--steps 4000] [--out FILE]

``--songs`` is a folder with songs in the shape of the bench, of which all stems but the bass, ``*/stems/*.flac``, are
what lines are mixed with before they are taken apart again.  Every tenth line takes no part in the fit; figures on
these are printed at the end.  Seeds are fixed, but on another machine sums round differently, and the weights with
them.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
import soundfile
import torch
from bass_lines import RATE_HZ, BassNote, random_line
from torch.nn import functional

from pipeline.models.store import ModelStore, default_root
from pipeline.transcription import bass_network, drum_features
from pipeline.transcription.bass import line
from pipeline.transcription.bass_features import CEILING_DB, DB_PER_UNIT, FLOOR_DB, BassFeatures, bass_features, follow
from pipeline.transcription.bass_network import FIRST_OFFSETS, FIRST_PITCH, N_PITCHES, SECOND_OFFSETS
from pipeline.transcription.drum_features import FRAMES_PER_S
from pipeline.transcription.pitch_track import PitchNetwork

HELD_OUT_EVERY = 10
HIDDEN = 24
CROP_FRAMES = 200
MARGIN = max(FIRST_OFFSETS) + max(SECOND_OFFSETS)  # frames around a crop that decide of its edges
BATCH = 8
PITCHES_PER_CROP = 10  # those played, and the likeliest mistakes: octaves, fifths, neighbours
RELATIVES = (-12, 12, -1, 1, 7, -7, 19)
FIRST_RATE, LAST_RATE = 4e-3, 1e-4
ONSET_WEIGHT, VELOCITY_WEIGHT = 2.0, 0.5
DEAF = (0.12, 0.2)  # how often the pitch tracker's votes, as recorded and an octave up, are kept back
SEED = 7


@dataclass(frozen=True)
class Example:
    """A recording as the network sees it, and what it should say: (n_frames, n_pitches) each.

    ``velocity`` is 0 where no note starts.
    """

    features: BassFeatures
    notes: list[BassNote]
    sounding: np.ndarray
    onset: np.ndarray
    velocity: np.ndarray


def example(samples: np.ndarray, notes: list[BassNote], network: PitchNetwork) -> Example:
    """Features and targets: onsets are triangles two frames to each side."""
    features = bass_features(samples, RATE_HZ, follow(samples, RATE_HZ, network))
    shape = (len(features.bands), N_PITCHES)
    sounding, onset, velocity = np.zeros(shape, bool), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for note in notes:
        column = note.pitch - FIRST_PITCH
        if not 0 <= column < N_PITCHES:
            continue
        centre = note.start_s * FRAMES_PER_S
        sounding[round(centre) : int(note.end_s * FRAMES_PER_S) + 1, column] = True
        for frame in range(max(round(centre) - 2, 0), min(round(centre) + 3, shape[0])):
            rise = min(1.5 * (1 - abs(frame - centre) / 2), 1.0)
            onset[frame, column] = max(onset[frame, column], rise)
            if abs(frame - centre) < 1:
                velocity[frame, column] = note.velocity
    return Example(features, notes, sounding, onset, velocity)


def rendered(count: int, others: list[np.ndarray], network: PitchNetwork) -> list[Example]:
    """Random lines."""
    lines = (random_line(np.random.default_rng([SEED, number]), others) for number in range(count))
    return [example(made.samples, made.notes, network) for made in lines]


def accompaniments(folder: Path) -> list[np.ndarray]:
    """The songs of a folder without their basses."""
    found = []
    for song in sorted(folder.iterdir()):
        paths = [path for path in sorted(song.glob("stems/*.flac")) if path.stem != "bass"]
        stems = [soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1) for path in paths]
        if stems:
            length = min(len(stem) for stem in stems)
            found.append(np.sum([stem[:length] for stem in stems], axis=0))
    return found


class Network(torch.nn.Module):
    """Two layers along time, shared by all pitches; see :mod:`pipeline.transcription.bass_network`."""

    def __init__(self, n_channels: int, n_around: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(n_channels * len(FIRST_OFFSETS), HIDDEN)
        self.around = torch.nn.Linear(n_around * len(FIRST_OFFSETS), HIDDEN, bias=False)
        self.second = torch.nn.Linear(HIDDEN * len(SECOND_OFFSETS), HIDDEN)
        self.output = torch.nn.Linear(HIDDEN, 3)

    def forward(self, channels: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
        """Logits (batch, CROP_FRAMES, pitches, 3) from (batch, frames, pitches, n) and (batch, frames, n)."""
        heard = self.first(shifted(channels, FIRST_OFFSETS)) + self.around(shifted(around, FIRST_OFFSETS))[:, :, None]
        return self.output(torch.relu(self.second(shifted(torch.relu(heard), SECOND_OFFSETS))))


def shifted(values: torch.Tensor, offsets: tuple[int, ...]) -> torch.Tensor:
    """Each frame's surroundings side by side; the outermost frames, which lack some, are left out."""
    margin = max(offsets)
    n_frames = values.shape[1]
    return torch.cat([values[:, margin + offset : n_frames - margin + offset] for offset in offsets], dim=-1)


def chosen_pitches(crop: np.ndarray, votes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Columns to learn from: what is played there, its relatives, what the tracker votes for, some at random."""
    interest = rng.random(N_PITCHES)
    interest[-votes.shape[-1] :] += 0.7 * votes.max(axis=(0, 1))[:N_PITCHES]
    played = np.flatnonzero(crop.any(axis=0))
    for relative in RELATIVES:
        columns = played + relative
        interest[columns[(columns >= 0) & (columns < N_PITCHES)]] += 0.7
    interest[played] += 10
    return np.argsort(-interest)[:PITCHES_PER_CROP]


def curve(size: int, knots: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random line."""
    heights = rng.normal(0, strength * rng.random(), knots)
    return np.interp(np.linspace(0, knots - 1, size), np.arange(knots), heights).astype(np.float32)


def disturbed(features: BassFeatures, rng: np.random.Generator) -> BassFeatures:
    """Another tone and level, at times noise or a deaf pitch tracker: levels are logarithmic, so tone is a sum."""
    n_semitones = features.spectra.shape[-1]
    floor, ceiling = np.float32(FLOOR_DB / DB_PER_UNIT), np.float32(CEILING_DB / DB_PER_UNIT)
    spectra = features.spectra + np.float32(rng.normal(0, 0.15)) + curve(n_semitones, 7, 0.4, rng)
    if rng.random() < 0.4:
        tilt = np.linspace(rng.uniform(0, 0.6), -0.3, n_semitones)
        noise = rng.uniform(-3, -1.3) + curve(n_semitones, 5, 0.6, rng) + tilt
        noise = noise + 0.25 * np.log10(rng.exponential(1, spectra.shape) + 1e-3)
        to_power = np.log(10) * DB_PER_UNIT / 10
        spectra = np.logaddexp(spectra * to_power, noise * to_power) / to_power
    bands = features.bands + np.float32(rng.normal(0, 0.1)) + curve(features.bands.shape[-1], 6, 0.3, rng)
    votes, voicing = features.votes.copy(), features.voicing.copy()
    for column, chance in enumerate(DEAF):
        if rng.random() < chance:
            votes[:, column], voicing[:, column] = 0.0, 0.0
    return BassFeatures(
        np.clip(spectra, floor, ceiling).astype(np.float32),
        np.clip(bands, drum_features.FLOOR, ceiling).astype(np.float32),
        votes,
        voicing,
        features.tuning,
    )


def crop(item: Example, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Channels, surroundings and the three targets of a random place, for some pitches."""
    first = int(rng.integers(0, len(item.sounding) - CROP_FRAMES - 2 * MARGIN + 1))
    part = bass_network.frames_of(item.features, first, first + CROP_FRAMES + 2 * MARGIN)
    part = disturbed(part, rng)
    inner = slice(first + MARGIN, first + MARGIN + CROP_FRAMES)
    columns = chosen_pitches(item.sounding[inner], part.votes[..., FIRST_PITCH - 11 :], rng)
    wanted = (values[inner][:, columns].astype(np.float32) for values in (item.sounding, item.onset, item.velocity))
    return bass_network.looked_at(part)[:, columns], bass_network.surroundings(part), *wanted


def loss_of(logits: torch.Tensor, sounding: torch.Tensor, onset: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
    """Which pitch sounds, or none: cross-entropy; where notes start: binary; how loud: squares."""
    silence = torch.zeros_like(logits[..., :1, 0])
    odds = functional.log_softmax(torch.cat([silence, logits[..., 0]], dim=-1), dim=-1)
    silent = (sounding.sum(dim=-1, keepdim=True) == 0).float()
    wanted = torch.cat([silent, sounding], dim=-1)
    wanted = wanted / wanted.sum(dim=-1, keepdim=True)
    n_frames = onset.shape[0] * onset.shape[1]
    begun = functional.binary_cross_entropy_with_logits(logits[..., 1], onset, reduction="sum") / n_frames
    starts = velocity > 0
    loudness = ((torch.sigmoid(logits[..., 2]) - velocity) ** 2 * starts).sum() / (starts.sum() + 1)
    return -(wanted * odds).sum(dim=-1).mean() + ONSET_WEIGHT * begun + VELOCITY_WEIGHT * loudness


def fit(examples: list[Example], steps: int) -> Network:
    """Trains from scratch."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    usable = [item for item in examples if len(item.sounding) > CROP_FRAMES + 2 * MARGIN]
    lengths = np.array([len(item.sounding) for item in usable], dtype=np.float64)
    network: Network | None = None
    for step in range(steps):
        chosen = rng.choice(len(usable), BATCH, p=lengths / lengths.sum())
        crops = [crop(usable[index], rng) for index in chosen]
        channels, around, *wanted = (torch.from_numpy(np.stack(parts)) for parts in zip(*crops, strict=True))
        if network is None:
            network = Network(channels.shape[-1], around.shape[-1])
            optimizer = torch.optim.AdamW(network.parameters(), FIRST_RATE, weight_decay=1e-3)
        for group in optimizer.param_groups:
            group["lr"] = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (step / steps) * min(1.0, (step + 1) / 50)
        loss = loss_of(network(channels, around), *wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1} of {steps}: loss {loss.item():.4f}", flush=True)
    assert network is not None
    return network.eval()


def save(network: Network, path: Path) -> None:
    """Writes the weights as the transcriber reads them: layers along time as (offsets, inputs, outputs)."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}

    def by_offset(weight: np.ndarray, n_offsets: int) -> np.ndarray:
        return weight.reshape(len(weight), n_offsets, -1).transpose(1, 2, 0)

    arrays = {
        "first": by_offset(state["first.weight"], len(FIRST_OFFSETS)),
        "around": by_offset(state["around.weight"], len(FIRST_OFFSETS)),
        "first_bias": state["first.bias"],
        "second": by_offset(state["second.weight"], len(SECOND_OFFSETS)),
        "second_bias": state["second.bias"],
        "output": state["output.weight"].T,
        "output_bias": state["output.bias"],
    }
    np.savez_compressed(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def report(examples: list[Example]) -> None:
    """Prints means over lines: onset F, onset and offset F, median onset error, r of velocities."""
    rows = []
    for item in examples:
        found = line(bass_network.evidence(item.features))
        if not found or not item.notes:
            continue
        true = np.array([(note.start_s, note.end_s) for note in item.notes])
        spans = np.array([(note.start_s, note.end_s) for note in found])
        hz = [mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes])) for notes in (item.notes, found)]
        pairs = mir_eval.transcription.match_notes(true, hz[0], spans, hz[1], offset_ratio=None)
        ended = mir_eval.transcription.match_notes(true, hz[0], spans, hz[1])
        total = (len(true) + len(found)) / 2
        late_s = float(np.median([spans[j, 0] - true[i, 0] for i, j in pairs])) if pairs else 0.0
        loudness = np.array([(item.notes[i].velocity, found[j].velocity) for i, j in pairs]).T
        r = float(np.corrcoef(loudness)[0, 1]) if len(pairs) > 9 else np.nan
        rows.append((len(pairs) / total, len(ended) / total, 1000 * late_s, r))
    onset, both, late_ms, r = np.nanmean(rows, axis=0)
    print(f"{len(rows)} lines: onset F {onset:.3f}, with offset {both:.3f}, {late_ms:.1f} ms late, velocity r {r:.3f}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=bass_network.WEIGHTS_PATH)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # matrices this small only lose by being split
    (path,) = ModelStore(default_root()).pull("swift-f0")
    pitch_network = PitchNetwork(path)
    others = accompaniments(arguments.songs) if arguments.songs else []
    lines = rendered(arguments.lines, others, pitch_network)
    seen = [line for number, line in enumerate(lines) if number % HELD_OUT_EVERY]
    save(fit(seen, arguments.steps), arguments.out)
    bass_network.WEIGHTS_PATH = arguments.out
    report(lines[::HELD_OUT_EVERY])


if __name__ == "__main__":
    main()
