"""How exact converted sample rates are: every pair of the documented ones, against tones computed at the new rate.

    python tests/quality/resampling.py

Nine tones from 3 % to 90 % of the lower rate's band, 24 bits, through the whole conversion of a file; two seconds, the
middle one compared. Prints the ratio of signal to error in dB, a row for each source rate, and the worst pair.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from pipeline.conversion.convert import convert
from pipeline.conversion.formats import RATES_HZ, Target

DURATION_S = 2
_PLACES = np.array([0.03, 0.11, 0.23, 0.37, 0.52, 0.66, 0.78, 0.85, 0.90])  # in the band


def tones(rate_hz: int, band_hz: float) -> NDArray[np.float64]:
    """The tones, each at a tenth of full scale, as they are at any rate."""
    t = np.arange(DURATION_S * rate_hz) / rate_hz
    phases = np.arange(len(_PLACES))
    samples: NDArray[np.float64] = 0.1 * np.sin(2 * np.pi * np.outer(t, _PLACES * band_hz) + phases).sum(axis=1)
    return samples


def signal_to_error_db(in_rate_hz: int, out_rate_hz: int, folder: Path, bits: int = 24) -> float:
    """Of a file converted from one rate to another."""
    band_hz = min(in_rate_hz, out_rate_hz) / 2
    name = f"{in_rate_hz}-{out_rate_hz}"
    source = folder / f"{name}-source.wav"
    sf.write(source, tones(in_rate_hz, band_hz), in_rate_hz, subtype=f"PCM_{bits}")
    made = convert(source, folder / f"{name}.wav", Target("wav", out_rate_hz, bits))
    samples, _ = sf.read(made.path)
    wanted = tones(out_rate_hz, band_hz)
    middle = slice(out_rate_hz // 2, 3 * out_rate_hz // 2)
    error = samples[middle] - wanted[middle]
    return float(10 * np.log10(np.sum(wanted[middle] ** 2) / np.sum(error**2)))


def main() -> None:
    """Print the table."""
    pairs = list(permutations(RATES_HZ, 2))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        found = dict(zip(pairs, threads.map(lambda pair: signal_to_error_db(*pair, Path(folder)), pairs), strict=True))
    print("from \\ to " + "".join(f"{rate_hz:>8}" for rate_hz in RATES_HZ))
    for own in RATES_HZ:
        print(f"{own:>9} " + "".join(f"{found[own, to]:8.0f}" if own != to else " " * 8 for to in RATES_HZ))
    worst = min(found, key=lambda pair: found[pair])
    print(f"worst: {worst[0]} to {worst[1]} Hz, {found[worst]:.1f} dB")
    sys.exit(found[worst] < 100)


if __name__ == "__main__":
    main()
