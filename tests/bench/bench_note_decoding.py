"""Note decoding against the reference: are the notes the same, and how much faster are they there?

    python tests/bench/bench_note_decoding.py [--runs 7]

Both decode the same network output of one generated 3-minute song, in turns.
"""

import argparse
import importlib
import importlib.metadata
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from pipeline.transcription.basic_pitch import RATE_HZ, BasicPitchNetwork
from pipeline.transcription.note_decoding import FRAME_THRESHOLD, MIN_NOTE_FRAMES, ONSET_THRESHOLD, decode_notes

DURATION_S = 180
TOLERANCE = 1e-6  # between amplitudes of the same note


def generated_song(duration_s: int) -> NDArray[np.float32]:
    """Chords and lines of decaying harmonic tones, one to five at a time: float32 mono at 22 050 Hz."""
    rng = np.random.default_rng(7)
    audio = np.zeros((duration_s + 3) * RATE_HZ, dtype=np.float32)
    start_s = 0.2
    while start_s < duration_s:
        for pitch in rng.choice(np.arange(33, 90), size=rng.integers(1, 6), replace=False):
            sound = tone(int(pitch), rng.uniform(0.15, 2.5), rng.uniform(0, 3))
            start = round(start_s * RATE_HZ)
            audio[start : start + len(sound)] += rng.uniform(0.02, 0.1) * sound
        start_s += rng.uniform(0.08, 0.5)
    return audio[: duration_s * RATE_HZ]


def tone(pitch: int, length_s: float, decay_per_s: float = 1.5, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    """Six harmonics, the higher ones decaying faster, with a 5 ms attack and a 20 ms release; peak about 2."""
    time_s = np.arange(round(length_s * rate_hz)) / rate_hz
    harmonics = np.arange(1, 7)[:, np.newaxis]
    waves = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * harmonics * time_s) / harmonics
    envelope = np.minimum(1, np.minimum(time_s / 0.005, (length_s - time_s) / 0.02))
    decayed: NDArray[np.float64] = envelope * (waves * np.exp(-decay_per_s * harmonics * time_s)).sum(axis=0)
    return decayed.astype(np.float32)


def network_file() -> Path:
    """The network as it lies in the installed wheel."""
    wheel = importlib.metadata.distribution("basic-pitch")
    return Path(str(wheel.locate_file("basic_pitch/saved_models/icassp_2022/nmp.onnx")))


def reference_module(name: str) -> ModuleType:
    """The reference's own module ``basic_pitch.<name>``."""
    sys.modules["resampy"] = ModuleType("resampy")  # imported there, but not by what we call
    logging.disable(logging.WARNING)  # it warns of every engine that is not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"basic_pitch.{name}")
    finally:
        logging.disable(logging.NOTSET)
        del sys.modules["resampy"]


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print identity, speed and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs

    network = BasicPitchNetwork(network_file())
    song = generated_song(DURATION_S)
    network_s = median(seconds(lambda: network.activations(song, RATE_HZ)) for _ in range(3))
    heard = network.activations(song, RATE_HZ)
    print(f"network    {network_s:7.2f} s for {DURATION_S} s of audio: {DURATION_S / network_s:.0f} x real time")

    decode = reference_module("note_creation").output_to_notes_polyphonic

    def reference() -> list[tuple[int, int, int, float]]:
        found = decode(heard.notes, heard.onsets, ONSET_THRESHOLD, FRAME_THRESHOLD, MIN_NOTE_FRAMES, True, None, None)
        return [(int(start), int(end), int(pitch), float(amplitude)) for start, end, pitch, amplitude in found]

    theirs = {note[:3]: note[3] for note in reference()}
    ours = {(note.start, note.end, note.pitch): note.amplitude for note in decode_notes(heard.notes, heard.onsets)}
    same = [note for note in ours.keys() & theirs.keys() if abs(ours[note] - theirs[note]) <= TOLERANCE]
    union = len(ours.keys() | theirs.keys())
    print(f"identity   {len(same)} of {union} notes: {100 * len(same) / union:.2f} %")

    reference_s, our_s = [], []
    for _ in range(runs):
        reference_s.append(seconds(reference))
        our_s.append(seconds(lambda: decode_notes(heard.notes, heard.onsets)))
    print(f"reference  {1000 * median(reference_s):7.1f} ms, median of {runs}")
    print(f"ours       {1000 * median(our_s):7.1f} ms, median of {runs}")
    print(f"ratio      {median(reference_s) / median(our_s):7.1f} x")


if __name__ == "__main__":
    main()
