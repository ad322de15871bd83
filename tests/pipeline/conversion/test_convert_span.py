"""Cutting: which samples of the source are kept."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.decode import decode
from pipeline.conversion.convert import convert
from pipeline.conversion.formats import Target
from pipeline.errors import InvalidSpan
from support.conversion import integers, make, music, read_integers, write_wav

RATE_HZ = 44_100
N_SAMPLES = 400_000  # 9070.29 ms, in four blocks


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("song") / "song.wav", integers(N_SAMPLES, 16))


@pytest.mark.parametrize(
    ("start_ms", "end_ms"), [(0, 1), (1, 2), (0, 9070), (1234, 5678), (2999, 3001), (9069, 9070), (5000, 9071)]
)
def test_the_samples_between_two_milliseconds(tmp_path: Path, song: Path, start_ms: int, end_ms: int) -> None:
    made = convert(song, tmp_path / "part.flac", Target("flac"), span_ms=(start_ms, end_ms))
    first, last = round(start_ms * RATE_HZ / 1000), min(round(end_ms * RATE_HZ / 1000), N_SAMPLES)
    np.testing.assert_array_equal(read_integers(made.path, tmp_path), integers(N_SAMPLES, 16)[first:last])
    assert made.n_samples == last - first


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".aac"])
def test_of_a_lossy_file_the_same_samples_are_cut(tmp_path: Path, suffix: str) -> None:
    source = make(tmp_path / f"a{suffix}", write_wav(tmp_path / "a.wav", music(200_000)))
    whole = decode(source, tmp_path)
    made = convert(source, tmp_path / "b.wav", Target("wav", bits=24), span_ms=(1000, 2500))
    cut = read_integers(made.path, tmp_path) / 2.0**31
    np.testing.assert_allclose(cut, whole.read(44_100, 66_150).T, atol=2.0**-23)


def test_two_parts_joined_are_the_whole(tmp_path: Path, song: Path) -> None:
    parts = [
        convert(song, tmp_path / f"{span[0]}.wav", Target("wav"), span_ms=span).path
        for span in ((0, 3333), (3333, 9071))
    ]
    joined = np.concatenate([read_integers(part, tmp_path) for part in parts])
    np.testing.assert_array_equal(joined, integers(N_SAMPLES, 16))


@pytest.mark.parametrize("span_ms", [(0, 9072), (9071, 9072), (20_000, 30_000)])
@pytest.mark.parametrize("suffix", [".wav", ".aac"])
def test_a_part_outside_names_the_length(tmp_path: Path, song: Path, span_ms: tuple[int, int], suffix: str) -> None:
    source = song if suffix == ".wav" else make(tmp_path / "a.aac", song)  # which does not say how long it is
    length_ms = -(-decode(source, tmp_path).n_samples * 1000 // RATE_HZ)
    span_ms = (span_ms[0], span_ms[1] + length_ms - 9071)
    with pytest.raises(InvalidSpan, match=rf"which lasts {length_ms} ms\.$"):
        convert(source, tmp_path / "out.mp3", Target("mp3"), span_ms=span_ms)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".aac", ".f32"}


@pytest.mark.parametrize("span_ms", [(5, 5), (6, 5), (-1, 5)])
def test_a_part_that_is_none(tmp_path: Path, song: Path, span_ms: tuple[int, int]) -> None:
    with pytest.raises(InvalidSpan, match="is none: it must start at 0 or later, and end after that"):
        convert(song, tmp_path / "out.wav", Target("wav"), span_ms=span_ms)


def test_a_part_is_decoded_no_further_than_its_end(tmp_path: Path, song: Path) -> None:
    """So it takes less time, and how far it is counts up to there."""
    told: list[float] = []
    convert(
        song, tmp_path / "out.wav", Target("wav"), span_ms=(0, 3000), on_progress=lambda _stage, done: told.append(done)
    )
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len([done for done in told if done == 1.0]) <= 2, "what comes after the part is not read"
