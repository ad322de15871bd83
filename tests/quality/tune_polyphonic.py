"""Fits the polyphonic transcriber's networks on music made up and rendered here; writes polyphonic_networks.npz.

Run from the repository root (about an hour on two cores; see phrases.py for the Debian packages it needs)::

    python tests/quality/tune_polyphonic.py --work FOLDER [--songs FOLDER] [--batches 9] [--check]

``--songs`` adds songs of one's own with known notes: ``<song>/notes.json``, ``<song>/stems/<stem>.flac`` and, if they
were separated, ``<song>/separated/<stem>.flac``.  Nothing that is made is made twice: what was heard is kept in
``--work``.  ``--check`` fits without the songs and phrases in HELD_OUT, and scores those; no weights are written.
Seeds are fixed, but on another machine sums round differently, and the weights with them.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from metrics import note_array, score_notes, without_unisons
from phrases import CALIBRATED_KEYS, onset_delays, phrases
from torch import nn

from pipeline.models.store import ModelStore, default_root
from pipeline.transcription import note_evidence, polyphonic
from pipeline.transcription.basic_pitch import Activations, BasicPitchNetwork
from pipeline.transcription.note_evidence import Evidence
from pipeline.transcription.partials import RATE_HZ, band_levels
from pipeline.transcription.polyphonic import FRAMES_PER_S, LEAST_ONSET, SHIFT_S, Layers, Networks

KINDS = ("other", "piano", "other", "guitar", "other") * 4
PHRASE_S = 30.0
LOWEST, HIGHEST = 21, 108
TOLERANCE_S = 0.05
HELD_OUT_EVERY = 5  # phrases; and songs, in the order of their names
NOTE_HIDDEN, HELD_HIDDEN, STRUCK_HIDDEN = (128, 64), (64, 32), 24
NOTE_EPOCHS, HELD_EPOCHS, STRUCK_EPOCHS = 8, 5, 25
BATCH = 2048
EASY_ONSET, EASY_SHARE = 0.2, 0.2  # of the candidates below, that are no notes, a fifth is enough
LOOKS_PER_NOTE = 8  # frames all along a note, and as many about its end, in which the held network learns
BEYOND_END_S = 2.0
MEAN_VELOCITY = 0.63
SEED = 0
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
HARMONIC = ("guitar", "piano", "other")


@dataclass(frozen=True)
class Heard:
    """A stem: where what was heard in it is kept, its true notes (see metrics.note_array), and those of other stems."""

    path: Path
    notes: np.ndarray
    foreign: np.ndarray
    held_out: bool

    def evidence(self) -> Evidence:
        with np.load(self.path) as kept:
            activations = Activations(kept["no"].astype(np.float32), kept["on"].astype(np.float32))
            return note_evidence.gather(activations, kept["lev"].astype(np.float32))

    @property
    def kind(self) -> str:
        return self.path.stem.split("__")[1] if "__" in self.path.stem else "phrases, " + self.path.stem.split("_")[-1]


class Fitted(nn.Module):
    """A feed-forward network that standardises its inputs."""

    def __init__(self, example: torch.Tensor, hidden: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        sizes = (example.shape[1], *hidden, n_outputs)
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.mean, self.scale = example.mean(0), example.std(0) + 0.05

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = (inputs - self.mean) / self.scale
        for depth, layer in enumerate(self.linear):
            values = layer(torch.relu(values) if depth else values)
            if depth == 0 and len(self.linear) > 2:
                values = nn.functional.dropout(values, 0.1, self.training)
        return values

    def layers(self) -> Layers:
        """The same network without the standardisation, which the first layer does."""
        pairs = [
            (layer.weight.detach().double().numpy().T, layer.bias.detach().double().numpy()) for layer in self.linear
        ]
        mean, scale = self.mean.double().numpy(), self.scale.double().numpy()
        weights, bias = pairs[0]
        pairs[0] = (weights / scale[:, None], bias - (mean / scale) @ weights)
        return Layers(tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in pairs))


# ---- material


def listen(path: Path, network: BasicPitchNetwork, samples: np.ndarray, notes: np.ndarray, foreign: np.ndarray) -> None:
    """Keep what is heard in mono samples at 22 050 Hz, beside their notes."""
    heard = network.activations(samples, RATE_HZ)
    levels = band_levels(samples).astype(np.float16)
    on, no = heard.onsets.astype(np.float16), heard.notes.astype(np.float16)
    np.savez(path, on=on, no=no, lev=levels, notes=notes, ignore=foreign)


def hear_phrases(folder: Path, network: BasicPitchNetwork, n_batches: int) -> None:
    for batch in range(n_batches):
        paths = [folder / f"phr_{batch:02d}_{i:02d}_{kind}.npz" for i, kind in enumerate(KINDS)]
        if all(path.exists() for path in paths):
            continue
        made = phrases(np.random.default_rng([11, batch]), list(KINDS), PHRASE_S)
        for path, phrase in zip(paths, made, strict=True):
            notes = note_array((n.start_s, n.end_s, n.pitch, n.velocity) for n in phrase.notes)
            listen(path, network, soxr.resample(phrase.samples, 44_100, RATE_HZ), notes, notes[:0])
            print(path.stem, len(notes), flush=True)


def hear_songs(folder: Path, network: BasicPitchNetwork, songs: Path) -> None:
    for song in sorted(path.parent for path in songs.glob("*/notes.json")):
        instruments = [i for i in json.loads((song / "notes.json").read_text())["instruments"] if not i["is_drum"]]
        stems = [(p, f"dev_{song.name}__{p.stem}", {p.stem}) for p in sorted((song / "stems").glob("*.flac"))]
        separated = [(song / "separated" / f"{s}.flac", s) for s in ("other", "vocals")]
        stems += [
            (path, f"dev_{song.name}__sep{stem}", set(HARMONIC) if stem == "other" else {stem})
            for path, stem in separated
            if path.exists()
        ]
        for audio, name, family in stems:
            path = folder / f"{name}.npz"
            own = [i for i in instruments if i["stem"] in family]
            if not path.exists() and (own or "__sep" in name):
                samples, rate_hz = soundfile.read(audio, dtype="float32", always_2d=True)
                heard = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
                foreign = [i for i in instruments if i["stem"] not in family]
                listen(path, network, heard, audible_notes(own), audible_notes(foreign))
                print(name, flush=True)


def audible_notes(instruments: list[dict]) -> np.ndarray:
    """Notes from when they can be heard, were they played with FluidR3."""
    notes = []
    for instrument in instruments:
        delays = np.nan_to_num(onset_delays().get((0, instrument["program"]), np.zeros(len(CALIBRATED_KEYS))))
        for n in instrument["notes"]:
            late_s = min(np.interp(n["pitch"], CALIBRATED_KEYS, delays), max(0.0, n["end"] - n["start"] - 0.03))
            notes.append((n["start"] + late_s, n["end"], n["pitch"], n["velocity"]))
    return note_array(notes)


def load(folder: Path) -> Iterator[Heard]:
    songs: list[str] = []
    for index, path in enumerate(sorted(folder.glob("*.npz"))):
        with np.load(path) as kept:
            notes, foreign = without_unisons(kept["notes"]), kept["ignore"]
        song = path.stem.split("__")[0]
        if "__" in path.stem and song not in songs:
            songs.append(song)
        turn = songs.index(song) if "__" in path.stem else index
        notes = notes[(notes[:, 2] >= LOWEST) & (notes[:, 2] <= HIGHEST)]
        yield Heard(path, notes, foreign, turn % HELD_OUT_EVERY == 1)


# ---- examples


def nearest(notes: np.ndarray, times_s: np.ndarray, pitches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every time and pitch: index of the note of that pitch with the nearest onset, and how much later that is."""
    index, later_s = np.full(len(times_s), -1), np.full(len(times_s), np.inf)
    for pitch in np.unique(pitches):
        own, asked = np.flatnonzero(notes[:, 2] == pitch), np.flatnonzero(pitches == pitch)
        if len(own):
            best = np.abs(notes[own, 0][None, :] - times_s[asked][:, None]).argmin(axis=1)
            index[asked], later_s[asked] = own[best], notes[own[best], 0] - times_s[asked]
    return index, later_s


def note_examples(rng: np.random.Generator, heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Features of candidates, and (is a note, shift in units of SHIFT_S, weight) of each."""
    evidence = heard.evidence()
    frames, columns = note_evidence.candidates(evidence, LEAST_ONSET)
    features = note_evidence.note_features(evidence, frames, columns)
    _, later_s = nearest(heard.notes, frames / FRAMES_PER_S, columns + LOWEST)
    _, foreign_s = nearest(heard.foreign, frames / FRAMES_PER_S, columns + LOWEST)
    true = np.abs(later_s) <= TOLERANCE_S
    easy = ~true & (features[:, : len(note_evidence.ONSET_FRAMES)].max(axis=1) < EASY_ONSET)
    use = (true | (np.abs(foreign_s) > 1.2 * TOLERANCE_S)) & (~easy | (rng.random(len(frames)) < EASY_SHARE))
    weight = np.where(easy, 1 / EASY_SHARE, 1.0)
    targets = np.stack([true, np.where(true, later_s, 0) / SHIFT_S, weight], axis=1)
    return features[use].astype(np.float16), targets[use].astype(np.float32)


def found(heard: Heard, evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates that are notes: frames, columns, and which notes; one candidate, the nearest, of each note."""
    frames, columns = note_evidence.candidates(evidence, LEAST_ONSET)
    index, later_s = nearest(heard.notes, frames / FRAMES_PER_S, columns + LOWEST)
    order = np.argsort(np.abs(later_s), kind="stable")
    order = order[np.abs(later_s[order]) <= TOLERANCE_S]
    _, first = np.unique(index[order], return_index=True)
    best = order[first]
    return frames[best], columns[best], index[best]


def held_examples(rng: np.random.Generator, heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Features of frames along notes that were found, and whether the key is held there."""
    evidence = heard.evidence()
    _, _, which = found(heard, evidence)
    notes, n_frames = heard.notes, evidence.n_frames
    frames, columns, starts, held = [], [], [], []
    for note in which:
        start_s, end_s, pitch, _ = notes[note]
        again = notes[(notes[:, 2] == pitch) & (notes[:, 0] > start_s), 0].min(initial=np.inf)
        first = round((start_s + rng.normal(0, 0.008)) * FRAMES_PER_S)
        last_s = min(again, end_s + BEYOND_END_S, start_s + polyphonic.LONGEST_NOTE_FRAMES / FRAMES_PER_S)
        last = min(int(last_s * FRAMES_PER_S), n_frames)
        if last <= first + 5:
            continue
        along = rng.integers(first + 3, last, LOOKS_PER_NOTE)
        about = np.clip(int(end_s * FRAMES_PER_S) + rng.integers(-25, 26, LOOKS_PER_NOTE), first + 3, last - 1)
        looks = np.unique(np.concatenate([along, about]))
        frames.append(looks)
        columns.append(np.full(len(looks), int(pitch) - LOWEST))
        starts.append(np.full(len(looks), max(first, 0)))
        held.append(looks / FRAMES_PER_S < end_s)
    if not frames:
        return np.zeros((0, 0), np.float16), np.zeros(0, np.float32)
    frame, column, start = np.concatenate(frames), np.concatenate(columns), np.concatenate(starts)
    attacks = note_evidence.attack_levels(evidence, start, column)
    features = note_evidence.hold_features(evidence, frame, column, start, attacks)
    return features.astype(np.float16), np.concatenate(held).astype(np.float32)


def struck_examples(heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Features of notes that were found, and their velocities, 0-1."""
    evidence = heard.evidence()
    frames, columns, which = found(heard, evidence)
    return note_evidence.velocity_features(evidence, frames, columns), heard.notes[which, 3] / 127


# ---- fitting


def fit_batches(model: Fitted, inputs: torch.Tensor, targets: torch.Tensor, epochs: int, loss: Loss) -> Fitted:
    """Fits a network in batches of all stems' examples, shuffled anew in every epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, epochs * -(-len(inputs) // BATCH))
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(inputs)).split(BATCH):
            value = loss(model(inputs[batch].float()), targets[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * len(batch)
        print(f"  epoch {epoch}: {total / len(inputs):.4f}", flush=True)
    return model.eval()


def note_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    true, shift, weight = targets.T
    surely = nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], true, reduction="none")
    return (weight * surely).mean() + 0.3 * (true * (outputs[:, 1] - shift) ** 2).mean()


def held_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)


def fit_struck(examples: list[tuple[np.ndarray, np.ndarray]]) -> Layers:
    """Fits velocity by its correlation within each stem: how loud a stem is says nothing of how hard it is played.

    Two hidden units start as the level of the attack and its opposite, so that at first the output is that level.
    """
    examples = [(f, v) for f, v in examples if len(v) >= 15 and v.std() > 2 / 127]
    model = Fitted(torch.from_numpy(np.concatenate([f for f, _ in examples])), (STRUCK_HIDDEN,), 1)
    with torch.no_grad():
        model.linear[0].weight[:2] = 0.0
        model.linear[0].weight[0, 0], model.linear[0].weight[1, 0] = 1.0, -1.0
        model.linear[1].weight[:] = 0.0
        model.linear[1].weight[0, :2] = torch.tensor([1.0, -1.0])
    optimizer = torch.optim.AdamW(model.parameters(), 1.5e-3, weight_decay=3e-2)
    stems = [(torch.from_numpy(f), torch.from_numpy(v).float()) for f, v in examples]
    for _ in range(STRUCK_EPOCHS):
        for batch in torch.randperm(len(stems)).split(4):
            value = torch.zeros(())
            for stem in batch.tolist():
                features, velocity = stems[stem]
                noisy = features + 0.02 * torch.randn_like(features)
                pair = torch.stack([model(noisy)[:, 0], velocity])
                value = value - torch.corrcoef(pair)[0, 1] * min(1.0, len(velocity) / 60)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    layers = model.eval().layers()
    rough = [layers(f)[:, 0] for f, _ in examples]
    spread = np.sqrt(np.mean([v.var() for _, v in examples]) / np.mean([z.var() for z in rough]))
    (first, (weights, bias)) = layers.layers
    middle = np.mean([z.mean() for z in rough])
    scaled = (weights * spread, (bias - middle) * spread + MEAN_VELOCITY)
    return Layers((first, (scaled[0].astype(np.float32), scaled[1].astype(np.float32))))


def fit(stems: list[Heard]) -> Networks:
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    inputs, targets = (
        torch.from_numpy(np.concatenate(a)) for a in zip(*(note_examples(rng, s) for s in stems), strict=True)
    )
    print(f"{len(inputs)} candidates, {int(targets[:, 0].sum())} notes", flush=True)
    note = fit_batches(Fitted(inputs[::7].float(), NOTE_HIDDEN, 2), inputs, targets, NOTE_EPOCHS, note_loss)
    looks = [example for example in (held_examples(rng, s) for s in stems) if len(example[1])]
    inputs, targets = (torch.from_numpy(np.concatenate(a)) for a in zip(*looks, strict=True))
    held = fit_batches(Fitted(inputs[::5].float(), HELD_HIDDEN, 1), inputs, targets, HELD_EPOCHS, held_loss)
    return Networks(note.layers(), held.layers(), fit_struck([struck_examples(s) for s in stems]))


def score(stems: list[Heard], judges: Networks, thresholds: tuple[float, ...]) -> None:
    """Print means over stems of a kind: onset F, onset+offset F, velocity r."""
    table: dict[tuple[str, float], list[tuple[float, ...]]] = {}
    for stem in stems:
        evidence = stem.evidence()
        for threshold in thresholds:
            notes = polyphonic.decode(evidence, polyphonic.DecodingSettings(threshold), judges=judges)
            array = note_array((n.start_s, n.end_s, n.pitch, 127 * n.velocity) for n in notes)
            scores = score_notes(stem.notes, array)
            if scores:
                row = (scores["onset_f"], scores["onset_offset_f"], scores.get("velocity_r", np.nan))
                table.setdefault((stem.kind, threshold), []).append(row)
    for (kind, threshold), rows in sorted(table.items()):
        figures = " ".join(f"{value:.3f}" for value in np.nanmean(np.array(rows), axis=0))
        print(f"{kind:18s} {threshold:.2f}  n={len(rows):2d}  {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--batches", type=int, default=9)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path, default=polyphonic.WEIGHTS_PATH)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    (path,) = ModelStore(default_root()).require("basic-pitch")
    network = BasicPitchNetwork(path)
    if options.songs:
        hear_songs(options.work, network, options.songs)
    hear_phrases(options.work, network, options.batches)
    stems = list(load(options.work))
    judges = fit([stem for stem in stems if not (options.check and stem.held_out)])
    if options.check:
        score([stem for stem in stems if stem.held_out], judges, (0.3, 0.4, 0.5))
        return
    arrays = {}
    for name, layers in vars(judges).items():
        for depth, (weights, bias) in enumerate(layers.layers):
            arrays |= {f"{name}_weights_{depth}": weights, f"{name}_bias_{depth}": bias}
    np.savez(options.out, **arrays)


if __name__ == "__main__":
    main()
