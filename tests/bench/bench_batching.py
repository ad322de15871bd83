"""What it costs that songs share batches, and what several at once gain: on a CPU nothing may be lost.

    python tests/bench/bench_batching.py [--seconds S] [--rounds N]

One song by :meth:`Separator.stream` against its segments straight through the networks, one after the other; then two
songs at once, in a thread each, against one after the other. All take turns in one process, so that other load on the
machine meets all of them; ratios are of neighbours, and what is told is their median.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from bench_separation import generated_song, write_source

from pipeline.audio.source import AudioSource
from pipeline.memory import keep_freed_memory
from pipeline.models.network import SeparationModel, load_separation_model
from pipeline.models.store import ModelStore, default_root
from pipeline.separation.networks import Networks
from pipeline.separation.overlap_add import OverlapAdd, plan_segments
from pipeline.separation.separator import Separator


def straight(model: SeparationModel, networks: Networks, mix: AudioSource) -> None:
    """The same work without a queue."""
    stems = tuple(range(len(model.sources)))
    joined = OverlapAdd((len(stems), model.channels), model.segment_samples)
    for segment in plan_segments(mix.n_samples, model.segment_samples):
        window = np.zeros((1, model.channels, model.segment_samples), dtype=np.float32)
        samples = mix.read(segment.start, segment.n_samples)
        window[0, :, : segment.n_samples] = (samples - samples.mean()) / samples.std()
        outcome = networks.estimate(torch.from_numpy(window), {0: stems}, lambda: None)[0]
        assert isinstance(outcome, np.ndarray)
        joined.add(segment, outcome)


def streamed(separator: Separator, mix: AudioSource) -> None:
    for _block in separator.stream(mix):
        pass


def at_once(separator: Separator, mixes: list[AudioSource]) -> None:
    with ThreadPoolExecutor(len(mixes)) as pool:
        list(pool.map(lambda mix: streamed(separator, mix), mixes))


def one_after_the_other(separator: Separator, mixes: list[AudioSource]) -> None:
    for mix in mixes:
        streamed(separator, mix)


def timed_s(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a song")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    asked = parser.parse_args()
    keep_freed_memory()  # as the command line and the worker do
    model = load_separation_model("htdemucs", ModelStore(default_root()))
    separator = Separator(model)
    networks = Networks(model, separator.device, separator.dtype)
    with tempfile.TemporaryDirectory() as name:
        songs = [write_source(generated_song(asked.seconds, seed), Path(name, f"{seed}.f32")) for seed in range(2)]
        contenders: dict[str, Callable[[], None]] = {
            "straight": lambda: straight(model, networks, songs[0]),
            "streamed": lambda: streamed(separator, songs[0]),
            "one after the other": lambda: one_after_the_other(separator, songs),
            "at once": lambda: at_once(separator, songs),
        }
        for warm_up in ("straight", "streamed"):
            contenders[warm_up]()
        rounds = [{name: timed_s(work) for name, work in contenders.items()} for _ in range(asked.rounds)]
    for name in contenders:
        print(f"{name:20} {statistics.median(times[name] for times in rounds):6.2f} s (median of {len(rounds)})")
    for name, base in (("streamed", "straight"), ("at once", "one after the other")):
        ratio = statistics.median(times[name] / times[base] for times in rounds)
        print(f"{name}: {ratio:.3f} of the time of {base}")


if __name__ == "__main__":
    main()
