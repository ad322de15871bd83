"""Our separation against ``demucs.apply``: the same numbers, the time it takes, and memory by the file's length.

    python tests/bench/bench_separation.py [--quick] [--runs N] [--seconds S] [--memory MINUTES MINUTES]

Every figure comes from a process of its own. Ours counts everything from the decoded input to finished FLAC stems,
in the precision it chooses; the reference counts ``apply_model`` alone, in float32 and with its defaults but for the
random shift (``shifts=0``). The two take turns, so that other load on the machine meets both.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource

if TYPE_CHECKING:
    from torch import nn

    from pipeline.models.network import SeparationModel

Figures = dict[str, float]
RATE_HZ = 44_100
_BAR_SAMPLES = 2 * RATE_HZ  # four beats at 120 per minute
_CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))


def generated_song(duration_s: float, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Drums, bass, chords and a voice, a bar at a time: float32 blocks of shape (2, n) at 44.1 kHz."""
    random = np.random.default_rng(seed)
    left = round(duration_s * RATE_HZ)
    for bar in range(-(-left // _BAR_SAMPLES)):
        chord = _CHORDS[bar % len(_CHORDS)]
        block = _drums(random) + _bass(chord) + _chord(chord) + _lead(chord, random)
        yield (0.8 * block[:, :left]).astype(np.float32)
        left -= _BAR_SAMPLES


def write_source(blocks: Iterator[NDArray[np.float32]], path: Path) -> AudioSource:
    """Put blocks of stereo audio on disk, as the decoder leaves them."""
    n_samples = 0
    with path.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block.T).tobytes())
            n_samples += block.shape[1]
    return AudioSource(path, RATE_HZ, 2, n_samples)


def _drums(random: np.random.Generator) -> NDArray[np.float64]:
    at = np.arange(RATE_HZ // 4) / RATE_HZ
    kick = np.sin(2 * np.pi * (50 * at - 6 * np.exp(-30 * at))) * np.exp(-12 * at)
    out = np.zeros((2, _BAR_SAMPLES))
    for eighth in range(8):
        start = eighth * len(at)
        out[:, start : start + len(at)] += 0.1 * random.standard_normal((2, len(at))) * np.exp(-60 * at)
        if eighth % 4 == 0:
            out[:, start : start + len(at)] += 0.5 * kick
        elif eighth % 4 == 2:
            out[:, start : start + len(at)] += 0.25 * random.standard_normal(len(at)) * np.exp(-18 * at)
    return out


def _tone(pitch: float, n_samples: int, harmonics: int) -> NDArray[np.float64]:
    at = np.arange(n_samples) / RATE_HZ
    phase = 2 * np.pi * _hz(pitch) * at
    wave = sum(np.sin(k * phase) / k for k in range(1, harmonics + 1))
    return np.asarray(wave * np.minimum(1, 200 * at) * np.exp(-1.5 * at))


def _sung(pitch: float, n_samples: int, formants_hz: tuple[float, ...]) -> NDArray[np.float64]:
    """A vowel: harmonics as loud as the formants make them, with vibrato and breath of voice at the ends."""
    at = np.arange(n_samples) / RATE_HZ
    phase = 2 * np.pi * _hz(pitch) * at - 1.5 * np.cos(2 * np.pi * 5.5 * at) - 2 * np.exp(-25 * at)
    wave = np.zeros(n_samples)
    for k in range(1, 40):
        loudness = sum(1 / (1 + ((k * _hz(pitch) - formant) / 90) ** 2) for formant in formants_hz)
        wave += loudness / k**0.5 * np.sin(k * phase)
    return wave * np.minimum(1, np.minimum(12 * at, 12 * (at[-1] - at)))


def _hz(pitch: float) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def _bass(chord: tuple[int, ...]) -> NDArray[np.float64]:
    note = _tone(chord[0] - 24, _BAR_SAMPLES // 4, 6)
    return np.tile(0.2 * note, (2, 4))


def _chord(chord: tuple[int, ...]) -> NDArray[np.float64]:
    notes = [_tone(pitch, _BAR_SAMPLES, 4) for pitch in chord]
    pans = ((0.07, 0.03), (0.05, 0.05), (0.03, 0.07))
    return np.asarray(sum(np.outer(pan, note) for pan, note in zip(pans, notes, strict=True)))


def _lead(chord: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    pitches = random.choice(np.array(chord), 4)
    vowels = ((800.0, 1150.0, 2900.0), (400.0, 1600.0, 2700.0), (350.0, 2000.0, 2800.0), (450.0, 800.0, 2830.0))
    line = [_sung(pitch, _BAR_SAMPLES // 4, vowel) for pitch, vowel in zip(pitches, vowels, strict=True)]
    return np.tile(0.2 * np.concatenate(line), (2, 1))


def _model() -> "SeparationModel":
    from pipeline.models.network import load_separation_model
    from pipeline.models.store import ModelStore, default_root

    return load_separation_model("htdemucs", ModelStore(default_root()))


def _separate_ours(mix: AudioSource, folder: Path) -> Figures:
    from pipeline.memory import keep_freed_memory
    from pipeline.separation.separator import Separator
    from pipeline.separation.stems import separate

    keep_freed_memory()  # as the command line and the worker do
    separator = Separator(_model(), device="cpu")
    start = time.perf_counter()
    separate(mix, separator, folder, only=None, residual=False, scratch=folder)
    return {"s": time.perf_counter() - start}


def _separate_reference(mix: AudioSource, _folder: Path) -> Figures:
    network, audio = _model().networks[0], mix.read(0, mix.n_samples)
    start = time.perf_counter()
    _reference(network, audio)
    return {"s": time.perf_counter() - start}


def _reference(network: "nn.Module", samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """As ``demucs.api`` separates: float32, shape (n_stems, channels, n)."""
    import torch
    from demucs.apply import apply_model

    audio = torch.from_numpy(samples)
    mono = audio.mean(0)
    mean, std = mono.mean(), mono.std() + 1e-8
    stems = apply_model(network, ((audio - mean) / std)[None], shifts=0)[0]
    stems *= std
    stems += mean
    return stems.numpy()


def _compare(mix: AudioSource, _folder: Path) -> Figures:
    """How far ours is from the reference in float32, and from itself in bfloat16."""
    from pipeline.separation.separator import Separator

    model = _model()
    ours, coarse = (
        np.concatenate(list(Separator(model, device="cpu", precision=precision).stream(mix)), axis=2)
        for precision in ("fp32", "bf16")
    )
    coarse -= ours
    sdr_db = {
        f"bf16 {name}": float(10 * np.log10(np.square(stem).sum() / np.square(error).sum()))
        for name, stem, error in zip(model.sources, ours, coarse, strict=True)
    }
    ours -= _reference(model.networks[0], mix.read(0, mix.n_samples))
    return {"difference": float(np.abs(ours).max()), **sdr_db}


_TASKS = {"ours": _separate_ours, "reference": _separate_reference, "compare": _compare}


def _in_own_process(task: str, duration_s: float) -> Figures:
    command = [sys.executable, __file__, "--only", task, "--seconds", str(duration_s)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(answer)
    return figures


def _measured(contender: str, duration_s: float) -> Figures:
    """Seconds and peak MB of one separation."""
    figures = _in_own_process(contender, duration_s)
    print(f"{contender:9}  {duration_s:6.0f} s of audio  {figures['s']:7.1f} s  {figures['mb']:6.0f} MB", flush=True)
    return figures


def _measure_here(task: str, duration_s: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mix = write_source(generated_song(duration_s), Path(folder, "song.f32"))
        figures = _TASKS[task](mix, Path(folder))
    # A process starts with the peak of the one that started it, which is small: torch is imported only here.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(figures | {"mb": peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)}))


def _print_speed(duration_s: float, n_runs: int) -> None:
    contenders = ("ours", "reference")
    runs = [{name: _measured(name, duration_s) for name in contenders} for _ in range(n_runs)]
    median = {
        name: {figure: statistics.median(run[name][figure] for run in runs) for figure in ("s", "mb")}
        for name in contenders
    }
    ratio = statistics.median(run["reference"]["s"] / run["ours"]["s"] for run in runs)
    for name, figures in median.items():
        print(f"median of {n_runs}: {name} {figures['s']:.1f} s, peak {figures['mb']:.0f} MB")
    print(f"ours is {ratio:.2f} times as fast (median of the runs' ratios; the target is 1.8)", flush=True)


def _print_memory(short_s: float, long_s: float) -> None:
    short_mb, long_mb = (_measured("ours", duration_s)["mb"] for duration_s in (short_s, long_s))
    print(f"peak memory, {long_s:.0f} s against {short_s:.0f} s of audio: {long_mb / short_mb:.3f} times", flush=True)


def _print_comparison(duration_s: float) -> None:
    figures = _in_own_process("compare", duration_s)
    print(f"float32, ours against the reference: differs by at most {figures['difference']:.1e} of full scale")
    sdr_db = [f"{name.removeprefix('bf16 ')} {value:.1f} dB" for name, value in figures.items() if "bf16" in name]
    print(f"bfloat16 against float32: SDR {', '.join(sdr_db)}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 s instead of 3 min; memory of 1 min and 4 min")
    parser.add_argument("--runs", type=int, default=3, help="how often each contender separates the file")
    parser.add_argument("--seconds", type=float, help="length of the file (180)")
    parser.add_argument("--memory", type=float, nargs=2, metavar="MINUTES", help="lengths compared (3 and 20)")
    parser.add_argument("--only", choices=tuple(_TASKS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    duration_s = asked.seconds or (40.0 if asked.quick else 180.0)
    if asked.only:
        _measure_here(asked.only, duration_s)
        return
    _print_comparison(duration_s)
    _print_speed(duration_s, asked.runs)
    short_min, long_min = asked.memory or ((1, 4) if asked.quick else (3, 20))
    _print_memory(60 * short_min, 60 * long_min)


if __name__ == "__main__":
    main()
