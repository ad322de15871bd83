"""Decoding and writing say how far they are, and stop where that raises: no process and no file is left."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.audio.child import Child
from pipeline.audio.decode import decode
from pipeline.audio.limits import DecodeLimits
from pipeline.audio.resample import resample
from pipeline.audio.source import BLOCK_SAMPLES, AudioSource
from pipeline.errors import Cancelled

Encode = Callable[..., Path]
LeftRunning = Callable[[], list[psutil.Process]]


@pytest.fixture
def song(sweep: Callable[..., np.ndarray]) -> np.ndarray:
    """20 s, which is seven blocks of the decoder's output."""
    return sweep(duration_s=20.0)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def stop(_fraction: float) -> None:
    raise Cancelled("Enough.")


def run_to_its_end(child: Child) -> None:
    assert child.read(1) == b""
    child.finish()


@pytest.mark.parametrize("name", ["song.flac", "song.wav", "song.mp3", "song.m4a"])
def test_decoding_tells_how_far_it_is(encode: Encode, song: np.ndarray, scratch: Path, name: str) -> None:
    seen: list[float] = []
    decode(encode(name, song, 44_100), scratch, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == pytest.approx(1.0, abs=0.01)
    assert len(set(seen)) > 6


def test_of_a_stream_that_declares_no_length_nothing_is_claimed(
    encode: Encode, song: np.ndarray, scratch: Path
) -> None:
    seen: list[float] = []
    decode(encode("song.aac", song, 44_100), scratch, on_progress=seen.append)
    assert set(seen) == {0.0}
    assert len(seen) > 6


@pytest.mark.parametrize("name", ["song.flac", "song.mp3"])
@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9])
def test_decoding_stops_where_a_report_raises(
    encode: Encode, song: np.ndarray, scratch: Path, name: str, at: float, left_running: LeftRunning
) -> None:
    later: list[float] = []

    def report(fraction: float) -> None:
        if fraction >= at:
            later.append(fraction)
            raise Cancelled("Enough.")

    path = encode(name, song, 44_100)
    with pytest.raises(Cancelled, match="Enough"):
        decode(path, scratch, on_progress=report)
    assert len(later) == 1
    assert later[0] < at + 0.2
    assert list(scratch.iterdir()) == []
    assert left_running() == []


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "import os, time; os.close(1); time.sleep(60)"])
def test_a_decoder_that_is_silent_can_be_stopped_at_any_time(program: str, left_running: LeftRunning) -> None:
    limits = DecodeLimits()
    started = time.monotonic()

    def report(_fraction: float) -> None:
        if time.monotonic() - started > 0.6:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled), Child(["exec", sys.executable, "-S", "-c", program], limits, report) as child:
        run_to_its_end(child)
    assert time.monotonic() - started < 5
    assert left_running() == []


def test_resampling_leaves_nothing_where_a_report_raises(scratch: Path) -> None:
    (scratch / "song.f32").write_bytes(bytes(3 * BLOCK_SAMPLES * 4))
    source = AudioSource(scratch / "song.f32", 48_000, 1, 3 * BLOCK_SAMPLES)
    seen: list[float] = []
    resample(source, 44_100, scratch, seen.append)
    assert seen == [0.0, 1 / 3, 2 / 3, 1.0]
    before = sorted(scratch.iterdir())
    with pytest.raises(Cancelled):
        resample(source, 44_100, scratch, stop)
    assert sorted(scratch.iterdir()) == before
