"""Segments: where they lie, and that they join without a seam."""

import numpy as np
import pytest
import torch
from demucs.apply import TensorChunk
from demucs.utils import center_trim

from pipeline.separation.overlap_add import OverlapAdd, plan_segments

SEGMENT = 101
LENGTHS = (1, 2, 40, 75, 76, 100, 101, 102, 150, 151, 152, 227, 1000, 1003)


@pytest.mark.parametrize("length", LENGTHS)
def test_windows_are_those_of_the_reference(length: int) -> None:
    audio = np.arange(1, length + 1)
    padded = np.pad(audio, SEGMENT)
    segments = plan_segments(length, SEGMENT)
    assert [segment.start for segment in segments] == list(range(0, length, int(0.75 * SEGMENT)))
    for segment in segments:
        chunk = TensorChunk(torch.from_numpy(audio), segment.start, SEGMENT)
        at = SEGMENT + segment.window_start
        assert segment.n_samples == chunk.length
        np.testing.assert_array_equal(padded[at : at + SEGMENT], chunk.padded(SEGMENT))
        inset = segment.start - segment.window_start
        kept = center_trim(chunk.padded(SEGMENT), chunk.length)
        np.testing.assert_array_equal(padded[at : at + SEGMENT][inset : inset + segment.n_samples], kept)


@pytest.mark.parametrize("length", LENGTHS)
def test_segments_of_a_signal_join_to_the_signal(length: int) -> None:
    signal = np.random.default_rng(length).standard_normal((2, 3, length)).astype(np.float32)
    padded = np.pad(signal, ((0, 0), (0, 0), (SEGMENT, SEGMENT)))
    joined = OverlapAdd((2, 3), SEGMENT)
    blocks = []
    for segment in plan_segments(length, SEGMENT):
        at = SEGMENT + segment.window_start
        blocks.append(joined.add(segment, padded[..., at : at + SEGMENT]))
        assert blocks[-1].shape == (2, 3, segment.n_new)
    np.testing.assert_allclose(np.concatenate(blocks, axis=-1), signal, atol=1e-6)


def test_the_cross_fade_is_linear() -> None:
    first, second, *_ = plan_segments(200, 100)
    joined = OverlapAdd((), 100)
    joined.add(first, np.zeros(100, dtype=np.float32))
    fade = joined.add(second, np.ones(100, dtype=np.float32))[:25]
    np.testing.assert_allclose(fade, np.arange(1, 26) / 26, atol=1e-6)


def test_no_audio_has_no_segments() -> None:
    assert plan_segments(0, SEGMENT) == ()
