"""How soon a task can be stopped: the longest time between two reports, by stage, for a song of three minutes.

    python tests/bench/bench_progress.py [--seconds S] [--separate]

A report is where a stop takes effect. The song is at 48 kHz, so that it is resampled too; the first run of a
process also loads the models, the second does not. Separation runs where it is asked for.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.memory import keep_freed_memory
from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline

RATE_HZ = 48_000
_TONES_HZ = (110.0, 277.2, 440.0, 659.3, 1318.5)


class Gaps:
    """A report callback that keeps, by stage, the number of reports, the time and the longest gap."""

    def __init__(self) -> None:
        self.stages: dict[str, list[float]] = {}
        self._stage, self._at = "", time.perf_counter()

    def __call__(self, stage: str, _fraction: float) -> None:
        self.mark()
        self._stage = stage

    def mark(self) -> None:
        """The time since the last report belongs to the stage that it named."""
        now = time.perf_counter()
        if self._stage:
            self.stages.setdefault(self._stage, []).append(now - self._at)
        self._at = now

    def show(self, name: str) -> None:
        """Print a line for every stage."""
        self.mark()
        for stage, gaps in self.stages.items():
            print(f"{name:26}{stage:14}{len(gaps):7}{sum(gaps):9.2f} s{max(gaps):9.3f} s", flush=True)


def write_song(path: Path, duration_s: float) -> None:
    """Noise in bursts and tones that come and go, as 16-bit FLAC in stereo."""
    random = np.random.default_rng(0)
    with sf.SoundFile(path, "w", RATE_HZ, 2, "PCM_16") as file:
        for second in range(round(duration_s)):
            at = second + np.arange(RATE_HZ) / RATE_HZ
            sound = 0.1 * random.standard_normal(RATE_HZ) * np.exp(-12 * (at % 0.5))
            for hz in _TONES_HZ:
                sound += 0.08 * np.sin(2 * np.pi * hz * at) * np.exp(-3 * (at * hz / 440 % 1))
            file.write(np.stack([sound, 0.8 * sound], axis=1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the song")
    parser.add_argument("--separate", action="store_true", help="separate it too, twice: minutes")
    asked = parser.parse_args()
    keep_freed_memory()  # as the command line and the worker do
    pipeline = SongPipeline(ModelStore(default_root()))
    print(f"{'':26}{'stage':14}{'reports':>7}{'time':>11}{'longest gap':>13}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = folder / "song.flac"
        write_song(song, asked.seconds)
        for run in ("first", "second"):
            if asked.separate:
                gaps = Gaps()
                pipeline.separate(song, folder / "stems", on_progress=gaps)
                gaps.show(f"separate, {run}")
            for stem in ("bass", "drums"):
                gaps = Gaps()
                pipeline.transcribe({stem: song}, folder / "notes", on_progress=gaps)
                gaps.show(f"transcribe {stem}, {run}")
            gaps = Gaps()
            pipeline.to_wav(song, folder / "song.wav", on_progress=gaps)
            gaps.show(f"to_wav, {run}")


if __name__ == "__main__":
    main()
