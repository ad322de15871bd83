"""``midi``: every field of requests, answers, records and callbacks, and every refusal."""

import json
from typing import Any

import jsonschema_rs
import mido
import pytest
import sqlalchemy as sa

from service.db.models import File, InstrumentNotes, Task
from support.api import Api, without_reuse
from support.pipeline import PLAYERS
from wire.refresh_openapi import document

CALLBACK = "http://93.184.215.14/callback"
RECORD_FIELDS = {
    "taskId", "recordTaskId", "audioId", "callbackUrl", "createTime", "completeTime", "successFlag", "errorCode",
    "errorMessage", "midiData", "progress", "stage",
}  # fmt: skip
MUSIC = {
    "tempo": 120.0, "tempoConfidence": 0.9, "timeSignature": "4/4", "key": "A minor", "keyConfidence": 0.75,
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
    assert set(data) == {"state", "instruments", "files", *MUSIC}
    assert data["state"] == "complete"
    assert {name: data[name] for name in MUSIC} == MUSIC
    assert set(data["files"]) == {"midi", "stems", "csv", "musicxml", "preview", "pianoRoll", "beats"}
    assert [item["name"] for item in data["instruments"]] == ["Drums", "Electric Piano 1", "Electric Piano 1"]
    stems = {item["id"]: item["stem_type_group_name"].lower() for item in separation["response"]["originData"]}
    for item in data["instruments"]:
        assert set(item) == {"name", "notes", "program", "isDrum", "stem", "audioId", "confidence"}
        assert item["confidence"] == 0.8
        assert stems[item["audioId"]] == item["stem"]
        assert item["notes"]
        for note in item["notes"]:
            assert set(note) == {"pitch", "start", "end", "velocity", "confidence"}
            assert note["confidence"] in (0.9, 0.7)
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
    beats = json.loads(await api.get_bytes(data["files"]["beats"]))
    assert (beats["beats"], beats["downbeats"], beats["keys"][0]["key"]) == ([0.0, 0.5, 1.0], [0.0], "A minor")
    assert (await api.http.get(api.path_of(data["files"]["preview"]))).headers["content-type"] == "audio/mpeg"

    body = await api.callback_body(task_id)
    assert set(body) == {"code", "msg", "task_id", "taskId", "data"}
    assert (body["code"], body["msg"]) == (200, "success")
    assert body["task_id"] == body["taskId"] == body["data"]["task_id"] == body["data"]["taskId"] == task_id
    assert body["data"]["state"] == "complete"
    assert body["data"] == {"task_id": task_id, "taskId": task_id, **data}


async def test_instruments_of_one_stem_have_its_id_and_its_file_in_every_dialect(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    others = (("String Ensemble 1", 48), ("Marimba", 12))
    monkeypatch.setitem(PLAYERS, "other", others)
    separation = await api.separated()
    (other,) = (item for item in separation["response"]["originData"] if item["stem_type_group_name"] == "Other")
    answer = await api.post("/api/v1/midi/generate", {"taskId": separation["taskId"], "callBackUrl": CALLBACK})
    task_id = answer["data"]["taskId"]
    await api.work()
    data = (await api.record("midi", task_id))["midiData"]
    heard = [(item["name"], item["program"]) for item in data["instruments"] if item["audioId"] == other["id"]]
    assert heard == list(others)
    assert {item["stem"] for item in data["instruments"] if item["audioId"] == other["id"]} == {"other"}
    assert set(data["files"]["stems"]) == {"drums", "bass", "other"}
    (tmp_path / "other.mid").write_bytes(await api.get_bytes(data["files"]["stems"]["other"]))
    assert [track.name for track in mido.MidiFile(tmp_path / "other.mid").tracks[1:]] == [name for name, _ in others]
    native = (await api.get(f"/v1/tasks/{task_id}"))["result"]
    assert [(item["name"], item["stem"]) for item in native["instruments"]] == [
        (item["name"], item["stem"]) for item in data["instruments"]
    ]
    assert sorted(name for name in native["files"] if name.endswith(".mid")) == [
        "bass.mid", "drums.mid", "other.mid", "song.mid",
    ]  # fmt: skip
    alone = {"taskId": separation["taskId"], "audioId": other["id"], "callBackUrl": CALLBACK}
    task_id = (await api.post("/api/v1/midi/generate", alone))["data"]["taskId"]
    await api.work()
    of_one = (await api.record("midi", task_id))["midiData"]["instruments"]
    assert [(item["name"], item["audioId"]) for item in of_one] == [(name, other["id"]) for name, _ in others]


async def test_what_was_not_heard_is_null(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.pipeline.BEATS", None)
    monkeypatch.setattr("support.pipeline.KEYS", ())
    separation = await api.separated()
    data = (await api.transcribed(separation["taskId"]))["midiData"]
    assert {name: data[name] for name in MUSIC} == dict.fromkeys(MUSIC)
    beats = json.loads(await api.get_bytes(data["files"]["beats"]))
    assert (beats["tempo"], beats["beats"], beats["keys"]) == (None, [], [])


async def test_a_transcription_from_before_confidence_was_measured(api: Api) -> None:
    separation = await api.separated()
    sent = await api.post("/api/v1/midi/generate", {"taskId": separation["taskId"], "callBackUrl": CALLBACK})
    task_id = sent["data"]["taskId"]
    await api.work()
    old = [{"pitch": 60, "start": 0.25, "end": 0.5, "velocity": 0.8}]
    async with api.context.database.write() as session:
        await session.execute(sa.update(Task).where(Task.id == task_id).values(music=None))
        rows = sa.update(InstrumentNotes).where(InstrumentNotes.task_id == task_id)
        await session.execute(rows.values(confidence=None, notes=json.dumps(old).encode()))
        await session.execute(sa.delete(File).where(File.task_id == task_id, File.role == "beats"))
    shown = await api.record("midi", task_id)
    data = shown["midiData"]
    assert {name: data[name] for name in MUSIC} == dict.fromkeys(MUSIC)
    assert data["files"]["beats"] is None
    assert [(one["confidence"], one["notes"]) for one in data["instruments"]] == [(None, old)] * 3
    assert (await api.callback_body(task_id))["data"].items() >= data.items()
    native = (await api.get(f"/v1/tasks/{task_id}"))["result"]
    assert (native["tempo"], native["tempo_confidence"], native["key"]) == (None, None, None)
    assert [(one["confidence"], one["notes"]) for one in native["instruments"]] == [(None, old)] * 3
    assert "beats.json" not in native["files"]
    components = {"components": document()["components"]}
    for schema, answer in (("MidiRecord", shown), ("TaskResult", native)):
        validator = jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{schema}", **components})
        assert [error.message for error in validator.iter_errors(answer)] == []


async def test_another_transcriber(api: Api) -> None:
    without_reuse(api)
    separation = await api.separated()
    await api.transcribed(separation["taskId"], transcriber="basic-pitch")
    assert api.pipeline.calls[-1] == "transcribe with basic-pitch"
    await api.transcribed(separation["taskId"], transcriber="")
    assert api.pipeline.calls[-1] == "transcribe"
    job = {"model": "ai-music-api/generate-midi-from-audio", "callBackUrl": CALLBACK}
    task = {"task_id": separation["taskId"], "transcriber": "basic-pitch"}
    assert (await api.post("/api/v1/jobs/createTask", {**job, "input": task}))["code"] == 200
    await api.work()
    assert api.pipeline.calls[-1] == "transcribe with basic-pitch"
    refused = await api.post("/api/v1/jobs/createTask", {**job, "input": {**task, "transcriber": "magic"}})
    assert refused == {
        "code": 422, "msg": "input.transcriber must be one of auto, basic-pitch, not 'magic'.", "data": None,
    }  # fmt: skip


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
        ({"transcriber": "magic"}, "transcriber must be one of auto, basic-pitch, not 'magic'."),
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
