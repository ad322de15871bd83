"""Fit the network that hears beats and bars in notes (``pipeline/analysis/beat_network.npz``).

Material: random songs (:mod:`beat_material`), and optionally two public collections, of which only the notes are used:

* POP909 (MIT): songs whose two beat annotations agree, given a drummer and a bass player;
* the Groove MIDI Dataset (CC BY 4.0), its ``train`` split: human drummers at a known tempo, put under the others.

Everything is worn down as transcribers do: notes missed, made up, put into the wrong part, whole parts missing.
Run from the repository root: ``python tests/quality/fit_beats.py --pop909 DIR --groove DIR``; about ten minutes of one
core.  Torch does the fitting.
"""

import argparse
import csv
from pathlib import Path

import mido
import numpy as np
import torch
from beat_material import Event, Material, Metre, drum_events, random_bpm, random_song
from numpy.typing import NDArray

from pipeline.analysis.note_features import FRAMES_PER_S, N_CHANNELS, note_features
from pipeline.notes import Instrument, Note

OUT = Path(__file__).parents[2] / "pipeline/analysis/beat_network.npz"
EXCERPT_S = 24.0
N_FRAMES = int(EXCERPT_S * FRAMES_PER_S)
N_HIDDEN, KERNEL = 16, 5
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_FOUR = Metre(4, 4, (2, 2))
_PROGRAMS = {"drums": ("Drums", 0), "bass": ("Electric Bass (finger)", 33), "chords": ("Electric Piano 1", 4),
             "tune": ("Voice Oohs", 53)}  # fmt: skip
_GROOVE_KEYS = {22: 42, 26: 46, 58: 43, 44: 42, 54: 42, 56: 51}


def pop909(folder: Path) -> list[Material]:
    """Songs of POP909 in beats, those whose annotations from audio and from MIDI agree about the bars."""
    songs = []
    for path in sorted(folder.glob("[0-9]*/beat_audio.txt")):
        heard = np.loadtxt(path)
        derived = np.loadtxt(path.with_name("beat_midi.txt"))
        bars, others = heard[heard[:, 1] == 1, 0], derived[derived[:, 2] > 0, 0]
        others = others[(others > bars[0] - 0.1) & (others < bars[-1] + 0.1)]
        if len(others) < 8 or np.mean([np.abs(bars - at).min() < 0.1 for at in others]) < 0.9:
            continue
        beats = heard[:, 0]
        parts: dict[str, list[Event]] = {"drums": [], "bass": [], "chords": [], "tune": []}
        position = np.arange(len(beats), dtype=float)
        for name, start, end, pitch, velocity in _midi_notes(path.with_name(path.parent.name + ".mid")):
            at, until = np.interp([start, end], beats, position, left=np.nan, right=np.nan)
            if np.isfinite(at) and np.isfinite(until):
                parts["tune" if name == "MELODY" else "chords"].append((at, pitch, until - at, velocity / 127))
        for line in path.with_name("chord_midi.txt").read_text().splitlines():
            start, end, chord = line.split("\t")[:3]
            at, until = np.interp([float(start), float(end)], beats, position)
            if chord != "N" and until - at > 0.5:
                root = "C D EF G A B".index(chord[0]) + {"#": 1, "b": -1}.get(chord[1:2], 0)
                parts["bass"].append((float(np.rint(at)), 28 + (root + 8) % 12, float(until - at), 0.7))
        songs.append(Material(parts, len(beats), np.flatnonzero(heard[:, 1] == 1).tolist()))
    return songs


def groove(folder: Path) -> list[list[Event]]:
    """Drummers' performances in 4/4 of at least four bars, in beats."""
    out = []
    for row in csv.DictReader((folder / "info.csv").open()):
        path = folder / row["midi_filename"]
        if row["split"] != "train" or row["beat_type"] != "beat" or row["time_signature"] != "4-4":
            continue
        if float(row["duration"]) * float(row["bpm"]) / 60 < 16 or not path.exists():
            continue
        per_s = float(row["bpm"]) / 60
        events = [
            (start * per_s, _GROOVE_KEYS.get(pitch, pitch), 0.2, velocity / 127)
            for _, start, _, pitch, velocity in _midi_notes(path)
        ]
        out.append(sorted(events))
    return out


def _midi_notes(path: Path) -> list[tuple[str, float, float, int, int]]:
    midi = mido.MidiFile(path)
    tempo = next((m.tempo for track in midi.tracks for m in track if m.type == "set_tempo"), 500_000)
    tick_s = tempo / 1e6 / midi.ticks_per_beat
    notes = []
    for track in midi.tracks:
        at, open_notes = 0, dict[int, tuple[int, int]]()
        for message in track:
            at += message.time
            if message.type in ("note_on", "note_off"):
                if message.note in open_notes:
                    start, velocity = open_notes.pop(message.note)
                    notes.append((track.name, start * tick_s, at * tick_s, message.note, velocity))
                if message.type == "note_on" and message.velocity:
                    open_notes[message.note] = at, message.velocity
    return notes


def tiled(rng: np.random.Generator, performances: list[list[Event]], n_beats: int, first: int) -> list[Event]:
    """Drummers, one after the other, until the song ends; from its first bar on."""
    out: list[Event] = []
    at = float(first)
    while at < n_beats:
        one = performances[rng.integers(len(performances))]
        length = 4.0 * int((one[-1][0] + 0.5) // 4)
        out += [(at + hit[0], *hit[1:]) for hit in one if hit[0] < length and at + hit[0] < n_beats]
        at += max(length, 4.0)
    return out


def tempo_map(rng: np.random.Generator, n_beats: int, bpm: float) -> NDArray[np.float64]:
    """Times of the beats: to a click, drifting, with a ramp, or with a sudden change."""
    periods = np.full(n_beats, 60 / bpm)
    kind = rng.choice(["steady", "drift", "ramp", "jump"], p=[0.5, 0.3, 0.12, 0.08])
    if kind == "drift":
        walk = np.cumsum(rng.normal(size=n_beats) * rng.uniform(0.001, 0.012))
        periods *= np.exp(walk - np.linspace(0, walk[-1], n_beats))
    elif kind == "ramp":
        periods *= np.exp(np.linspace(0, rng.uniform(-0.35, 0.35), n_beats))
    elif kind == "jump":
        periods[int(rng.integers(8, n_beats - 8)) :] *= np.exp(rng.uniform(-0.4, 0.4))
    return np.concatenate([[0.0], np.cumsum(periods)])


def instruments(rng: np.random.Generator, song: Material, times: NDArray[np.float64], swing: float) -> list[Instrument]:
    """The song as a transcriber would hand it over."""
    beats = np.arange(len(times), dtype=float)
    missing = {"drums": 0.25, "bass": 0.3, "chords": 0.15, "tune": 0.3}
    here = [name for name in song.parts if song.parts[name] and rng.random() > missing[name]]
    here = here or [max(song.parts, key=lambda name: len(song.parts[name]))]
    level = float(rng.choice([0.0, 0.5, 1.0]))  # how badly it is heard
    together = rng.random() < 0.3
    found: dict[str, list[Note]] = {}
    timing_s = float(rng.uniform(0.002, 0.018))
    for name in here:
        events = [event for event in song.parts[name] if rng.random() > level * 0.3]
        late_s = 0.01 * rng.normal()
        if not events:
            continue
        at = np.array([event[0] for event in events])
        inside = at % 1.0
        at = np.floor(at) + np.where(inside <= 0.5, inside * 2 * swing, swing + (inside - 0.5) * 2 * (1 - swing))
        starts = np.interp(at, beats, times) + late_s + timing_s * rng.normal(size=len(at))
        ends = np.interp(at + [event[2] for event in events], beats, times) * 1.0
        stretch = float(rng.uniform(0.5, 1.3))
        notes = found.setdefault("chords" if together and name == "tune" else name, [])
        for event, start, end in zip(events, starts.tolist(), ends.tolist(), strict=True):
            loud = float(np.clip(event[3] + 0.1 * rng.normal(), 0.05, 1.0))
            key = event[1]
            if name == "drums" and rng.random() < 0.08 * level:
                key = int(rng.choice([36, 38, 42, 45, 49]))
            if start > 0:
                notes.append(Note(key, start, start + max((end - start) * stretch, 0.05), loud))
        if level and rng.random() < 0.5:  # what was never played, some of it where other parts play
            for _ in range(int(len(events) * level * rng.uniform(0, 0.3))):
                start = float(rng.uniform(0, times[-1]))
                if rng.random() < 0.5:
                    other = song.parts[str(rng.choice(here))]
                    start = float(np.interp(other[rng.integers(len(other))][0], beats, times))
                key = int(rng.choice([36, 38, 42, 45, 49])) if name == "drums" else int(rng.integers(30, 80))
                notes.append(Note(key, start, start + 0.15, float(rng.uniform(0.1, 0.6))))
    out = []
    for name, notes in found.items():
        label, program = _PROGRAMS[name]
        notes.sort(key=lambda note: (note.start_s, note.pitch))
        out.append(Instrument(label, program, name == "drums", name, tuple(notes)))
    return out


def example(
    rng: np.random.Generator, songs: list[Material], drummers: list[list[Event]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features, shape (N_FRAMES, N_CHANNELS), and targets, (N_FRAMES, 2): beats and downbeats."""
    target = np.zeros((N_FRAMES, 2), dtype=np.float32)
    swing, metre = 0.5, _FOUR
    if songs and rng.random() < 0.3:
        source = songs[rng.integers(len(songs))]
        song = Material({name: list(events) for name, events in source.parts.items()}, source.n_beats, source.downbeats)
        first = song.downbeats[0]
        made = drum_events(rng, metre, song.n_beats // 4)
        made = [(at + first, *rest) for at, *rest in made if at + first < song.n_beats]
        if rng.random() < 0.5:
            made = [hit for hit in made if int((hit[0] - first) // 16) % 4]  # without drums now and then
        song.parts["drums"] = tiled(rng, drummers, song.n_beats, first) if drummers and rng.random() < 0.6 else made
        if rng.random() < 0.5:
            song.parts["bass"] = [
                (at + s, pitch, 0.4, 0.7)
                for at, pitch, length, _ in song.parts["bass"]
                for s in np.arange(0, length, 0.5)
            ]
        bpm = float(np.clip(rng.normal(95, 25), 58, 190))
    else:
        song, metre = random_song(rng)
        if drummers and metre == _FOUR and rng.random() < 0.35:
            song.parts["drums"] = tiled(rng, drummers, song.n_beats, song.downbeats[0])
        bpm = random_bpm(rng, metre)
        if metre.parts == 4 and rng.random() < 0.25:
            swing = float(rng.uniform(0.53, 0.68))
    n_beats = song.n_beats + 8
    start = int(rng.integers(0, max(song.n_beats - int(EXCERPT_S * bpm / 60), 1)))
    shift = -start + (float(rng.uniform(0, 2)) if start == 0 else -float(rng.uniform(0, 1)))
    times = tempo_map(rng, n_beats, bpm)
    times = times + float(np.interp(-shift, np.arange(n_beats + 1), times) * -1) if start else times + shift * 60 / bpm
    heard = instruments(rng, song, times, swing)
    heard = [
        Instrument(one.name, one.program, one.is_drum, one.stem,
                   tuple(n for n in one.notes if 0 <= n.start_s < EXCERPT_S)) for one in heard
    ]  # fmt: skip
    for column, beats in enumerate((range(song.n_beats), song.downbeats)):
        frames = np.rint(times[np.array(beats)] * FRAMES_PER_S).astype(int)
        frames = frames[(frames >= 0) & (frames < N_FRAMES)]
        for near, value in ((-1, 0.5), (1, 0.5), (0, 1.0)):
            target[np.clip(frames + near, 0, N_FRAMES - 1), column] = value
    return note_features(heard, N_FRAMES), target


def noise(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Notes without any beat."""
    out = []
    for name, (label, program) in _PROGRAMS.items():
        if rng.random() < 0.6:
            starts = np.sort(rng.uniform(0, EXCERPT_S, int(rng.integers(5, 120))))
            keys = (
                rng.choice([36, 38, 42, 42, 49], len(starts)) if name == "drums" else rng.integers(35, 80, len(starts))
            )
            notes = [
                Note(int(key), float(at), float(at) + 0.3, float(rng.uniform(0.2, 1)))
                for at, key in zip(starts, keys, strict=True)
            ]
            out.append(Instrument(label, program, name == "drums", name, tuple(notes)))
    return note_features(out, N_FRAMES), np.zeros((N_FRAMES, 2), dtype=np.float32)


def material(
    seed: int, count: int, songs: list[Material], drummers: list[list[Event]]
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """That many examples, one in thirty of them without a beat."""
    rng = np.random.default_rng(seed)
    x = np.empty((count, N_FRAMES, N_CHANNELS), dtype=np.float16)
    y = np.empty((count, N_FRAMES, 2), dtype=np.float16)
    for index in range(count):
        x[index], y[index] = noise(rng) if index % 30 == 29 else example(rng, songs, drummers)
    return x, y


class Network(torch.nn.Module):
    """Dilated convolutions that see 20 s to both sides."""

    def __init__(self) -> None:
        super().__init__()
        conv = torch.nn.Conv1d
        self.first = conv(N_CHANNELS, N_HIDDEN, KERNEL, padding="same")
        self.wide = torch.nn.ModuleList(conv(N_HIDDEN, N_HIDDEN, KERNEL, dilation=d, padding="same") for d in DILATIONS)
        self.mix = torch.nn.ModuleList(conv(N_HIDDEN, N_HIDDEN, 1) for _ in DILATIONS)
        self.last = conv(N_HIDDEN, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, 2, frames) from features (batch, channels, frames)."""
        x = torch.relu(self.first(x))
        for wide, mix in zip(self.wide, self.mix, strict=True):
            x = x + mix(torch.nn.functional.dropout(torch.relu(wide(x)), 0.1, self.training))
        return self.last(x)


def save(network: Network) -> None:
    """Write the weights as float16: (taps, in, out) matrices, ready for rows of frames."""
    arrays = {name.replace(".", "_"): value.detach().numpy() for name, value in network.state_dict().items()}
    arrays = {name: value.transpose(2, 1, 0) if value.ndim == 3 else value for name, value in arrays.items()}
    np.savez_compressed(OUT, dilations=np.array(DILATIONS), **{k: v.astype(np.float16) for k, v in arrays.items()})


def fit(x: NDArray[np.float16], y: NDArray[np.float16], held: int, steps: int) -> Network:
    """Adam, rising and falling rate; the last ``held`` examples only tell how far it is."""
    torch.manual_seed(1)
    network = Network()
    optimiser = torch.optim.Adam(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    rng = np.random.default_rng(2)
    weight = torch.tensor([3.0, 6.0])[:, None]

    def loss(rows: NDArray[np.int64]) -> torch.Tensor:
        inputs = torch.from_numpy(x[rows].astype(np.float32)).transpose(1, 2)
        wanted = torch.from_numpy(y[rows].astype(np.float32)).transpose(1, 2)
        return torch.nn.functional.binary_cross_entropy_with_logits(network(inputs), wanted, pos_weight=weight)

    for step in range(steps):
        network.train()
        value = loss(rng.integers(0, len(x) - held, 16))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            network.eval()
            with torch.no_grad():
                print(step + 1, float(value), float(loss(np.arange(len(x) - held, len(x)))), flush=True)
                save(network)
    return network


def main() -> None:
    """Make the material, fit, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pop909", type=Path)
    parser.add_argument("--groove", type=Path)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=3, help="of the material")
    parser.add_argument("--cache", type=Path, help="an .npz that keeps the material between runs")
    args = parser.parse_args()
    if args.cache and args.cache.exists():
        with np.load(args.cache) as stored:
            x, y = stored["x"], stored["y"]
    else:
        songs = pop909(args.pop909) if args.pop909 else []
        drummers = groove(args.groove) if args.groove else []
        print(len(songs), "songs,", len(drummers), "drummers", flush=True)
        x, y = material(args.seed, args.examples, songs, drummers)
        if args.cache:
            np.savez(args.cache, x=x, y=y)
    save(fit(x, y, 200, args.steps))


if __name__ == "__main__":
    main()
