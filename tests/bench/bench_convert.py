"""Conversion against the ffmpeg command line: the time a song takes, and memory by the file's length.

    python tests/bench/bench_convert.py [--runs N] [--hours H]

The same program with the same codec options on the same files, taking turns, so that other load on the machine meets
both. ffmpeg is told to resample and dither as we do (soxr at its highest precision; triangular noise). It checks
nothing, and is one process where we are four. Then a long file, 0 hours for none: both times again, and the most memory
that our process and its children held at once, beside what they held for the song.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import soundfile as sf
from bench_separation import RATE_HZ, generated_song

from pipeline.audio.limits import DecodeLimits
from pipeline.conversion.convert import convert
from pipeline.conversion.encoder import Coding, encoding_ffmpeg
from pipeline.conversion.formats import FORMATS, Target

SONG_S = 180
CASES = [  # source suffix, target, rate; None: as the source
    (".wav", "mp3", None), (".wav", "ogg", None), (".wav", "aac", None), (".wav", "webm", None),
    (".wav", "flac", None), (".wav", "wav", None), (".mp3", "wav", None), (".flac", "mp3", None), (".mp3", "ogg", None),
    (".wav", "mp3", 22_050), (".wav", "webm", 48_000), (".wav", "wav", 48_000), (".wav", "flac", 96_000),
    (".mp3", "aac", 48_000),
]  # fmt: skip
LONG_CASES = [(".wav", "flac", None), (".wav", "mp3", 22_050)]
_LOOK_EVERY_S = 0.05


def ffmpeg(*arguments: str | Path) -> None:
    """Run the encoder's program."""
    program = encoding_ffmpeg(Coding(FORMATS["mp3"], RATE_HZ, 2, 16))
    subprocess.run([str(program), "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def ours(source: Path, name: str, rate_hz: int | None) -> None:
    """One conversion."""
    limits = DecodeLimits(max_duration_s=4 * 3600.0, max_file_bytes=1 << 33)
    convert(source, source.with_name("ours"), Target(name, rate_hz, 16), limits=limits)


def theirs(source: Path, name: str, rate_hz: int | None) -> None:
    """The same by the command line."""
    options = Coding(FORMATS[name], rate_hz or RATE_HZ, 2, 16).output_options()
    if rate_hz is not None:
        options += ["-af", "aresample=resampler=soxr:precision=28:dither_method=triangular", "-ar", str(rate_hz)]
    ffmpeg("-i", source, "-map", "0:a", *options, source.with_name("theirs"))


def median_s(runs: int, works: list[Callable[[], None]]) -> list[float]:
    """The median time of each, taking turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, taken in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in times]


def watched(source: Path, name: str, rate_hz: int | None) -> tuple[float, float]:
    """The time of a conversion in a process of its own, and the most memory, in MB, that it and its children held.

    What is shared between them counts once for each.
    """
    started = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=ours, args=(source, name, rate_hz))
    process.start()
    parent, most = psutil.Process(process.pid), 0
    while process.is_alive():
        held = 0
        for each in [parent, *parent.children(recursive=True)]:
            try:
                held += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        most = max(most, held)
        process.join(_LOOK_EVERY_S)
    if process.exitcode:
        raise RuntimeError(f"the conversion ended with {process.exitcode}")
    return time.perf_counter() - started, most / 1e6


def make_sources(folder: Path, times: int, suffixes: set[str]) -> dict[str, Path]:
    """A generated song, played so many times, in each format."""
    wav = folder / f"{times}.wav"
    song = [block.T for block in generated_song(SONG_S)]
    with sf.SoundFile(wav, "w", RATE_HZ, 2, "PCM_16") as file:
        for _ in range(times):
            for block in song:
                file.write(block)
    made = {".wav": wav}
    for suffix in suffixes - {".wav"}:
        made[suffix] = wav.with_suffix(suffix)
        ffmpeg("-i", wav, *(["-b:a", "192k"] if suffix == ".mp3" else []), made[suffix])
    return made


def row(suffix: str, name: str, rate_hz: int | None) -> str:
    """How a line of the tables begins."""
    return f"{suffix[1:]:>5} to {name:<5}{rate_hz or 'own rate':>9}      "


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hours", type=float, default=2.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        song = make_sources(Path(folder), 1, {suffix for suffix, *_ in CASES})
        print(f"{SONG_S} s of stereo, median of {arguments.runs}:      ours    ffmpeg     ratio")
        ratios = []
        for suffix, name, rate_hz in CASES:
            case = (song[suffix], name, rate_hz)
            mine, other = median_s(arguments.runs, [lambda case=case: ours(*case), lambda case=case: theirs(*case)])
            ratios.append(mine / other)
            print(f"{row(suffix, name, rate_hz)} {mine:9.2f} {other:9.2f} {ratios[-1]:9.2f}", flush=True)
        median, mean = statistics.median(ratios), statistics.geometric_mean(ratios)
        print(f"of the ratios the median is {median:.2f}, the geometric mean {mean:.2f}")
        if not arguments.hours:
            return
        long = make_sources(Path(folder), round(arguments.hours * 3600 / SONG_S), {suffix for suffix, *_ in LONG_CASES})
        print(f"{arguments.hours:g} hours:                             ours    ffmpeg     ratio   peak MB   of song")
        for suffix, name, rate_hz in LONG_CASES:
            case = (long[suffix], name, rate_hz)
            mine, long_mb = watched(*case)
            (other,) = median_s(1, [lambda case=case: theirs(*case)])
            _, short_mb = watched(song[suffix], name, rate_hz)
            figures = f"{mine:9.2f} {other:9.2f} {mine / other:9.2f} {long_mb:9.0f} {short_mb:9.0f}"
            print(f"{row(suffix, name, rate_hz)} {figures}", flush=True)


if __name__ == "__main__":
    main()
