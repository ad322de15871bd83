"""What is left of audio without a part of it: to the bit, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.audio.decode import decode
from pipeline.audio.source import BLOCK_SAMPLES, AudioSource
from pipeline.audio.subtract import subtract
from pipeline.errors import Cancelled, CorruptAudio


def written(path: Path, samples: np.ndarray, rate_hz: int = 44_100, bits: int = 16) -> AudioSource:
    sf.write(path, samples, rate_hz, subtype=f"PCM_{bits}")
    return decode(path, path.parent)


def noise(seed: int, n: int = BLOCK_SAMPLES + 1234, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels))


@pytest.mark.parametrize("bits", [16, 24])
def test_part_and_rest_add_up_to_the_mix(tmp_path: Path, bits: int) -> None:
    mix = written(tmp_path / "mix.flac", noise(1), bits=bits)
    part = written(tmp_path / "part.flac", noise(2), bits=bits)
    seen: list[float] = []
    rest = subtract(mix, part, tmp_path / "rest.flac", seen.append)
    assert rest.duration_s == mix.duration_s
    whole, taken, left = (sf.read(tmp_path / f"{name}.flac", dtype="int32")[0] for name in ("mix", "part", "rest"))
    np.testing.assert_array_equal(taken + left, whole)
    assert sf.info(rest.path).subtype == f"PCM_{bits}"
    assert (seen[0], seen[-1], seen == sorted(seen)) == (0.0, 1.0, True)


def test_what_is_beyond_full_scale_stays_there(tmp_path: Path) -> None:
    mix = written(tmp_path / "mix.flac", np.full((1000, 1), 0.75))
    part = written(tmp_path / "part.flac", np.full((1000, 1), -0.75))
    subtract(mix, part, tmp_path / "rest.flac")
    assert set(sf.read(tmp_path / "rest.flac", dtype="int16")[0]) == {32_767}


@pytest.mark.parametrize(("n", "channels", "rate_hz"), [(999, 2, 44_100), (1000, 1, 44_100), (1000, 2, 48_000)])
def test_another_recording_is_refused(tmp_path: Path, n: int, channels: int, rate_hz: int) -> None:
    mix = written(tmp_path / "mix.flac", noise(1, 1000))
    part = written(tmp_path / "part.flac", noise(2, n, channels), rate_hz)
    with pytest.raises(CorruptAudio, match="rate, length, channels and bits"):
        subtract(mix, part, tmp_path / "rest.flac")
    assert not (tmp_path / "rest.flac").exists()


def test_a_report_that_raises_leaves_no_file(tmp_path: Path) -> None:
    mix, part = written(tmp_path / "mix.flac", noise(1)), written(tmp_path / "part.flac", noise(2))
    before = sorted(tmp_path.iterdir())

    def stop(fraction: float) -> None:
        if fraction:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        subtract(mix, part, tmp_path / "rest.flac", stop)
    assert sorted(tmp_path.iterdir()) == before
