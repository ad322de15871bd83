"""Segments of several songs in one batch: none of them notices the others."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Self

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.source import AudioSource
from pipeline.errors import Cancelled, ModelError, OutOfMemory
from pipeline.models.network import SeparationModel
from pipeline.separation.batcher import Batcher, Lane
from pipeline.separation.networks import Networks
from pipeline.separation.separator import Separator

SEGMENT_SAMPLES = 44_100
ALL = (0, 1, 2)
LONG_S = 60.0  # longer than any test takes
MARK = 50.0  # a window with a sample beyond this is the one that something happens to

Samples = NDArray[np.float32]
Fills = list[tuple[int, int]]
MakeModel = Callable[..., SeparationModel]
MakeSource = Callable[..., AudioSource]
MakeBatcher = Callable[..., Batcher]


class Watch:
    """Runs a network and keeps the first sample of every row that it was given."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        self.rows.append([round(value, 3) for value in mix[:, 0, 0].tolist()])
        return network(mix)

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # separators run copies of their networks


class Gate(Watch):
    """Runs only when it is let; tells when it would."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.let = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        self.arrived.release()
        assert self.let.acquire(timeout=LONG_S)
        return super().__call__(network, mix)

    def open(self) -> None:
        self.let.release(1000)


class SmallMemory(Watch):
    """Has room for only so many segments."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        if len(mix) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB.")
        return super().__call__(network, mix)


class NotNumbers(Watch):
    """Gives NaN for marked windows; only in bfloat16, or always."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.always = always

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        estimate = super().__call__(network, mix)
        if self.always or torch.is_autocast_enabled("cpu"):
            estimate[mix.amax(dim=(1, 2)) > MARK, 0, 0, 7] = torch.nan
        return estimate


class Crash(Watch):
    """Fails where a marked window is in the batch."""

    def __call__(self, network: nn.Module, mix: Tensor) -> Tensor:
        estimate = super().__call__(network, mix)
        if mix.amax() > MARK:
            raise RuntimeError("a kernel failed")
        return estimate


class LateRiser(threading.Condition):
    """One of its threads, once woken up, does nothing until it is let."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.asleep, self.let = threading.Event(), threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name != self.name:
            return super().wait(timeout)
        self.asleep.set()
        woken = super().wait(timeout)
        self.release()
        assert self.let.wait(LONG_S)
        self.acquire()
        return woken


class Acting(nn.Module):
    """A network with something around it."""

    def __init__(self, network: nn.Module, act: Watch) -> None:
        super().__init__()
        self.network, self.act = network, act

    def forward(self, mix: Tensor) -> Tensor:
        return self.act(self.network, mix)


def window(value: float) -> Samples:
    """Noise that begins with a known sample."""
    samples = np.random.default_rng(round(1000 * value)).standard_normal((2, SEGMENT_SAMPLES)).astype(np.float32)
    samples[:, 0] = value
    return samples


def marked(value: float) -> Samples:
    samples = window(value)
    samples[:, 1] = 2 * MARK
    return samples


def unheard() -> None:
    """What is called by a song that nobody stops."""


def stop() -> None:
    raise Cancelled("enough")


@pytest.fixture
def fills() -> Fills:
    """What the observer was told."""
    return []


@pytest.fixture
def batcher_of(model_of: MakeModel, fills: Fills) -> MakeBatcher:
    def make(
        *networks: nn.Module,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        filling_s: float = 0.0,
        **fields: object,
    ) -> Batcher:
        model = model_of(*networks, segment_samples=SEGMENT_SAMPLES, **fields)
        ready = Networks(model, torch.device("cpu"), dtype)
        return Batcher(ready, batch_size, lambda *told: fills.append(told), filling_s=filling_s)

    return make


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def put(lane: Lane, *values: float) -> None:
    for value in values:
        lane.put(window(value))


def alone(batcher: Batcher, samples: Samples, stems: tuple[int, ...] = ALL, *, row: int = 0) -> Samples:
    """What comes of a segment with nothing but silence in its batch."""
    with batcher.lane(stems, 1, row) as lane:
        lane.put(samples)
        return lane.take(unheard)


def everything(separator: Separator, mix: AudioSource, stems: tuple[str, ...] | None = None) -> Samples:
    return np.concatenate(list(separator.stream(mix, stems=stems)), axis=-1)


def noise(n_samples: int) -> Samples:
    return (0.1 * np.random.default_rng(n_samples).standard_normal((2, n_samples))).astype(np.float32)


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
