"""What goes wrong in a batch of several songs (stops, memory, values, crashes) goes wrong for one of them alone."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch import nn

from pipeline.audio.source import AudioSource
from pipeline.errors import Cancelled, ModelError, OutOfMemory
from pipeline.separation.separator import Separator
from support.batching import (
    ALL,
    LONG_S,
    SEGMENT_SAMPLES,
    Acting,
    Crash,
    Fills,
    Gate,
    MakeBatcher,
    MakeModel,
    MakeSource,
    NotNumbers,
    Samples,
    SmallMemory,
    Watch,
    alone,
    everything,
    marked,
    noise,
    put,
    stop,
    unheard,
    window,
)


def test_who_waits_for_others_can_be_stopped(
    batcher_of: MakeBatcher, shares: type[nn.Module], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), gate), batch_size=1)
    first = pool.submit(alone, batcher, window(0.1))
    assert gate.arrived.acquire(timeout=LONG_S)
    told: list[float] = []

    def stop_the_second_time() -> None:
        told.append(time.monotonic())
        if len(told) == 2:
            stop()

    with batcher.lane(ALL, 1) as lane:
        put(lane, 0.2)
        with pytest.raises(Cancelled, match="enough"):
            lane.take(stop_the_second_time)
    assert not first.done()
    gate.open()
    first.result(LONG_S)
    assert gate.rows == [[0.1]]


def test_a_song_that_stops_in_its_own_batch_does_not_stop_the_others(
    batcher_of: MakeBatcher, shares: type[nn.Module], fills: Fills
) -> None:
    first, second = Watch(), Watch()
    bag = (Acting(shares(0.5, 0.25, 0.125), first), Acting(shares(0.5, 0.25, 0.125), second))
    batcher = batcher_of(*bag, batch_size=3)

    def stop_between_networks() -> None:
        if first.rows:
            stop()

    with batcher.lane(ALL, 1) as staying:
        put(staying, 0.1)
        with batcher.lane(ALL, 2, first=1) as leaving:
            put(leaving, 0.2, 0.3)
            with pytest.raises(Cancelled, match="enough"):
                leaving.take(stop_between_networks)
        assert len(second.rows) == 1
        found = staying.take(unheard)
    assert fills == [(3, 3)]
    np.testing.assert_array_equal(found, alone(batcher, window(0.1)))


def test_when_all_have_stopped_the_rest_of_their_batch_is_not_run(
    batcher_of: MakeBatcher, shares: type[nn.Module], fills: Fills
) -> None:
    first, second = Watch(), Watch()
    bag = (Acting(shares(0.5, 0.25, 0.125), first), Acting(shares(0.5, 0.25, 0.125), second))
    batcher = batcher_of(*bag, batch_size=2)
    other = ExitStack()

    def both_stop() -> None:
        if first.rows:
            other.close()
            stop()

    with other, batcher.lane(ALL, 1) as leading:
        put(other.enter_context(batcher.lane(ALL, 1, first=1)), 0.2)
        put(leading, 0.1)
        with pytest.raises(Cancelled):
            leading.take(both_stop)
    assert first.rows == [[0.1, 0.2]]
    assert (second.rows, fills) == ([], [])


def test_what_a_song_leaves_behind_is_not_run(batcher_of: MakeBatcher, shares: type[nn.Module]) -> None:
    watch = Watch()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), watch), batch_size=3)
    with batcher.lane(ALL, 2) as leaving:
        put(leaving, 0.1, 0.2)
    alone(batcher, window(0.3))
    assert watch.rows == [[0.3, 0.0, 0.0]]


def test_streams_that_are_stopped_leave_the_others_as_they_are(
    model_of: MakeModel, source: MakeSource, pool: ThreadPoolExecutor, small_htdemucs: HTDemucs
) -> None:
    model = model_of(small_htdemucs, segment_samples=SEGMENT_SAMPLES)
    separator = Separator(model, device="cpu", precision="fp32", batch_size=4)
    songs = [source(noise(n_samples)) for n_samples in (80_000, 110_000, 120_000, 140_000)]

    def stopped_at(fraction: float, song: AudioSource) -> Samples | Cancelled:
        def report(done: float) -> None:
            if done >= fraction:
                stop()

        try:
            return np.concatenate(list(separator.stream(song, report)), axis=-1)
        except Cancelled as stopped:
            return stopped

    found = list(pool.map(stopped_at, (2.0, 0.3, 2.0, 0.6), songs))
    assert [isinstance(samples, Cancelled) for samples in found] == [False, True, False, True]
    single = Separator(model, device="cpu", precision="fp32", batch_size=4)
    for index in (0, 2):
        np.testing.assert_array_equal(found[index], everything(single, songs[index]))


def test_out_of_memory_halves_the_batch_for_good(
    model_of: MakeModel, source: MakeSource, pool: ThreadPoolExecutor, small_htdemucs: HTDemucs
) -> None:
    memory, told = SmallMemory(room=3), []
    model = model_of(Acting(small_htdemucs, memory), segment_samples=SEGMENT_SAMPLES)
    separator = Separator(model, device="cpu", precision="fp32", batch_size=8, on_batch=lambda *fill: told.append(fill))
    songs = [source(noise(n_samples)) for n_samples in (120_000, 50_000, 90_000)]
    found = list(pool.map(partial(everything, separator), songs))
    assert {size for _, size in told} == {2}  # 8, 4, 2
    assert sum(n_segments for n_segments, _ in told) == 4 + 2 + 3
    memory.room = 8
    found.append(everything(separator, songs[0]))
    assert {size for _, size in told} == {2}
    model = model_of(Acting(small_htdemucs, Watch()), segment_samples=SEGMENT_SAMPLES)
    single = Separator(model, device="cpu", precision="fp32", batch_size=2)
    for song, samples in zip((*songs, songs[0]), found, strict=True):
        np.testing.assert_array_equal(samples, everything(single, song))


def test_segments_that_memory_had_no_room_for_keep_their_order(
    batcher_of: MakeBatcher, shares: type[nn.Module], fills: Fills
) -> None:
    memory = SmallMemory(room=1)
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), memory), batch_size=2)
    with batcher.lane(ALL, 1) as leading, batcher.lane(ALL, 2) as other:
        put(leading, 0.1)
        put(other, 0.2, 0.3)  # only the second one's row is free
        for lane in (leading, other, other):
            lane.take(unheard)
    assert memory.rows == [[0.1], [0.2], [0.3]]
    assert fills == [(1, 1)] * 3


def test_no_memory_for_even_one_segment(batcher_of: MakeBatcher, shares: type[nn.Module]) -> None:
    memory = SmallMemory(room=0)
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), memory), batch_size=3)
    with pytest.raises(OutOfMemory, match="not enough free memory to separate even one segment") as raised:
        alone(batcher, window(0.1))
    assert raised.value.retryable
    assert batcher.batch_size == 1
    memory.room = 1
    assert alone(batcher, window(0.1)).shape == (3, 2, SEGMENT_SAMPLES)


def test_only_the_segment_that_is_no_number_is_run_again(
    batcher_of: MakeBatcher, small_htdemucs: HTDemucs, fills: Fills
) -> None:
    watch = NotNumbers(always=False)
    batcher = batcher_of(Acting(small_htdemucs, watch), batch_size=3, dtype=torch.bfloat16)
    with batcher.lane(ALL, 3) as lane:
        put(lane, 0.1)
        lane.put(marked(0.2))
        put(lane, 0.3)
        found = [lane.take(unheard) for _ in range(3)]
    assert watch.rows == [[0.1, 0.2, 0.3], [0.2]]
    assert fills == [(3, 3)]
    np.testing.assert_array_equal(found[2], alone(batcher, window(0.3), row=2))
    precise = batcher_of(Acting(small_htdemucs, Watch()), batch_size=1, dtype=torch.float32)
    np.testing.assert_array_equal(found[1], alone(precise, marked(0.2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_not_even_a_number_in_float32(batcher_of: MakeBatcher, shares: type[nn.Module], dtype: torch.dtype) -> None:
    watch = NotNumbers(always=True)
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), watch), batch_size=2, dtype=dtype)
    with batcher.lane(ALL, 1) as other, batcher.lane(ALL, 1, first=1) as broken:
        put(other, 0.1)
        broken.put(marked(0.2))
        found = other.take(unheard)
        with pytest.raises(ModelError, match="stemscribe models verify small"):
            broken.take(unheard)
    assert [len(rows) for rows in watch.rows] == ([2] if dtype == torch.float32 else [2, 1])
    np.testing.assert_array_equal(found, alone(batcher, window(0.1)))


def test_a_segment_that_makes_a_batch_fail_fails_alone(
    batcher_of: MakeBatcher, shares: type[nn.Module], fills: Fills
) -> None:
    watch = Crash()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), watch), batch_size=3)
    with batcher.lane(ALL, 1) as crashing, batcher.lane(ALL, 2, first=1) as other:
        crashing.put(marked(0.1))
        put(other, 0.2, 0.3)
        found = [other.take(unheard) for _ in range(2)]
        with pytest.raises(RuntimeError, match="a kernel failed"):
            crashing.take(unheard)
    assert fills == [(1, 3), (1, 3)]
    for row, samples in enumerate(found, start=1):
        np.testing.assert_array_equal(samples, alone(batcher, window(0.1 * (row + 1)), row=row))
