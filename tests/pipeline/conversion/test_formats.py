"""The table of formats, and what a request may name."""

import subprocess
import sys

import pytest

from pipeline.conversion.formats import BITS, FORMATS, RATES_HZ, Target, check_target
from pipeline.errors import UnsupportedTarget


def test_the_documented_formats_rates_and_depths() -> None:
    assert list(FORMATS) == ["mp3", "wav", "flac", "ogg", "aac", "webm"]
    assert RATES_HZ == (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
    assert BITS == (16, 24, 32)
    assert [name for name, each in FORMATS.items() if each.is_lossless] == ["wav", "flac"]
    assert {name: each.rates_hz[-1] for name, each in FORMATS.items() if each.rates_hz != RATES_HZ} == {
        "mp3": 48_000, "aac": 96_000,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["mp3", "MP3", ".mp3", " Mp3 "])
def test_names_are_taken_as_people_write_them(name: str) -> None:
    assert check_target(name, 44_100, 24) == Target("mp3", 44_100, 24)


@pytest.mark.parametrize(
    ("name", "rate_hz", "bits", "message"),
    [
        ("mp3", 96_000, None, "mp3 holds at most 48000 Hz, not 96000."),
        ("aac", 192_000, None, "aac holds at most 96000 Hz, not 192000."),
        ("wav", 44_000, None, "The sample rate cannot be 44000 Hz; there is 8000, 16000, "),
        ("wav", 0, None, "The sample rate cannot be 0 Hz"),
        ("wav", None, 20, "The bit depth cannot be 20; there is 16, 24, 32."),
        ("mp3", None, 8, "The bit depth cannot be 8"),
        ("wma", None, None, "Audio is not converted to 'wma'; there is mp3, wav, flac, ogg, aac, webm."),
        ("", None, None, "Audio is not converted to ''"),
        ("x" * 1000, None, None, "Audio is not converted to 'xxx"),
    ],
)
def test_what_there_is_not(name: str, rate_hz: int | None, bits: int | None, message: str) -> None:
    with pytest.raises(UnsupportedTarget) as told:
        check_target(name, rate_hz, bits)
    assert told.value.message.startswith(message)
    assert len(told.value.message) < 200
    assert told.value.code == "unsupported_target"


@pytest.mark.parametrize(
    ("name", "source_hz", "rate_hz"),
    [
        ("wav", 11_025, 11_025), ("wav", 176_400, 176_400), ("wav", 4_000, 8_000),
        ("mp3", 11_025, 11_025), ("mp3", 37_800, 44_100), ("mp3", 88_200, 44_100), ("mp3", 96_000, 48_000),
        ("mp3", 192_000, 48_000), ("mp3", 176_400, 44_100), ("mp3", 64_000, 48_000), ("mp3", 5_512, 8_000),
        ("aac", 88_200, 88_200), ("aac", 176_400, 44_100), ("aac", 192_000, 96_000), ("aac", 37_800, 44_100),
        ("ogg", 37_800, 37_800), ("webm", 48_000, 48_000),
    ],
)  # fmt: skip
def test_a_source_keeps_its_rate_where_the_format_can(name: str, source_hz: int, rate_hz: int) -> None:
    assert FORMATS[name].rate_for(source_hz) == rate_hz


def test_checking_a_target_is_light() -> None:
    script = "import sys, pipeline.conversion.formats; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
