"""``jobs``: every kind of task by the name of its model, in one record, with errors in the client's own spelling."""

import json
from typing import Any

import pytest

from pipeline.errors import ModelMissing
from support.api import CALLBACK, Api

SEPARATE = "ai-music-api/separate-vocals"
MIDI = "ai-music-api/generate-midi-from-audio"
WAV = "ai-music-api/convert-to-wav-format"
RECORD_FIELDS = {
    "taskId", "model", "state", "param", "resultJson", "failCode", "failMsg", "costTime", "completeTime", "createTime",
}  # fmt: skip


async def create(api: Api, model: Any, **body: Any) -> dict[str, Any]:
    return await api.post("/api/v1/jobs/createTask", {"model": model, **body})


async def created(api: Api, model: str, **body: Any) -> str:
    answer = await create(api, model, **body)
    assert (answer["code"], answer["msg"]) == (200, "success"), answer
    assert set(answer["data"]) == {"taskId", "recordId"}
    assert answer["data"]["taskId"] == answer["data"]["recordId"]
    return str(answer["data"]["taskId"])


async def show(api: Api, task_id: str) -> dict[str, Any]:
    answer = await api.get("/api/v1/jobs/recordInfo", taskId=task_id)
    assert (answer["code"], answer["msg"]) == (200, "success")
    assert set(answer["data"]) == RECORD_FIELDS
    data: dict[str, Any] = answer["data"]
    return data


async def source(api: Api) -> dict[str, str]:
    uploaded = await api.upload()
    return {"task_id": uploaded["taskId"], "audio_id": uploaded["audioId"]}


async def test_the_whole_way_of_a_separation(api: Api) -> None:
    given = {**await source(api), "type": "split_stem"}
    task_id = await created(api, SEPARATE, input=given, callBackUrl=CALLBACK)
    waiting = await show(api, task_id)
    assert (waiting["model"], waiting["state"], waiting["resultJson"]) == (SEPARATE, "waiting", None)
    assert (waiting["failCode"], waiting["failMsg"], waiting["costTime"]) == (None, None, None)
    assert waiting["completeTime"] is None
    assert json.loads(waiting["param"]) == {"model": SEPARATE, "callBackUrl": CALLBACK, "input": given}

    seen: list[str] = []

    def look(_: Any) -> None:
        api.clock.advance(2.5)
        seen.append("working")

    api.pipeline.during = look
    await api.work()
    assert seen == ["working"]
    done = await show(api, task_id)
    assert (done["state"], done["costTime"], done["failCode"], done["failMsg"]) == ("success", 2500, None, None)
    assert done["completeTime"] - done["createTime"] == 2500
    record = await api.record("vocal-removal", task_id)
    assert json.loads(done["resultJson"]) == record["response"]
    assert await api.callback_body(task_id) == {"code": 200, "msg": "success", "data": done}


async def test_a_running_task_is_generating(api: Api) -> None:
    task_id = await created(api, SEPARATE, input=await source(api))
    assert await api.context.store.leases.claim("worker") is not None
    assert (await show(api, task_id))["state"] == "generating"


async def test_a_named_stem(api: Api) -> None:
    given = {**await source(api), "type": "split_stem_advanced", "stem_name": "Snare"}
    task_id = await created(api, SEPARATE, input=given)
    await api.work()
    [item] = json.loads((await show(api, task_id))["resultJson"])["originData"]
    assert item["extract"]["stem_type_group_name"] == "Drums"


async def test_midi_and_wav(api: Api) -> None:
    separation = await created(api, SEPARATE, input={**await source(api), "type": "split_stem"})
    await api.work()
    bass = (await api.record("vocal-removal", separation))["response"]["originData"][1]
    both = {"task_id": separation, "audio_id": bass["id"]}
    midi = await created(api, MIDI, input=both, callBackUrl=CALLBACK)
    wav = await created(api, WAV, input=both, callBackUrl=CALLBACK)
    await api.work()

    shown = await show(api, midi)
    record = await api.record("midi", midi)
    assert (shown["model"], shown["state"]) == (MIDI, "success")
    assert json.loads(shown["resultJson"]) == record["midiData"]
    assert [item["stem"] for item in record["midiData"]["instruments"]] == ["bass"]
    assert (await api.callback_body(midi))["data"] == shown

    shown = await show(api, wav)
    record = await api.record("wav", wav)
    assert (shown["model"], shown["state"]) == (WAV, "success")
    assert json.loads(shown["resultJson"]) == record["response"]
    assert set(record["response"]) == {"audioWavUrl"}
    again = await create(api, WAV, input=both)
    assert again == {"code": 409, "msg": f"This exists already: task {wav}.", "data": None}


async def test_without_a_callback_none_is_owed(api: Api) -> None:
    task_id = await created(api, SEPARATE, input=await source(api))
    await api.work()
    assert (await show(api, task_id))["state"] == "success"
    assert (await api.record("vocal-removal", task_id))["callbackUrl"] is None
    assert await api.context.store.outbox.claim(100, 0) == []


async def test_tasks_of_the_other_routes_are_shown_too(api: Api) -> None:
    uploaded = await api.upload()
    body = {**api.source(uploaded), "stemName": "Kick", "type": "split_stem_advanced", "callBackUrl": CALLBACK}
    task_id = (await api.post("/api/v1/vocal-removal/generate", body))["data"]["taskId"]
    shown = await show(api, task_id)
    assert shown["model"] == SEPARATE
    assert json.loads(shown["param"]) == body
    await api.work()
    assert "code" in await api.callback_body(task_id)  # in the shape of the route that made it
    upload = await api.get("/api/v1/jobs/recordInfo", taskId=uploaded["taskId"])
    assert upload == {"code": 404, "msg": "Record does not exist", "data": None}


async def test_a_request_full_of_junk_is_not_kept(api: Api) -> None:
    given = {**await source(api), "stem_name": "x" * 500_000}
    task_id = await created(api, SEPARATE, input=given)
    assert (await show(api, task_id))["param"] == "{}"


async def test_failed_and_cancelled(api: Api) -> None:
    given = await source(api)
    api.pipeline.during = _broken
    failed = await created(api, SEPARATE, input=given, callBackUrl=CALLBACK)
    await api.work()
    cancelled = await created(api, SEPARATE, input=given, callBackUrl=CALLBACK)
    await api.context.store.leases.cancel(cancelled)

    shown = await show(api, failed)
    assert (shown["state"], shown["failCode"], shown["failMsg"]) == ("fail", "501", "The weights are missing.")
    assert (shown["resultJson"], shown["costTime"]) == (None, 0)
    other = await show(api, cancelled)
    assert (other["state"], other["failCode"], other["failMsg"]) == ("fail", "501", "The task was cancelled.")
    assert other["costTime"] is None  # it never ran
    owed = {item.task_id for item in await api.context.store.outbox.claim(100, 0)}
    assert owed == {failed, cancelled}


async def test_a_failures_callback(api: Api) -> None:
    api.pipeline.during = _broken
    failed = await created(api, SEPARATE, input=await source(api), callBackUrl=CALLBACK)
    await api.work()
    body = await api.callback_body(failed)
    assert body == {"code": 501, "msg": "The weights are missing.", "data": await show(api, failed)}


def _broken(_: Any) -> None:
    raise ModelMissing("The weights are missing.")


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (None, {}, f"model is required: one of {SEPARATE}, {MIDI}, {WAV}."),
        ("suno/v5", {}, f"model must be known, not 'suno/v5': one of {SEPARATE}, {MIDI}, {WAV}."),
        (7, {}, "model"),
        (SEPARATE, {"input": None}, "Give either input.task_id and input.audio_id, or input.audio_url."),
        (SEPARATE, {"input": "{}"}, "input"),
        (SEPARATE, {"input": {"task_id": "f" * 32}}, "input.audio_id is required beside input.task_id."),
        (SEPARATE, {"input": {"audio_id": "x"}}, "input.task_id is required beside input.audio_id."),
        (SEPARATE, {"input": {"task_id": 7}}, "input.task_id"),
        (SEPARATE, {"input": {"audio_url": "nonsense"}}, "input.audio_url must be an http or https URL."),
        (SEPARATE, {"input": {"audio_url": "http://10.0.0.1/x"}}, "input.audio_url: "),
        (SEPARATE, {"input": {"type": "all"}}, "input.type must be one of separate_vocal, split_stem, split_stem_adv"),
        (SEPARATE, {"input": {"transcriber": "magic"}}, "input.transcriber must be one of auto, basic-pitch, not"),
        (SEPARATE, {"input": {"type": "split_stem_advanced"}}, "input.stem_name is required"),
        (SEPARATE, {"input": {"type": "split_stem_advanced", "stem_name": "Oboe"}}, "input.stem_name 'Oboe' is in no"),
        (SEPARATE, {"callBackUrl": "http://127.0.0.1/"}, "callBackUrl: "),
        (MIDI, {}, "input.task_id is required: the id of a completed separation."),
        (MIDI, {"input": {"task_id": "f" * 32}}, "Record does not exist"),
        (WAV, {}, "input.task_id is required beside input.audio_id."),
        (WAV, {"input": {"task_id": "f" * 32, "audio_id": "x"}}, "Record does not exist"),
    ],
)
async def test_refusals_name_the_field_as_it_was_sent(
    api: Api, model: Any, changes: dict[str, Any], message: str
) -> None:
    refused = await create(api, model, **changes)
    assert (refused["code"], refused["data"]) == (422, None), refused
    assert message in refused["msg"]


async def test_an_unknown_record(api: Api) -> None:
    assert (await api.get("/api/v1/jobs/recordInfo"))["msg"] == "taskId is required."
    unknown = await api.get("/api/v1/jobs/recordInfo", taskId="f" * 32)
    assert unknown == {"code": 404, "msg": "Record does not exist", "data": None}
