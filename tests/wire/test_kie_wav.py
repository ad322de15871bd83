"""``wav``: every field of requests, answers, records and callbacks, and every refusal."""

import asyncio
import dataclasses
import ipaddress
import re
from typing import Any

import pytest

from pipeline.errors import CorruptAudio, ModelMissing
from service.context import Context
from service.keys import create_key
from support.api import CALLBACK, Api
from support.servers import answer, http_server

PATH = "/api/v1/wav/generate"
RECORD_FIELDS = {
    "taskId", "musicId", "callbackUrl", "musicIndex", "completeTime", "createTime", "successFlag", "response",
    "errorCode", "errorMessage", "progress", "stage",
}  # fmt: skip


async def generate(api: Api, source: dict[str, str], callback_url: str = CALLBACK) -> dict[str, Any]:
    return await api.post(PATH, {**source, "callBackUrl": callback_url})


async def converted(api: Api, callback_url: str = CALLBACK) -> dict[str, Any]:
    task_id = (await generate(api, api.source(await api.upload()), callback_url))["data"]["taskId"]
    await api.work()
    return await api.record("wav", task_id)


async def test_the_whole_way_of_a_conversion(api: Api) -> None:
    separation = await api.separated()
    stem = separation["response"]["originData"][0]
    made = await generate(api, {"taskId": separation["taskId"], "audioId": stem["id"]})
    assert (made["code"], made["msg"]) == (200, "success")
    assert set(made["data"]) == {"taskId"}
    task_id = made["data"]["taskId"]
    waiting = await api.record("wav", task_id)
    assert set(waiting) == RECORD_FIELDS
    assert (waiting["successFlag"], waiting["completeTime"], waiting["response"]) == ("PENDING", None, None)
    assert waiting["createTime"] == "2027-01-15 08:00:00"

    api.clock.advance(61)
    await api.work()
    done = await api.record("wav", task_id)
    assert (done["successFlag"], done["errorCode"], done["errorMessage"]) == ("SUCCESS", None, None)
    assert (done["musicId"], done["musicIndex"], done["callbackUrl"]) == (stem["id"], 0, CALLBACK)
    assert (done["createTime"], done["completeTime"]) == ("2027-01-15 08:00:00", "2027-01-15 08:01:01")
    assert set(done["response"]) == {"audioWavUrl"}
    assert re.search(r"/drums\.wav\?", done["response"]["audioWavUrl"])
    assert (await api.get_bytes(done["response"]["audioWavUrl"])).startswith(b"RIFF")

    body = await api.callback_body(task_id)
    assert body == {
        "code": 200,
        "msg": "success",
        "data": {"audioWavUrl": done["response"]["audioWavUrl"], "task_id": task_id},
    }


async def test_a_track_is_converted_once(api: Api) -> None:
    source = api.source(await api.upload())
    first = await generate(api, source)
    task_id = first["data"]["taskId"]
    for _ in range(2):  # while it is being made, and when it is there
        again = await generate(api, source)
        assert again == {"code": 409, "msg": f"This exists already: task {task_id}.", "data": None}
        await api.work()
    api.clock.advance(14 * 24 * 3600 + 1)
    assert (await generate(api, source))["msg"] == "Record does not exist"


async def test_many_at_once_make_one(api: Api) -> None:
    source = api.source(await api.upload())
    answers = await asyncio.gather(*(generate(api, source) for _ in range(8)))
    assert sorted(answer["code"] for answer in answers) == [200] + 7 * [409]


async def test_one_that_failed_or_was_cancelled_may_be_tried_again(api: Api) -> None:
    source = api.source(await api.upload())
    api.pipeline.during = _corrupt
    failed = (await generate(api, source))["data"]["taskId"]
    await api.work()
    record = await api.record("wav", failed)
    assert (record["successFlag"], record["errorCode"], record["response"]) == ("CREATE_TASK_FAILED", 422, None)
    assert await api.callback_body(failed) == {
        "code": 500,
        "msg": "WAV conversion failed",
        "data": {"audioWavUrl": None, "task_id": failed},
    }
    cancelled = (await generate(api, source))["data"]["taskId"]
    await api.context.store.leases.cancel(cancelled)
    record = await api.record("wav", cancelled)
    assert (record["successFlag"], record["errorCode"]) == ("GENERATE_WAV_FAILED", 501)
    assert record["errorMessage"] == "The task was cancelled."
    assert (await generate(api, source))["code"] == 200


async def test_a_failure_of_ours_says_so(api: Api) -> None:
    api.pipeline.during = _broken
    done = await converted(api)
    assert (done["successFlag"], done["errorCode"]) == ("GENERATE_WAV_FAILED", 501)


def _corrupt(_: Any) -> None:
    raise CorruptAudio("The file breaks off at 12.3 s of 180.0 s.")


def _broken(_: Any) -> None:
    raise ModelMissing("The weights are missing.")


async def test_callback_exception_when_every_delivery_failed(api: Api) -> None:
    allow = (ipaddress.ip_network("127.0.0.0/8"),)
    api.context.settings = dataclasses.replace(api.context.settings, allow_addresses=allow)
    with http_server(lambda handler, _: answer(handler, 500)) as base:
        done = await converted(api, callback_url=base)
        await api.exhaust_callback()
    after = await api.record("wav", done["taskId"])
    assert after["successFlag"] == "CALLBACK_EXCEPTION"
    assert after["response"] == done["response"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"callBackUrl": None}, "Please enter callBackUrl."),
        ({"callBackUrl": "http://127.0.0.1/x"}, "not a public one"),
        ({"taskId": None}, "taskId is required beside audioId."),
        ({"audioId": None}, "audioId is required beside taskId."),
        ({"taskId": "f" * 32}, "Record does not exist"),
        ({"audioId": "00000000-0000-0000-0000-000000000000"}, "Record does not exist"),
        ({"audioId": "\x00"}, "Record does not exist"),
        ({"audioId": 7}, "audioId"),
    ],
)
async def test_refusals_name_the_field(api: Api, changes: dict[str, Any], message: str) -> None:
    body = {**api.source(await api.upload()), "callBackUrl": CALLBACK, **changes}
    refused = await api.post(PATH, body)
    assert (refused["code"], refused["data"]) == (422, None)
    assert message in refused["msg"]


async def test_what_is_not_there_and_what_is_anothers(api: Api, context: Context) -> None:
    assert (await api.get("/api/v1/wav/record-info"))["msg"] == "taskId is required."
    separation = await api.separated()
    for task_id in ("f" * 32, "\x00", separation["taskId"]):
        unknown = await api.get("/api/v1/wav/record-info", taskId=task_id)
        assert unknown == {"code": 404, "msg": "Record does not exist", "data": None}
    done = await converted(api)
    stranger = {"Authorization": f"Bearer {await create_key(context, 'stranger')}"}
    shown = await api.http.get("/api/v1/wav/record-info", params={"taskId": done["taskId"]}, headers=stranger)
    assert shown.json()["code"] == 404
    api.clock.advance(14 * 24 * 3600 + 1)
    assert (await api.get("/api/v1/wav/record-info", taskId=done["taskId"]))["code"] == 404
