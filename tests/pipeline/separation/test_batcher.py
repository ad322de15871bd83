"""Segments of several songs in one batch: they share it fairly, and none of them notices the others."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
from demucs.htdemucs import HTDemucs
from torch import nn

from pipeline.separation.separator import Separator
from support.batching import (
    ALL,
    LONG_S,
    SEGMENT_SAMPLES,
    Acting,
    Fills,
    Gate,
    LateRiser,
    MakeBatcher,
    MakeModel,
    MakeSource,
    NotNumbers,
    Watch,
    alone,
    everything,
    marked,
    noise,
    put,
    unheard,
    window,
)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_songs_at_once_come_out_as_each_alone(
    model_of: MakeModel,
    source: MakeSource,
    pool: ThreadPoolExecutor,
    small_htdemucs: HTDemucs,
    batch_size: int,
    precision: str,
) -> None:
    model = model_of(small_htdemucs, segment_samples=SEGMENT_SAMPLES)
    songs = [source(noise(n_samples)) for n_samples in (120_000, 1000, 90_000, 50_001)]
    stems = [None, None, ("vocals",), ("other", "drums")]
    told: Fills = []
    together, single = (
        Separator(model, device="cpu", precision=precision, batch_size=batch_size, on_batch=on_batch)
        for on_batch in (lambda *fill: told.append(fill), None)
    )
    found = list(pool.map(partial(everything, together), songs, stems))
    for song, names, samples in zip(songs, stems, found, strict=True):
        np.testing.assert_array_equal(samples, everything(single, song, names))
    assert sum(n_segments for n_segments, _ in told) == 4 + 1 + 3 + 2
    assert {size for _, size in told} == {batch_size}


def test_a_song_alone_fills_its_batches_and_wastes_only_its_tail(
    model_of: MakeModel, source: MakeSource, shares: type[nn.Module]
) -> None:
    watch, told = Watch(), []
    model = model_of(Acting(shares(0.5, 0.25, 0.125), watch), segment_samples=SEGMENT_SAMPLES)
    separator = Separator(model, device="cpu", batch_size=4, on_batch=lambda *fill: told.append(fill))
    everything(separator, source(noise(300_000)))  # ten segments
    assert told == [(4, 4), (4, 4), (2, 4)]
    assert [len(rows) for rows in watch.rows] == [4, 4, 4]


def test_segments_of_several_songs_share_a_batch(
    batcher_of: MakeBatcher, small_htdemucs: HTDemucs, fills: Fills
) -> None:
    batcher = batcher_of(small_htdemucs, batch_size=3)
    with batcher.lane(ALL, 2) as one, batcher.lane((1,), 1, first=5) as other:
        put(one, 0.1, 0.2)
        put(other, 0.3)
        found = [lane.take(unheard) for lane in (other, one, one)]
    assert fills == [(3, 3)]
    np.testing.assert_array_equal(found[0], alone(batcher, window(0.3), (1,), row=2))
    np.testing.assert_array_equal(found[2], alone(batcher, window(0.2), row=1))


def test_a_row_that_several_songs_need_is_given_in_turns(
    batcher_of: MakeBatcher, shares: type[nn.Module], fills: Fills
) -> None:
    watch = Watch()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), watch), batch_size=2)
    with batcher.lane(ALL, 2) as one, batcher.lane(ALL, 1, first=4) as other:
        put(one, 0.1, 0.2)
        put(other, 0.3)
        other.take(unheard)
        one.take(unheard)
        one.take(unheard)
    assert watch.rows == [[0.3, 0.2], [0.1, 0.0]]
    assert fills == [(2, 2), (1, 2)]


def test_songs_take_turns_in_batches(batcher_of: MakeBatcher, shares: type[nn.Module]) -> None:
    watch = Watch()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), watch), batch_size=3)
    with ExitStack() as lanes:
        long, *short = (lanes.enter_context(batcher.lane(ALL, 9, first)) for first in (0, 1, 2, 2, 0))
        put(long, *(0.01 * index for index in range(1, 8)))
        for index, lane in enumerate(short, start=1):
            put(lane, 0.1 * index)
        for _ in range(3):
            long.take(unheard)
    # Its own first, as its thread is waiting; then those who were never served, the oldest first.
    assert watch.rows == [[0.01, 0.1, 0.2], [0.4, 0.02, 0.3], [0.04, 0.05, 0.03]]


def test_a_song_that_comes_late_is_not_starved(
    batcher_of: MakeBatcher, shares: type[nn.Module], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), gate), batch_size=1)

    def long_song() -> None:
        with batcher.lane(ALL, 20) as lane:
            for index in range(20):
                put(lane, 0.01 * (index + 1))
                lane.take(unheard)

    waiting = threading.Semaphore(0)

    def late_song() -> None:
        with batcher.lane(ALL, 1) as lane:
            put(lane, 0.9)
            lane.take(waiting.release)

    running = [pool.submit(long_song)]
    assert gate.arrived.acquire(timeout=LONG_S)
    running.append(pool.submit(late_song))
    for _ in range(2):  # as it starts to wait, and again while it does
        assert waiting.acquire(timeout=LONG_S)
    gate.open()
    for song in running:
        song.result(LONG_S)
    assert gate.rows.index([0.9]) <= 2
    assert len(gate.rows) == 21


def test_threads_lead_in_turns(batcher_of: MakeBatcher, shares: type[nn.Module], pool: ThreadPoolExecutor) -> None:
    """With batches of one, no song gets far ahead of another."""
    watch = Watch()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), watch), batch_size=1)
    together = threading.Barrier(4)

    def song(number: int) -> None:
        with batcher.lane(ALL, 12) as lane:
            together.wait(LONG_S)
            for _ in range(12):
                put(lane, 0.1 * number)
                lane.take(unheard)

    list(pool.map(song, range(1, 5)))
    order = [rows[0] for rows in watch.rows]
    assert sorted(order) == sorted([0.1, 0.2, 0.3, 0.4] * 12)
    for number in (0.1, 0.2, 0.3, 0.4):
        half_done = [index for index, value in enumerate(order) if value == number][6]
        assert half_done < 36  # of 48: in strict turns it is 24 to 27


def test_who_has_not_noticed_its_outcome_yet_does_not_hold_up_the_next(
    batcher_of: MakeBatcher, shares: type[nn.Module], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    batcher = batcher_of(Acting(shares(0.5, 0.25, 0.125), gate), batch_size=2)
    batcher._changed = riser = LateRiser("late")
    first = pool.submit(alone, batcher, window(0.1))
    assert gate.arrived.acquire(timeout=LONG_S)
    with batcher.lane(ALL, 1) as leading, batcher.lane(ALL, 1, first=1) as late:
        put(leading, 0.2)
        put(late, 0.3)
        thread = threading.Thread(target=late.take, args=(unheard,), name="late")
        thread.start()
        assert riser.asleep.wait(LONG_S)
        gate.open()
        leading.take(unheard)
        try:
            pool.submit(alone, batcher, window(0.4)).result(LONG_S / 4)
        finally:
            riser.let.set()
            thread.join()
    first.result(LONG_S)
    assert gate.rows == [[0.1, 0.0], [0.2, 0.3], [0.4, 0.0]]


def test_networks_run_for_those_who_want_their_stems(batcher_of: MakeBatcher, shares: type[nn.Module]) -> None:
    first, second = Watch(), NotNumbers(always=True)  # what it gives of a segment that does not want it is not seen
    bag = (Acting(shares(0.5, 0.25, 0.125), first), Acting(shares(0.5, 0.25, 0.125), second))
    batcher = batcher_of(*bag, batch_size=2, weights=((1.0, 1.0, 0.0), (0.0, 2.0, 1.0)))
    with batcher.lane((0,), 1) as one, batcher.lane((2, 1), 1, first=1) as other:
        one.put(marked(0.1))
        put(other, 0.2)
        found = [one.take(unheard), other.take(unheard)]
    assert len(first.rows) == len(second.rows) == 1
    np.testing.assert_array_equal(found[0], alone(batcher, marked(0.1), (0,)))
    assert (len(first.rows), len(second.rows)) == (2, 1)
    np.testing.assert_array_equal(found[1][0], 0.125 * window(0.2))


def test_a_batch_waits_for_a_song_that_is_about_to_put_something(
    batcher_of: MakeBatcher, shares: type[nn.Module], pool: ThreadPoolExecutor, fills: Fills
) -> None:
    batcher = batcher_of(shares(0.5, 0.25, 0.125), batch_size=2, filling_s=LONG_S)
    told = threading.Event()
    with batcher.lane(ALL, 1) as coming, batcher.lane(ALL, 1, first=1) as waiting:
        put(waiting, 0.1)
        first = pool.submit(waiting.take, told.set)
        assert told.wait(LONG_S)
        assert not first.done()
        put(coming, 0.2)
        first.result(LONG_S)
        coming.take(unheard)
    assert fills == [(2, 2)]


def test_a_batch_waits_for_nobody_who_leaves_or_has_nothing_more(
    batcher_of: MakeBatcher, shares: type[nn.Module], pool: ThreadPoolExecutor, fills: Fills
) -> None:
    batcher = batcher_of(shares(0.5, 0.25, 0.125), batch_size=3, filling_s=LONG_S)
    with batcher.lane(ALL, 1) as done, ExitStack() as later:
        put(done, 0.1)
        done.take(unheard)
        waiting = later.enter_context(batcher.lane(ALL, 2))
        put(waiting, 0.2)
        waiting.take(unheard)  # at once: the other has put all it had
        with batcher.lane(ALL, 1):
            told = threading.Event()
            put(waiting, 0.3)
            last = pool.submit(waiting.take, told.set)
            assert told.wait(LONG_S)
        last.result(LONG_S)
    assert fills == [(1, 3)] * 3


def test_a_batch_does_not_wait_long(batcher_of: MakeBatcher, shares: type[nn.Module], fills: Fills) -> None:
    batcher = batcher_of(shares(0.5, 0.25, 0.125), batch_size=2, filling_s=0.01)
    with batcher.lane(ALL, 1):
        alone(batcher, window(0.1))
    assert fills == [(1, 2)]


def test_room_is_for_one_batch(batcher_of: MakeBatcher, shares: type[nn.Module]) -> None:
    batcher = batcher_of(shares(0.5, 0.25, 0.125), batch_size=3)
    with batcher.lane(ALL, 9) as lane:
        assert lane.room == 3
        put(lane, 0.1, 0.2, 0.3)
        assert lane.room == 0
        lane.take(unheard)
        assert lane.room == 1
