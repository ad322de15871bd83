"""How much a key may ask for: tasks in a time, tasks at once; of the settings, or of its own."""

import asyncio
import dataclasses
from typing import Any

import httpx
import pytest

from service.context import Context
from service.db.models import ApiKey
from service.keys import create_key
from service.settings import Settings
from support.api import CALLBACK, Api


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, rate_limit_tasks=4, rate_limit_seconds=10, max_tasks_in_flight=6)


async def ask(api: Api, source: dict[str, str], **headers: str) -> httpx.Response:
    body = {**source, "type": "split_stem", "callBackUrl": CALLBACK}
    return await api.http.post("/api/v1/vocal-removal/generate", json=body, headers={**api.headers, **headers})


async def codes(api: Api, source: dict[str, str], n: int) -> list[int]:
    answers = [await ask(api, source) for _ in range(n)]
    assert all(answer.status_code == (429 if answer.json()["code"] == 429 else 200) for answer in answers)
    return [answer.json()["code"] for answer in answers]


async def test_more_than_the_bucket_holds_has_to_wait(api: Api) -> None:
    source = api.source(await api.upload())
    assert await codes(api, source, 4) == 4 * [200]
    refused = await ask(api, source)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "3"  # a task every 2.5 s
    assert refused.json() == {"code": 429, "msg": "More than 4 new tasks in 10 s, this key's limit.", "data": None}
    api.clock.advance(3)
    assert await codes(api, source, 2) == [200, 429]
    api.clock.advance(10)
    await api.work()
    assert await codes(api, source, 5) == [200, 200, 200, 200, 429]


async def test_every_kind_of_task_counts_and_polls_do_not(api: Api) -> None:
    done = await api.separated()
    source = {"taskId": done["taskId"], "audioId": done["response"]["originData"][0]["id"]}
    midi = {"taskId": done["taskId"], "callBackUrl": CALLBACK}
    assert (await api.post("/api/v1/midi/generate", midi))["code"] == 200
    assert (await api.post("/api/v1/wav/generate", {**source, "callBackUrl": CALLBACK}))["code"] == 200
    job: dict[str, Any] = {"model": "ai-music-api/generate-midi-from-audio", "input": {"task_id": done["taskId"]}}
    assert (await api.post("/api/v1/jobs/createTask", job))["code"] == 200
    assert (await api.post("/api/v1/midi/generate", midi))["code"] == 429
    assert (await api.post("/api/v1/jobs/createTask", job))["code"] == 429
    for _ in range(10):
        assert (await api.record("vocal-removal", done["taskId"]))["successFlag"] == "SUCCESS"
        await api.upload()


async def test_many_at_once_get_no_more_than_the_limit(api: Api) -> None:
    source = api.source(await api.upload())
    answers = await asyncio.gather(*(ask(api, source) for _ in range(12)))
    assert sorted(answer.json()["code"] for answer in answers) == 4 * [200] + 8 * [429]


async def test_tasks_in_flight(api: Api) -> None:
    source = api.source(await api.upload())
    assert await codes(api, source, 4) == 4 * [200]
    api.clock.advance(10)
    assert await codes(api, source, 2) == 2 * [200]
    refused = await ask(api, source)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "5"
    assert refused.json()["msg"] == "This key has 6 tasks in flight, which is its limit."
    await api.work()
    assert await codes(api, source, 1) == [200]


async def test_a_cancelled_task_makes_room(api: Api, key: ApiKey) -> None:
    await api.context.store.keys.set_limits(key.id, {"in_flight_limit": 1})
    source = api.source(await api.upload())
    first = (await ask(api, source)).json()["data"]["taskId"]
    assert await codes(api, source, 1) == [429]
    await api.context.store.leases.cancel(first)
    assert await codes(api, source, 1) == [200]


async def test_a_refused_task_costs_nothing_of_the_rate(api: Api, key: ApiKey) -> None:
    await api.context.store.keys.set_limits(key.id, {"credit_limit": 0})
    source = api.source(await api.upload())
    assert await codes(api, source, 6) == 6 * [402]
    await api.context.store.keys.set_limits(key.id, {"credit_limit": None})
    assert await codes(api, source, 5) == [200, 200, 200, 200, 429]


async def test_a_key_can_have_limits_of_its_own(api: Api, key: ApiKey) -> None:
    source = api.source(await api.upload())
    await api.context.store.keys.set_limits(key.id, {"rate_limit": 1})
    assert await codes(api, source, 2) == [200, 429]
    await api.context.store.keys.set_limits(key.id, {"rate_limit": 0, "in_flight_limit": 0})  # none at all
    assert await codes(api, source, 8) == 8 * [200]
    await api.context.store.keys.set_limits(key.id, {"rate_limit": None})
    assert await codes(api, source, 5) == [200, 200, 200, 200, 429]


async def test_one_keys_limit_is_not_anothers(api: Api, context: Context) -> None:
    source = api.source(await api.upload())
    assert await codes(api, source, 5) == [200, 200, 200, 200, 429]
    api.token = await create_key(context, "other")
    assert await codes(api, api.source(await api.upload()), 5) == [200, 200, 200, 200, 429]


async def test_a_repeat_is_not_counted_again(api: Api) -> None:
    source = api.source(await api.upload())
    answers = [(await ask(api, source, **{"Idempotency-Key": "k"})).json() for _ in range(10)]
    assert {answer["data"]["taskId"] for answer in answers} == {answers[0]["data"]["taskId"]}
    assert await codes(api, source, 4) == [200, 200, 200, 429]
    refused = await ask(api, source, **{"Idempotency-Key": "later"})
    assert refused.status_code == 429
    api.clock.advance(10)
    assert (await ask(api, source, **{"Idempotency-Key": "later"})).json()["code"] == 200
