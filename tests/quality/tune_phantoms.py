"""Figures and fits behind pipeline/transcription/phantoms.py and voice_likeness.py, on music outside the bench.

Run from the repository root::

    python tests/quality/tune_phantoms.py songs FOLDER      # levels of played and absent stems
    python tests/quality/tune_phantoms.py voices FOLDER     # synthetic singers; see pipeline.training.singing
    python tests/quality/tune_phantoms.py instruments FOLDER SOUNDFONT...     # General MIDI solos; needs fluidsynth
    python tests/quality/tune_phantoms.py fit VOICES INSTRUMENTS              # weights of voice_likeness.py

``songs`` takes ``<song>/stems/*.flac``, the true stems there are, with ``<song>/separated/*.flac``, what the separator
made of their sum.  ``fit`` takes two folders of audio files, those above and any others, such as recordings of speech
and of real instruments; every file counts as one source.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pretty_midi
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.audio.decode import decode
from pipeline.models.store import ModelStore, default_root
from pipeline.transcription import phantoms
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.voice_likeness import FEATURES, RATE_HZ, voice_features

PROGRAMS = (
    *(4, 5, 11, 16, 18, 19, 21, 22, 24, 25, 26, 27, 28, 29, 30, 40, 41, 42, 44, 46, 48, 49, 50, 51, 52, 53, 54, 56, 57),
    *(59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87),
    *(88, 89, 90, 91, 92, 94, 95, 104, 107, 110, 111),
)
SOLO_S = WINDOW_S = 8.0
LEAST_RMS = 1e-3
PENALTY = 2.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, arguments in (
        ("songs", report_songs, ("folder",)),
        ("voices", make_voices, ("folder",)),
        ("instruments", make_instruments, ("folder", "soundfonts")),
        ("fit", report_fit, ("voices", "instruments")),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for argument in arguments:
            command.add_argument(argument, type=Path, nargs="+" if argument == "soundfonts" else None)
    options = vars(parser.parse_args())
    options.pop("run")(**options)


def network() -> PitchNetwork:
    """The pitch network of the cache."""
    return PitchNetwork(*ModelStore(default_root()).require("swift-f0"))


def report_songs(folder: Path) -> None:
    """Own level and purity, by the second, of stems that are played there and of stems that are not in the song."""
    levels: dict[str, list[NDArray[np.float64]]] = {"played": [], "absent": []}
    verdicts = {"played": [0.0, 0.0], "absent": [0.0, 0.0]}
    pitch = network()
    for song in sorted(path.parent for path in folder.glob("*/separated")):
        with tempfile.TemporaryDirectory() as scratch:
            stems = {path.stem: decode(path, Path(scratch)) for path in sorted((song / "separated").glob("*.flac"))}
            true = {path.stem: decode(path, Path(scratch)).mono() for path in sorted((song / "stems").glob("*.flac"))}
            own, whole, _, unit_s = phantoms._measured(tuple(stems.values()), lambda _: None)
            found = phantoms.presences(stems, lambda: pitch)
            loudness = whole.sum(axis=0)
            reference = (loudness**2).sum() / loudness.sum()
            for stem, mine, everything in zip(stems, own, whole, strict=True):
                rate_hz, n_units = stems[stem].rate_hz, len(mine)
                truth = _loud(true, stem, round(unit_s * rate_hz), n_units)
                kept = np.zeros(n_units, dtype=bool)
                for start_s, end_s in found[stem].spans:
                    kept[round(start_s / unit_s) : round(end_s / unit_s)] = True
                with np.errstate(divide="ignore", invalid="ignore"):
                    values = np.array([10 * np.log10(mine / reference + 1e-12), mine / everything])
                for kind, where in (("played", truth), ("absent", np.full(n_units, not truth.any()))):
                    levels[kind].append(values[:, where])
                    verdicts[kind][0] += np.count_nonzero(where) * unit_s
                    verdicts[kind][1] += np.count_nonzero(kept & where) * unit_s
                print(f"{song.name[:30]:30} {stem:8} true {truth.mean():4.0%}, found {kept.mean():4.0%}", flush=True)
    for kind, parts in levels.items():
        db, purity = np.concatenate(parts, axis=1)
        print(f"{kind}: {verdicts[kind][1]:.0f} of {verdicts[kind][0]:.0f} s taken for played")
        print(
            "  own level, dB, at 0 1 5 25 50 75 95 99 100 %:",
            np.percentile(db, [0, 1, 5, 25, 50, 75, 95, 99, 100]).round(),
        )
        print("  purity:", np.nanpercentile(purity, [0, 1, 5, 25, 50, 75, 95, 99, 100]).round(2))


def _loud(true: dict[str, NDArray[np.float32]], stem: str, unit_samples: int, n_units: int) -> NDArray[np.bool_]:
    """Units in which a true stem is within 40 dB of its loudest; ``other`` is all that has no stem of its own."""
    named = ("drums", "bass", "vocals")
    parts = [samples for name, samples in true.items() if name == stem or (stem == "other" and name not in named)]
    if not parts:
        return np.zeros(n_units, dtype=bool)
    samples = np.sum([part[: min(map(len, parts))] for part in parts], axis=0)
    padded = np.zeros(n_units * unit_samples)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    power = (padded.reshape(n_units, -1) ** 2).mean(axis=1)
    return np.asarray(power > max(power.max() * 1e-4, 1e-9))


def make_voices(folder: Path) -> None:
    """Twelve synthetic singers of half a minute."""
    from pipeline.training.singing import singer

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    for voice in singer.VOICES[::2]:
        samples, _ = singer.sing(rng, (voice,), 26.0)
        samples = np.asarray(samples)
        soundfile.write(folder / f"{voice}.wav", 0.7 * samples / np.abs(samples).max(), singer.RATE_HZ)


def make_instruments(folder: Path, soundfonts: list[Path]) -> None:
    """A solo of eight seconds on every program of :data:`PROGRAMS`, one to a file; three in ten play triads."""
    folder.mkdir(parents=True, exist_ok=True)
    for soundfont in soundfonts:
        rng = np.random.default_rng(5)
        for program in PROGRAMS:
            midi = pretty_midi.PrettyMIDI()
            midi.instruments.append(_solo(rng, program))
            with tempfile.TemporaryDirectory() as scratch:
                midi.write(f"{scratch}/solo.mid")
                out = folder / f"{soundfont.stem}-{program:03}.wav"
                settings = ("-ni", "-q", "-r", "44100", "-g", "0.6", "-T", "wav")
                subprocess.run(["fluidsynth", *settings, "-F", out, soundfont, f"{scratch}/solo.mid"], check=True)


def _solo(rng: np.random.Generator, program: int) -> pretty_midi.Instrument:
    part = pretty_midi.Instrument(program)
    part.control_changes.append(pretty_midi.ControlChange(1, int(rng.choice([0, 0, 20, 60])), 0))
    chord = (0, 4, 7) if rng.random() < 0.3 else (0,)
    base, held, step_s = int(rng.integers(55, 72)), rng.choice([0.5, 0.9, 1.0]), rng.choice([0.2, 0.3, 0.5, 0.8])
    at_s, pitch = 0.05, base
    while at_s < SOLO_S - 0.8:
        length_s = min(step_s * rng.choice([1, 1, 2, 3]), SOLO_S - 0.5 - at_s)
        if rng.random() > 0.12:
            pitch = int(np.clip(pitch + rng.integers(-7, 8), base - 10, base + 14))
            velocity = int(rng.integers(70, 115))
            part.notes += [pretty_midi.Note(velocity, pitch + i, at_s, at_s + length_s * held) for i in chord]
            if rng.random() < 0.2:  # a scoop
                bends = np.linspace(-4000, 0, 9).astype(int).tolist()
                part.pitch_bends += [pretty_midi.PitchBend(bend, at_s + 0.015 * i) for i, bend in enumerate(bends)]
        at_s += length_s
    return part


def report_fit(voices: Path, instruments: Path) -> None:
    """Fits the logistic regression; with each source left out in turn, tells how well it knows that one."""
    pitch = network()
    rows, labels, sources = [], [], []
    for label, folder in ((1, voices), (0, instruments)):
        for path in sorted(folder.iterdir()):
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
            samples = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
            for heard in worn(samples):
                found = voice_features(heard, RATE_HZ, _windows(samples), pitch)
                rows.append(found)
                labels += [label] * len(found)
                sources += [path.name] * len(found)
    features, truth, names = np.concatenate(rows), np.array(labels), np.array(sources)
    odds = np.empty(len(truth))
    for name in np.unique(names):
        held_out = names == name
        weights, bias = fit(features[~held_out], truth[~held_out])
        odds[held_out] = features[held_out] @ weights + bias
        print(
            f"{name[:40]:40} {truth[held_out][0]} mean {odds[held_out].mean():6.2f}, least {odds[held_out].min():6.2f}"
        )
    right = (odds[truth == 1][:, None] > odds[truth == 0]).mean()
    print(f"{len(truth)} windows, {truth.sum()} of voices; {right:.1%} of pairs in the right order")
    for label, kind in ((1, "voices"), (0, "instruments")):
        print(
            f"{kind}: log-odds at 0 1 5 50 95 99 100 %:",
            np.percentile(odds[truth == label], [0, 1, 5, 50, 95, 99, 100]).round(2),
        )
    weights, bias = fit(features, truth)
    print(dict(zip(FEATURES, weights.round(3).tolist(), strict=True)), "bias", round(bias, 3))


def _windows(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    starts_s = np.arange(0, max(len(samples) / RATE_HZ - 6, 1), WINDOW_S)
    audible = [
        start_s
        for start_s in starts_s.tolist()
        if np.std(samples[round(start_s * RATE_HZ) : round((start_s + WINDOW_S) * RATE_HZ)]) > LEAST_RMS
    ]
    return np.array([(start_s, min(start_s + WINDOW_S, len(samples) / RATE_HZ)) for start_s in audible]).reshape(-1, 2)


def worn(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """A recording as it is, with noise bursts and a chord leaking in, in a room, and without treble."""
    rng = np.random.default_rng(0)
    time_s = np.arange(len(samples)) / RATE_HZ
    level = float(np.std(samples)) + 1e-9
    strokes = rng.standard_normal(len(samples)) * np.exp(-30 * (time_s % 0.5))
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (220.0, 277.2, 329.6))
    leaking = samples + level * (0.06 * strokes / np.std(strokes) + 0.04 * chord / np.std(chord))
    echo = (
        rng.standard_normal(round(0.4 * RATE_HZ)) * np.exp(-np.arange(round(0.4 * RATE_HZ)) / (0.12 * RATE_HZ)) * 0.03
    )
    echo[0] = 1.0
    room = scipy.signal.fftconvolve(samples, echo)[: len(samples)]
    dull = scipy.signal.sosfilt(scipy.signal.butter(6, 6500, fs=RATE_HZ, output="sos"), samples)
    return [np.asarray(heard, dtype=np.float32) for heard in (samples, leaking, room, dull)]


def fit(features: NDArray[np.float64], truth: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of a logistic regression (Newton's method); both classes weigh the same."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    design = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    weight = np.where(truth == 1, 0.5 / (truth == 1).mean(), 0.5 / (truth == 0).mean())
    penalty = PENALTY * np.r_[np.ones(features.shape[1]), 0.0]
    solution = np.zeros(design.shape[1])
    for _ in range(30):
        probability = 1 / (1 + np.exp(-design @ solution))
        slope = design.T @ (weight * (probability - truth)) + penalty * solution
        bend = (design.T * (weight * probability * (1 - probability))) @ design + np.diag(penalty)
        solution = solution - np.linalg.solve(bend, slope)
    weights = solution[:-1] / deviation
    return weights, float(solution[-1] - weights @ mean)


if __name__ == "__main__":
    main()
