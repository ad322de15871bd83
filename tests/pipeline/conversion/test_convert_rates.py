"""How exact a new sample rate is; tests/quality/resampling.py prints it for every pair."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.resample import resampled_length
from pipeline.conversion.formats import RATES_HZ
from pipeline.conversion.rates import resamplers
from quality.resampling import signal_to_error_db, tones


@pytest.mark.parametrize(
    ("in_rate_hz", "out_rate_hz"),
    [(44_100, 48_000), (48_000, 44_100), (22_050, 8_000), (44_100, 32_000), (8_000, 192_000), (96_000, 48_000)],
)
def test_a_converted_file_is_right_to_100_db(tmp_path: Path, in_rate_hz: int, out_rate_hz: int) -> None:
    assert signal_to_error_db(in_rate_hz, out_rate_hz, tmp_path) > 115


def through(samples: np.ndarray, in_rate_hz: int, out_rate_hz: int, dtype: str, block: int) -> np.ndarray:
    """Mono samples at another rate, pushed in blocks."""
    steps = resamplers(in_rate_hz, out_rate_hz, 1, exact=True, dtype=dtype)
    waiting = [samples[None, at : at + block] for at in range(0, len(samples), block)]
    for step in steps:
        waiting = [step.push(each) for each in waiting] + [step.finish()]
    return np.concatenate(waiting, axis=1)[0]


@pytest.mark.parametrize(("in_rate_hz", "out_rate_hz"), list(permutations(RATES_HZ, 2)))
def test_every_pair_is_right_to_100_db_and_as_long_as_it_says(in_rate_hz: int, out_rate_hz: int) -> None:
    band_hz = min(in_rate_hz, out_rate_hz) / 2
    made = through(tones(in_rate_hz, band_hz).astype(np.float32), in_rate_hz, out_rate_hz, "float32", 1 << 16)
    wanted = tones(out_rate_hz, band_hz)
    assert len(made) == len(wanted) == resampled_length(2 * in_rate_hz, in_rate_hz, out_rate_hz)
    middle = slice(out_rate_hz // 2, 3 * out_rate_hz // 2)
    error = made[middle] - wanted[middle]
    assert 10 * np.log10(np.sum(wanted[middle] ** 2) / np.sum(error**2)) > 115


def test_32_bits_are_resampled_as_such() -> None:
    made = through(tones(44_100, 22_050), 44_100, 48_000, "float64", 1 << 16)
    error = (made - tones(48_000, 22_050))[24_000:72_000]
    assert np.max(np.abs(error)) < 2.0**-28


@pytest.mark.parametrize("n_samples", [1, 2, 3, 100, 12_345])
@pytest.mark.parametrize(
    ("in_rate_hz", "out_rate_hz"), [(44_100, 48_000), (8_000, 192_000), (37_800, 44_100), (48_000, 8_000)]
)
def test_length_is_the_exact_ratio_rounded_up_by_all_steps(in_rate_hz: int, out_rate_hz: int, n_samples: int) -> None:
    made = through(np.ones(n_samples, dtype=np.float32), in_rate_hz, out_rate_hz, "float32", 50)
    assert len(made) == resampled_length(n_samples, in_rate_hz, out_rate_hz)
