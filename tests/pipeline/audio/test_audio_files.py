"""Raw sources are read in pieces, and written files hold the integers they were given."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.source import AudioSource


@pytest.fixture
def ramp(tmp_path: Path) -> AudioSource:
    """1000 stereo samples: k on the left, -k on the right."""
    left = np.arange(1000, dtype="<f4")
    path = tmp_path / "ramp.f32"
    path.write_bytes(np.stack([left, -left], axis=1).tobytes())
    return AudioSource(path, 8000, 2, 1000)


def test_pieces_of_a_source(ramp: AudioSource) -> None:
    assert ramp.duration_s == 0.125
    np.testing.assert_array_equal(ramp.read(10, 3), np.float32([[10, 11, 12], [-10, -11, -12]]))
    assert ramp.read(998, 10).shape == (2, 2)
    assert ramp.read(1000, 10).shape == (2, 0)
    assert ramp.read(5000, 10).shape == (2, 0)
    blocks = list(ramp.blocks(300))
    assert [block.shape for block in blocks] == [(2, 300), (2, 300), (2, 300), (2, 100)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), ramp.read(0, 1000))
    np.testing.assert_array_equal(ramp.mono(), np.zeros(1000, dtype=np.float32))


def test_rounding_to_integers_saturates() -> None:
    samples = np.float32([0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0, 1.4 / 32768, 1.6 / 32768])
    assert quantise(samples, 16).tolist() == [0, 16384, -16384, 32767, -32768, 32767, -32768, 1, 2]
    assert quantise(samples[:5], 24).tolist() == [0, 1 << 22, -(1 << 22), (1 << 23) - 1, -(1 << 23)]


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("channels", [1, 2])
def test_written_files_hold_exactly_the_integers(tmp_path: Path, suffix: str, bits: int, channels: int) -> None:
    full = 1 << (bits - 1)
    samples = np.random.default_rng(bits).integers(-full, full, (channels, 5000)).astype(np.int32)
    path = tmp_path / f"a{suffix}"
    with AudioWriter(path, 44_100, channels, bits) as writer:
        writer.write(samples[:, :123])
        writer.write(samples[:, 123:])
    with sf.SoundFile(path) as file:
        assert (file.samplerate, file.channels, file.frames, file.subtype) == (44_100, channels, 5000, f"PCM_{bits}")
        read = file.read(dtype="int32", always_2d=True).T >> (32 - bits)
    np.testing.assert_array_equal(read, samples)
