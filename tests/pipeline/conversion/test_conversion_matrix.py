"""Every source format to every target, at three sample rates and three bit depths each, as ffprobe sees the files."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from pipeline.audio.decode import decode
from pipeline.audio.resample import resampled_length
from pipeline.conversion.convert import Converted, convert
from pipeline.conversion.formats import BITS, FORMATS, Target
from support.conversion import make, music, write_wav
from support.ffprobe import ffprobe

N_SAMPLES = 52_345  # 1.19 s at 44.1 kHz
SOURCES = {  # suffix -> how ffmpeg makes it of the WAV
    ".wav": ["-c:a", "pcm_s24le"],
    ".aiff": [],
    ".flac": [],
    ".mp3": ["-b:a", "192k"],
    ".ogg": ["-c:a", "libvorbis"],
    ".opus": ["-c:a", "libopus", "-ar", "48000"],
    ".m4a": ["-c:a", "aac"],
    ".aac": ["-c:a", "aac", "-f", "adts"],
    ".webm": ["-c:a", "libopus", "-ar", "48000"],
    ".wma": ["-c:a", "wmav2"],
    ".wv": [],
}
RATES_HZ = {  # each documented one at least once
    "wav": (8_000, 44_100, 192_000),
    "flac": (22_050, 48_000, 96_000),
    "mp3": (16_000, 44_100, 48_000),
    "ogg": (24_000, 44_100, 96_000),
    "aac": (8_000, 32_000, 96_000),
    "webm": (16_000, 48_000, 192_000),
}
CODECS = {"mp3": {"mp3"}, "wav": {"pcm_s16le", "pcm_s24le", "pcm_s32le"}, "flac": {"flac"}, "ogg": {"vorbis"}}
CODECS |= {"aac": {"aac"}, "webm": {"opus", "vorbis"}}
FRAME = {"mp3": 1152, "ogg": 2048, "aac": 1024, "webm": 2048}  # samples; of Vorbis the longest


def check(made: Converted, target: Target, n_source: int, source_rate_hz: int) -> None:
    """What ffprobe sees is what was asked for, and as long as the source."""
    seen = ffprobe(made.path)
    rate_hz = target.rate_hz
    assert rate_hz is not None
    assert target.format in seen.container
    assert seen.codec in CODECS[target.format]
    assert (seen.rate_hz, seen.channels) == (rate_hz, 2)
    assert (made.rate_hz, made.n_samples) == (rate_hz, resampled_length(n_source, source_rate_hz, rate_hz))
    if made.bits is not None:
        assert seen.bits == made.bits == target.bits
        assert seen.duration_s == pytest.approx(n_source / source_rate_hz, abs=0.001)
    elif target.format == "aac":  # these frames cannot say that the first is the encoder's delay, and the last one part
        assert 1024 <= seen.n_packets * 1024 - made.n_samples < 2 * 1024
    else:
        assert seen.duration_s == pytest.approx(made.duration_s, abs=FRAME[target.format] / rate_hz + 0.001)


@pytest.mark.parametrize("suffix", SOURCES)
def test_a_source_becomes_everything(tmp_path: Path, suffix: str) -> None:
    wav = write_wav(tmp_path / "made.wav", music(N_SAMPLES), bits=24)
    source = make(tmp_path / f"source{suffix}", wav, SOURCES[suffix])
    decoded = decode(source, tmp_path)

    def run(target: Target) -> None:
        out = tmp_path / f"{target.rate_hz}-{target.bits}{target.spec.suffix}"
        check(convert(source, out, target), target, decoded.n_samples, decoded.rate_hz)

    targets = [
        Target(name, rate_hz, bits)
        for name, rates_hz in RATES_HZ.items()
        for rate_hz, bits in product(rates_hz, BITS if FORMATS[name].is_lossless else (16,))
    ]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, targets))


@pytest.mark.parametrize("name", FORMATS)
def test_a_target_has_every_rate_and_depth(tmp_path: Path, name: str) -> None:
    source = write_wav(tmp_path / "source.wav", music(N_SAMPLES), bits=24)

    def run(target: Target) -> None:
        made = convert(source, tmp_path / f"{target.rate_hz}-{target.bits}{target.spec.suffix}", target)
        check(made, target, N_SAMPLES, 44_100)
        played = decode(made.path, tmp_path).n_samples
        delay = played - made.n_samples
        assert 1024 <= delay < 2 * 1024 if name == "aac" else delay == 0

    spec = FORMATS[name]
    with ThreadPoolExecutor(2) as threads:
        list(
            threads.map(
                run, (Target(name, *each) for each in product(spec.rates_hz, BITS if spec.is_lossless else (16,)))
            )
        )
