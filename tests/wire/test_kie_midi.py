"""``midi``: every field of requests, answers, records and callbacks, and every refusal."""

from typing import Any

import mido
import pytest

from support.api import Api

CALLBACK = "http://93.184.215.14/callback"
RECORD_FIELDS = {
    "taskId", "recordTaskId", "audioId", "callbackUrl", "createTime", "completeTime", "successFlag", "errorCode",
    "errorMessage", "midiData", "progress", "stage",
}  # fmt: skip


async def test_the_whole_way_of_a_transcription(api: Api, tmp_path: Any) -> None:
    separation = await api.separated()
    answer = await api.post("/api/v1/midi/generate", {"taskId": separation["taskId"], "callBackUrl": CALLBACK})
    task_id = answer["data"]["taskId"]
    waiting = await api.record("midi", task_id)
    assert set(waiting) == RECORD_FIELDS
    assert (waiting["successFlag"], waiting["recordTaskId"], waiting["midiData"]) == (0, -1, None)
    await api.work()
    done = await api.record("midi", task_id)
    assert (done["successFlag"], done["audioId"], done["callbackUrl"]) == (1, None, CALLBACK)
    data = done["midiData"]
    assert set(data) == {"state", "instruments", "files", "tempo", "timeSignature", "key"}
    assert data["state"] == "complete"
    assert (data["tempo"], data["timeSignature"], data["key"]) == (None, None, None)
    assert set(data["files"]) == {"midi", "stems", "csv", "musicxml", "preview", "pianoRoll"}
    assert [item["name"] for item in data["instruments"]] == ["Drums", "Electric Piano 1", "Electric Piano 1"]
    stems = {item["id"]: item["stem_type_group_name"].lower() for item in separation["response"]["originData"]}
    for item in data["instruments"]:
        assert set(item) == {"name", "notes", "program", "isDrum", "stem", "audioId"}
        assert stems[item["audioId"]] == item["stem"]
        assert item["notes"]
        for note in item["notes"]:
            assert set(note) == {"pitch", "start", "end", "velocity"}
            assert isinstance(note["pitch"], int)
            assert isinstance(note["start"], float)
            assert note["end"] > note["start"]
            assert 0 <= note["velocity"] <= 1
    (tmp_path / "song.mid").write_bytes(await api.get_bytes(data["files"]["midi"]))
    assert mido.MidiFile(tmp_path / "song.mid").type == 1
    assert (await api.get_bytes(data["files"]["csv"])).startswith(b"start_time_s,end_time_s,pitch_midi,velocity")
    assert set(data["files"]["stems"]) == {"drums", "bass", "other"}
    assert b"score-partwise" in await api.get_bytes(data["files"]["musicxml"])
    assert b"<svg" in await api.get_bytes(data["files"]["pianoRoll"])
    assert (await api.http.get(api.path_of(data["files"]["preview"]))).headers["content-type"] == "audio/mpeg"

    body = await api.callback_body(task_id)
    assert set(body) == {"code", "msg", "task_id", "taskId", "data"}
    assert (body["code"], body["msg"]) == (200, "success")
    assert body["task_id"] == body["taskId"] == body["data"]["task_id"] == body["data"]["taskId"] == task_id
    assert body["data"]["state"] == "complete"
    assert body["data"] == {"task_id": task_id, "taskId": task_id, **data}


async def test_of_one_stem(api: Api) -> None:
    separation = await api.separated()
    bass = separation["response"]["originData"][1]
    done = await api.transcribed(separation["taskId"], audioId=bass["id"])
    assert done["audioId"] == bass["id"]
    assert [item["stem"] for item in done["midiData"]["instruments"]] == ["bass"]


async def test_a_silent_stem_gives_an_empty_but_finished_record(api: Api) -> None:
    separation = await api.separated()
    vocals = separation["response"]["originData"][3]
    done = await api.transcribed(separation["taskId"], audioId=vocals["id"])
    assert done["successFlag"] == 1
    assert done["midiData"]["instruments"] == []


async def test_a_failure_says_so_in_record_and_callback(api: Api) -> None:
    separation = await api.separated()
    api.pipeline.during = _fail
    done = await api.transcribed(separation["taskId"])
    assert (done["successFlag"], done["errorCode"], done["midiData"]) == (3, 501, None)
    assert "weights" in done["errorMessage"]
    body = await api.callback_body(done["taskId"])
    ids = {"task_id": done["taskId"], "taskId": done["taskId"]}
    assert body == {"code": 500, "msg": "MIDI generation failed", **ids, "data": ids}


async def test_a_cancelled_one_has_failed(api: Api) -> None:
    separation = await api.separated()
    made = await api.post("/api/v1/midi/generate", {"taskId": separation["taskId"], "callBackUrl": CALLBACK})
    task_id = made["data"]["taskId"]
    await api.context.store.leases.cancel(task_id)
    record = await api.record("midi", task_id)
    assert (record["successFlag"], record["errorCode"], record["midiData"]) == (3, 501, None)
    assert record["errorMessage"] == "The task was cancelled."
    assert (await api.callback_body(task_id))["code"] == 500


def _fail(_: Any) -> None:
    from pipeline.errors import ModelMissing

    raise ModelMissing("The weights are missing.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"callBackUrl": None}, "Please enter callBackUrl."),
        ({"callBackUrl": "nonsense"}, "callBackUrl must be an http or https URL."),
        ({"callBackUrl": "http://localhost:9/x"}, "not a public one"),
        ({"taskId": None}, "taskId is required"),
        ({"taskId": "f" * 32}, "Record does not exist"),
        ({"audioId": "f" * 32}, "Record does not exist"),
    ],
)
async def test_refusals_name_the_field(api: Api, changes: dict[str, Any], message: str) -> None:
    separation = await api.separated()
    answer = await api.post(
        "/api/v1/midi/generate", {"taskId": separation["taskId"], "callBackUrl": CALLBACK, **changes}
    )
    assert answer["code"] == 422
    assert message in answer["msg"]


async def test_an_audio_id_of_another_task_is_refused(api: Api) -> None:
    one, other = await api.separated(), await api.separated()
    foreign = other["response"]["originData"][0]["id"]
    body = {"taskId": one["taskId"], "audioId": foreign, "callBackUrl": CALLBACK}
    assert (await api.post("/api/v1/midi/generate", body))["msg"] == "Record does not exist"


async def test_an_upload_is_no_separation(api: Api) -> None:
    uploaded = await api.upload()
    body = {"taskId": uploaded["taskId"], "callBackUrl": CALLBACK}
    assert (await api.post("/api/v1/midi/generate", body))["msg"] == "Record does not exist"


async def test_an_unfinished_separation_is_named_with_its_state(api: Api) -> None:
    body = {**api.source(await api.upload()), "callBackUrl": CALLBACK}
    task_id = (await api.post("/api/v1/vocal-removal/generate", body))["data"]["taskId"]
    answer = await api.post("/api/v1/midi/generate", {"taskId": task_id, "callBackUrl": CALLBACK})
    assert answer["code"] == 422
    assert "queued" in answer["msg"]


async def test_an_expired_separation_is_named_with_its_date(api: Api) -> None:
    separation = await api.separated()
    api.clock.advance(14 * 24 * 3600 + 1)
    answer = await api.post("/api/v1/midi/generate", {"taskId": separation["taskId"], "callBackUrl": CALLBACK})
    assert answer["code"] == 422
    assert "expired on 2027-" in answer["msg"]
