"""Fits the vocals transcriber's network on the synthetic singer; writes vocals_network.npz.

Run from the repository root, with what ``pipeline.training.singing.voices`` needs::

    python tests/quality/tune_vocals.py make DIRECTORY [--songs 240] [--music DIRECTORY]
    python tests/quality/tune_vocals.py fit DIRECTORY [--out pipeline/transcription/vocals_network.npz]
    python tests/quality/tune_vocals.py score DIRECTORY

``make`` writes performances and what the network sees of them (half an hour for 240 on one core); ``--music`` is a
folder of audio files whose sound leaks into some.  ``fit`` takes a few minutes.  ``score`` prints F on performances
of voices that took no part in the fit.  Seeds are fixed, but sums round differently on another machine.
"""

import argparse
import json
from importlib.metadata import distribution
from pathlib import Path

import mir_eval
import numpy as np
import soundfile
import torch
from torch import nn

from pipeline.transcription.basic_pitch import BasicPitchNetwork
from pipeline.transcription.note_segmentation import DILATIONS, FIRST_WIDTH, WEIGHTS_PATH, opinion, segments, tuning
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.singing_features import FRAMES_PER_S, N_FEATURES, N_GROUPS, SPANS, STEPS, Voice, listen

HELD_OUT = ("en-us+m5", "it+m4", "en-us+f4", "it+f2")
HELD_OUT_EVERY = 8  # of so many performances, one is by a held-out voice
MUSIC_SHARE, CHOIR_SHARE = 0.6, 0.12  # of the performances with music, or another voice, in the background
CHANNELS = 48
CROP = 300  # frames
BATCH = 16
STEPS_OF_FIT = 1100
SEED = 7
ONSET_EMPHASIS = 3.0  # a network fitted on clean synthetic singing is too shy with real voices
GROUPS = {
    "bands": slice(0, N_GROUPS + 1),
    "pitch": slice(N_GROUPS + 1, N_GROUPS + 3 + len(STEPS) + len(SPANS)),
    "network": slice(N_FEATURES - 6, N_FEATURES),
}
DROPPED = {"bands": 0.2, "pitch": 0.08, "network": 0.15}  # share of crops that must do without


class Network(nn.Module):
    """What ``note_segmentation.opinion`` computes, to be fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(N_FEATURES, CHANNELS, FIRST_WIDTH, padding=FIRST_WIDTH // 2)
        self.layers = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=d, dilation=d) for d in DILATIONS)
        self.last = nn.Conv1d(CHANNELS, 2, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first(features))
        for layer in self.layers:
            hidden = hidden + self.dropout(torch.relu(layer(hidden)))
        return self.last(hidden)


def targets(notes: list, n_frames: int) -> np.ndarray:
    """Onset and activity wanted, float32, shape (n_frames, 2)."""
    wanted = np.zeros((n_frames, 2), dtype=np.float32)
    frames = np.arange(n_frames)
    for start_s, end_s, *_ in notes:
        wanted[:, 0] = np.maximum(wanted[:, 0], np.clip(1.75 - np.abs(frames - start_s * FRAMES_PER_S) / 2, 0, 1))
        wanted[round(start_s * FRAMES_PER_S) : round(end_s * FRAMES_PER_S), 1] = 1.0
    return wanted


def varied(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """A crop (n_frames, N_FEATURES) heard through other equipment, or with an ear missing."""
    crop = crop.copy()
    bands = crop[:, :N_GROUPS]
    bands *= rng.uniform(0.6, 1.3)
    np.maximum(bands, rng.uniform(-2.0, -0.6), out=bands)  # a room or a leak fills the gaps
    crop[:, N_GROUPS] = np.maximum(crop[:, N_GROUPS] + rng.normal(0, 0.2), rng.uniform(-3.0, -1.2))
    crop[:, : N_GROUPS + 1] += rng.normal(0, 0.06, (len(crop), N_GROUPS + 1))
    bands[:, rng.random(N_GROUPS) < 0.1] = 0.0
    crop[:, N_GROUPS + 3 : N_FEATURES - 6] += rng.normal(0, 0.03, (len(crop), len(STEPS) + len(SPANS)))
    for name, share in DROPPED.items():
        if rng.random() < share:
            crop[:, GROUPS[name]] = 0.0
    return crop


def packaged(name: str, member: str) -> Path:
    return Path(str(distribution(name).locate_file(member)))


def make(directory: Path, n_songs: int, music: list[np.ndarray]) -> None:
    """Write ``n_songs`` performances as the network sees them, and their notes."""
    from pipeline.training.singing.singer import recorded, sing  # needs espeak-ng and pyworld, which fitting does not
    from pipeline.training.singing.voices import RATE_HZ, VOICES

    pitch = PitchNetwork(packaged("swift-f0", "swift_f0/model.onnx"))
    network = BasicPitchNetwork(packaged("basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx"))
    directory.mkdir(parents=True, exist_ok=True)
    for song in range(n_songs):
        held_out = song % HELD_OUT_EVERY == 0
        voices = HELD_OUT if held_out else tuple(voice for voice in VOICES if voice not in HELD_OUT)
        rng = np.random.default_rng((SEED, song))
        dry, notes = sing(rng, voices)
        behind, draw = None, rng.random()
        if music and draw < MUSIC_SHARE:
            piece = music[rng.integers(len(music))]
            behind = np.resize(piece[rng.integers(max(len(piece) - len(dry), 1)) :], len(dry))
        samples = recorded(rng, dry, behind)
        if draw > 1 - CHOIR_SHARE:
            other = np.resize(sing(rng, voices)[0], len(samples))
            samples = samples + other * samples.std() / other.std() * 10 ** (rng.uniform(-22, -11) / 20)
        heard = np.asarray(samples / max(1.0, np.abs(samples).max()), dtype=np.float32)
        voice = listen(heard, RATE_HZ, pitch.track(heard, RATE_HZ), network.activations(heard, RATE_HZ))
        path = directory / f"{'held_out' if held_out else 'fitted'}_{song:04d}"
        np.savez(
            path.with_suffix(".npz"),
            features=voice.features.astype(np.float16),
            midi=voice.midi,
            confidence=voice.confidence,
            level_db=voice.level_db,
        )
        path.with_suffix(".json").write_text(json.dumps([(n.truth_start_s, n.truth_end_s, n.pitch) for n in notes]))
        print(path.name, flush=True)


def load(directory: Path, which: str) -> list[tuple[Voice, list]]:
    """Performances, "fitted" or "held_out", and their notes as (start, end, pitch)."""
    songs = []
    for path in sorted(directory.glob(f"{which}_*.npz")):
        with np.load(path) as stored:
            voice = Voice(**{name: stored[name].astype(np.float32) for name in stored.files})
        songs.append((voice, json.loads(path.with_suffix(".json").read_text())))
    return songs


def fit(directory: Path, out: Path) -> None:
    songs = load(directory, "fitted")
    rng, _ = np.random.default_rng(SEED), torch.manual_seed(SEED)
    features = [song[0].features for song in songs]
    wanted = [targets(song[1], len(song[0].features)) for song in songs]
    mean, deviation = np.concatenate(features).mean(axis=0), np.concatenate(features).std(axis=0) + 0.05
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS_OF_FIT)
    entropy = nn.functional.binary_cross_entropy_with_logits
    network.train()
    for step in range(STEPS_OF_FIT):
        crops, goals = [], []
        for song in rng.integers(len(songs), size=BATCH):
            at = rng.integers(0, len(features[song]) - CROP)
            crops.append((varied(rng, features[song][at : at + CROP]) - mean) / deviation)
            goals.append(wanted[song][at : at + CROP])
        given = torch.from_numpy(np.stack(crops).transpose(0, 2, 1).astype(np.float32))
        goal = torch.from_numpy(np.stack(goals).transpose(0, 2, 1))
        logits = network(given)
        loss = entropy(logits[:, 0], goal[:, 0], pos_weight=torch.tensor(ONSET_EMPHASIS))
        loss = loss * 3 + entropy(logits[:, 1], goal[:, 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(step + 1, round(loss.item(), 4), flush=True)
    arrays = {"mean": mean, "deviation": deviation}
    arrays["first"], arrays["first_bias"] = _arrays(network.first)
    for i, layer in enumerate(network.layers):
        arrays[f"layer{i}"], arrays[f"bias{i}"] = _arrays(layer)
    last, arrays["last_bias"] = _arrays(network.last)
    arrays["last"] = last[0]
    np.savez_compressed(out, **{name: array.astype(np.float16) for name, array in arrays.items()})


def _arrays(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy().transpose(2, 1, 0), layer.bias.detach().numpy()


def score(directory: Path, weights: Path) -> dict[str, float]:
    """Mean F over held-out performances: onset, onset and offset, onset whatever the pitch."""
    figures = []
    for voice, notes in load(directory, "held_out"):
        found = segments(voice, opinion(voice.features, weights))
        intervals = np.array([(segment.start, segment.end) for segment in found]).reshape(-1, 2) / FRAMES_PER_S
        figures.append(note_f(notes, intervals, np.rint(np.array([segment.midi for segment in found]) - tuning(found))))
    return dict(zip(("onset", "onset+offset", "any pitch"), np.mean(figures, axis=0).round(4).tolist(), strict=True))


def note_f(notes: list, intervals: np.ndarray, pitches: np.ndarray) -> tuple[float, float, float]:
    if not len(intervals):
        return 0.0, 0.0, 0.0
    ref = np.array([note[:2] for note in notes])
    hz = 440 * 2 ** ((np.array([note[2] for note in notes]) - 69.0) / 12)
    est_hz = 440 * 2 ** ((pitches - 69.0) / 12)
    f = mir_eval.transcription.precision_recall_f1_overlap
    return (
        f(ref, hz, intervals, est_hz, offset_ratio=None)[2],
        f(ref, hz, intervals, est_hz)[2],
        mir_eval.transcription.onset_precision_recall_f1(ref, intervals)[2],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("make", "fit", "score"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--songs", type=int, default=240)
    parser.add_argument("--music", type=Path, help="folder of audio files at 22.05 kHz or a multiple of it")
    parser.add_argument("--out", type=Path, default=WEIGHTS_PATH)
    asked = parser.parse_args()
    if asked.command == "make":
        pieces = []
        for path in sorted(asked.music.iterdir()) if asked.music else ():
            samples, rate_hz = soundfile.read(path, always_2d=True)
            pieces.append(samples.mean(axis=1)[:: max(rate_hz // 22_050, 1)])
        make(asked.directory, asked.songs, pieces)
        return
    if asked.command == "fit":
        fit(asked.directory, asked.out)
    print(score(asked.directory, asked.out))


if __name__ == "__main__":
    main()
