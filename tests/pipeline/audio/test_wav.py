"""WAV files hold what was decoded, to the bit, and appear whole or not at all."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from pipeline.audio.decode import decode
from pipeline.audio.source import BLOCK_SAMPLES, AudioSource
from pipeline.audio.wav import MAX_WAV_BYTES, write_wav
from pipeline.errors import AudioLimitExceeded, Cancelled


def silence(folder: Path, n_samples: int, bits: int = 16) -> AudioSource:
    """Stereo at 44.1 kHz, which takes no room on disk."""
    path = folder / "silence.f32"
    with path.open("wb") as file:
        file.truncate(n_samples * 8)
    return AudioSource(path, 44_100, 2, n_samples, bits)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 96_000])
def test_a_flac_and_its_wav_hold_the_same_integers(tmp_path: Path, rate_hz: int, channels: int, bits: int) -> None:
    full = 1 << (bits - 1)
    stored = np.random.default_rng(bits).integers(-full, full, (BLOCK_SAMPLES + 11, channels)).astype(np.int32)
    stored[:2] = [[-full] * channels, [full - 1] * channels]
    sf.write(tmp_path / "stem.flac", stored << (32 - bits), rate_hz, subtype=f"PCM_{bits}")

    made = write_wav(decode(tmp_path / "stem.flac", tmp_path), tmp_path / "stem.wav")

    info = sf.info(made.path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", f"PCM_{bits}", rate_hz, channels)
    assert made.path == tmp_path / "stem.wav"
    assert made.duration_s == len(stored) / rate_hz
    np.testing.assert_array_equal(sf.read(made.path, dtype="int32", always_2d=True)[0] >> (32 - bits), stored)


@pytest.mark.parametrize("block", [0, 1, 2])
def test_where_a_report_raises_the_file_of_before_stays(tmp_path: Path, block: int) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "song.wav").write_bytes(b"before")

    def report(fraction: float) -> None:
        if fraction == block / 2:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled, match="Enough"):
        write_wav(silence(tmp_path, 2 * BLOCK_SAMPLES), tmp_path / "out" / "song.wav", report)
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"before"]


def test_more_than_a_wav_can_hold_is_refused(tmp_path: Path) -> None:
    audio = silence(tmp_path, MAX_WAV_BYTES // 6 + 1, bits=24)
    with pytest.raises(AudioLimitExceeded, match=r"the format ends at 4294901760 bytes\. Use the FLAC file\."):
        write_wav(audio, tmp_path / "song.wav")
    assert not (tmp_path / "song.wav").exists()


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak_bytes(n_samples: int) -> int:
        audio = silence(tmp_path, n_samples)
        tracemalloc.start()
        try:
            write_wav(audio, tmp_path / "song.wav")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes(20 * BLOCK_SAMPLES) < 1.02 * peak_bytes(2 * BLOCK_SAMPLES)
