"""How many tasks a key may have, how fast, and what they cost: limits that concurrent requests cannot pass together."""

import asyncio
import dataclasses
import math

import pytest

from service.context import Context
from service.db.models import ApiKey, Task, TaskKind
from service.errors import Conflict, PaymentRequired, TooManyRequests
from service.prices import Price, credits, parse_prices
from service.settings import Settings, SettingsError
from service.store.admission import Limits, take_token
from service.store.records import NewFile, NewTask, NewTrack, Outcome
from support.clock import ManualClock


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(
        settings, rate_limit_tasks=5, rate_limit_seconds=10, max_tasks_in_flight=8, prices="separation=2+1.5/min, wav=1"
    )


async def make(context: Context, key: ApiKey, kind: TaskKind = TaskKind.SEPARATION, **more: object) -> Task:
    return await context.store.tasks.create(NewTask(key_id=key.id, kind=kind, **more))  # type: ignore[arg-type]


async def finish(context: Context, *, well: bool = True) -> None:
    claim = await context.store.leases.claim("worker")
    assert claim is not None
    if well:
        await context.store.leases.succeed(claim, Outcome())
    else:
        await context.store.leases.fail(claim, 422, "corrupt_audio", "Broken.")


async def spent(context: Context, key: ApiKey) -> int:
    """What the key has spent; the ledger must say the same."""
    now = (await context.store.keys.get(key.id)).credits_spent
    assert now == sum(entry.amount for entry in await context.store.keys.ledger(key.id))
    return now


async def refused(context: Context, key: ApiKey) -> TooManyRequests:
    with pytest.raises(TooManyRequests) as caught:
        await make(context, key)
    return caught.value


async def test_the_bucket_empties_and_fills_up_again(context: Context, key: ApiKey, clock: ManualClock) -> None:
    for _ in range(5):
        await make(context, key)
    error = await refused(context, key)
    assert error.message == "More than 5 new tasks in 10 s, this key's limit."
    assert error.headers == {"Retry-After": "2"}
    clock.advance(1.9)
    await refused(context, key)
    clock.advance(0.1)
    await make(context, key)
    await refused(context, key)
    for _ in range(6):
        await finish(context)
    clock.advance(3600)  # fills up to its brim, not beyond
    for _ in range(5):
        await make(context, key)
    await refused(context, key)


@pytest.mark.parametrize("size", range(1, 201))
def test_a_bucket_of_any_size_holds_exactly_so_many(size: int) -> None:
    now_ms = ManualClock().now_ms()
    limits = Limits(rate_tasks=0, rate_seconds=10, in_flight=0, prices={})
    key = ApiKey(rate_limit=size, bucket_full_us=0)
    for _ in range(size):
        take_token(key, limits, now_ms)
    with pytest.raises(TooManyRequests):
        take_token(key, limits, now_ms)
    later_ms = now_ms + math.ceil(10_000 / size)  # one has come back
    take_token(key, limits, later_ms)
    with pytest.raises(TooManyRequests):
        take_token(key, limits, later_ms)


async def test_other_limits_leave_the_bucket_as_it_is(context: Context, key: ApiKey) -> None:
    for _ in range(5):
        await make(context, key)
    await context.store.keys.set_limits(key.id, {"credit_limit": 1_000_000, "in_flight_limit": 50})
    await refused(context, key)
    await context.store.keys.set_limits(key.id, {"rate_limit": 6})
    await make(context, key)


async def test_a_limit_of_the_key_s_own_wins(context: Context, key: ApiKey) -> None:
    assert await context.store.keys.set_limits(key.id, {"rate_limit": 2}) == 1
    await make(context, key)
    await make(context, key)
    assert "More than 2 new tasks" in (await refused(context, key)).message
    await context.store.keys.set_limits(key.id, {"rate_limit": 0, "in_flight_limit": 3})
    await make(context, key)
    assert (await refused(context, key)).message == "This key has 3 tasks in flight, which is its limit."
    await finish(context)
    await make(context, key)


async def test_tasks_in_flight_are_counted_across_concurrent_requests(context: Context, key: ApiKey) -> None:
    await context.store.keys.set_limits(key.id, {"rate_limit": 0})
    made = await asyncio.gather(*(make(context, key) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(item, Task) for item in made) == 8
    assert sum(isinstance(item, TooManyRequests) for item in made) == 12


async def test_another_key_s_tasks_count_for_nothing(context: Context, key: ApiKey) -> None:
    other = await context.store.keys.create("other", "digest", "hint")
    for _ in range(5):
        await make(context, key)
    await make(context, other)


async def test_credits_are_charged_and_refused_when_they_do_not_suffice(context: Context, key: ApiKey) -> None:
    await context.store.keys.set_limits(key.id, {"credit_limit": 10_000})
    task = await make(context, key, audio_s=120.0)
    assert task.credits == 5000
    await make(context, key, TaskKind.WAV)
    with pytest.raises(PaymentRequired, match="this takes 5, and 4 are left"):
        await make(context, key, audio_s=120.0)
    await make(context, key, TaskKind.MIDI)  # free: no price
    assert await spent(context, key) == 6000


async def test_concurrent_requests_cannot_overspend(context: Context, key: ApiKey) -> None:
    await context.store.keys.set_limits(key.id, {"credit_limit": 7000, "rate_limit": 0, "in_flight_limit": 0})
    made = await asyncio.gather(*(make(context, key) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(item, Task) for item in made) == 3
    assert sum(isinstance(item, PaymentRequired) for item in made) == 17
    assert await spent(context, key) == 6000


async def test_what_came_to_nothing_is_refunded_once(context: Context, key: ApiKey, clock: ManualClock) -> None:
    await make(context, key, audio_s=60.0)
    await finish(context, well=False)
    assert await spent(context, key) == 0
    cancelled = await make(context, key)
    assert await context.store.leases.cancel(cancelled.id)
    assert not await context.store.leases.cancel(cancelled.id)
    assert await spent(context, key) == 0
    lost = await make(context, key)
    for _ in range(3):
        assert await context.store.leases.claim("dies") is not None
        clock.advance(31)
        await context.store.leases.reap()
    failed = await context.store.tasks.find(key.id, lost.id)
    assert failed is not None
    assert (failed.status, failed.error_name, failed.credits) == ("failed", "worker_lost", 0)
    assert await spent(context, key) == 0
    await make(context, key)
    await finish(context)
    assert await spent(context, key) == 2000


async def test_a_length_known_only_later_is_charged_then(context: Context, key: ApiKey) -> None:
    await context.store.keys.set_limits(key.id, {"credit_limit": 6000})
    file = NewFile("source", "song.wav", "audio/wav", "tasks/aa/source.wav", 10, "00" * 32)
    for track_id, audio_s in (("one", 120.0), ("two", 60.0)):
        await make(context, key, source_track_id=track_id)
        claim = await context.store.leases.claim("worker")
        assert claim is not None
        if track_id == "one":
            await context.store.leases.add_source(claim, NewTrack(file, None, audio_s))
            assert await spent(context, key) == 5000
            await context.store.leases.fail(claim, 422, "corrupt_audio", "Broken.")
            await context.store.keys.set_limits(key.id, {"credit_limit": 3000})
        else:
            with pytest.raises(PaymentRequired, match=r"this takes 1\.5, and 1 are left"):
                await context.store.leases.add_source(claim, NewTrack(file, None, audio_s))
            await context.store.leases.fail(claim, 402, "insufficient_credits", "Not enough.")
        assert await spent(context, key) == 0


async def test_once_means_once(context: Context, key: ApiKey) -> None:
    new = NewTask(key_id=key.id, kind=TaskKind.WAV, source_track_id="track")
    made = await asyncio.gather(*(context.store.tasks.create(new, once=True) for _ in range(5)), return_exceptions=True)
    [task] = [item for item in made if isinstance(item, Task)]
    assert sum(isinstance(item, Conflict) and task.id in item.message for item in made) == 4
    await finish(context, well=False)
    again = await context.store.tasks.create(new, once=True)  # the first came to nothing
    await finish(context)
    with pytest.raises(Conflict, match=again.id):
        await context.store.tasks.create(new, once=True)


async def test_a_promised_id_is_made_once_and_charged_once(context: Context, key: ApiKey) -> None:
    new = NewTask(key_id=key.id, kind=TaskKind.SEPARATION, task_id="ab" * 16)
    made = await asyncio.gather(*(context.store.tasks.create(new) for _ in range(10)))
    assert {task.id for task in made} == {"ab" * 16}
    assert await spent(context, key) == 2000


def test_price_lists() -> None:
    prices = parse_prices(" separation=1 , midi=0.5+2.25/min,key_bpm=3")
    assert prices[TaskKind.KEY_BPM] == Price(3000, 0)
    assert prices[TaskKind.SEPARATION] == Price(1000, 0)
    assert prices[TaskKind.MIDI] == Price(500, 2250)
    assert prices[TaskKind.WAV] == Price(0, 0)
    assert prices[TaskKind.MIDI].of(None) == 500
    assert prices[TaskKind.MIDI].of(90) == 500 + 3375
    assert [credits(milli) for milli in (0, 1000, 1500, -2000)] == [0, 1, 1.5, -2]


@pytest.mark.parametrize(
    "text", ["midi", "midi=", "midi=-1", "midi=1/min", "upload=1", "song=1", "midi=1+2/hour", "midi=0.0001"]
)
def test_a_price_list_that_cannot_be_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match="STEMSCRIBE_PRICES"):
        Settings(prices=text)
