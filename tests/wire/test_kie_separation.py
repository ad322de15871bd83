"""``vocal-removal``: every field of requests, answers, records and callbacks, and every refusal."""

import dataclasses
import ipaddress
from typing import Any

import pytest

from service.context import Context
from support.api import Api
from support.servers import answer, http_server

RECORD_FIELDS = {
    "taskId", "musicId", "audioId", "musicIndex", "callbackUrl", "completeTime", "createTime", "successFlag",
    "errorCode", "errorMessage", "response", "stemName", "progress", "stage",
}  # fmt: skip
RESPONSE_FIELDS = {
    "id", "originUrl", "originData", "vocalUrl", "instrumentalUrl", "backingVocalsUrl", "drumsUrl", "bassUrl",
    "guitarUrl", "pianoUrl", "keyboardUrl", "percussionUrl", "stringsUrl", "synthUrl", "fxUrl", "brassUrl",
    "woodwindsUrl",
}  # fmt: skip
CALLBACK = "http://93.184.215.14/callback"


async def test_the_whole_way_of_a_separation(api: Api) -> None:
    uploaded = await api.upload()
    answer = await api.post(
        "/api/v1/vocal-removal/generate",
        {**api.source(uploaded), "type": "split_stem", "callBackUrl": CALLBACK},
    )
    assert answer["code"] == 200
    assert answer["msg"] == "success"
    task_id = answer["data"]["taskId"]
    assert len(task_id) == 32
    assert int(task_id, 16)

    waiting = await api.record("vocal-removal", task_id)
    assert set(waiting) == RECORD_FIELDS
    assert waiting["successFlag"] == "PENDING"
    assert waiting["musicId"] == waiting["audioId"] == uploaded["audioId"]
    assert waiting["callbackUrl"] == CALLBACK
    assert waiting["response"] is None
    assert waiting["completeTime"] is None

    await api.work()
    done = await api.record("vocal-removal", task_id)
    assert done["successFlag"] == "SUCCESS"
    assert (done["musicIndex"], done["errorCode"], done["errorMessage"], done["progress"]) == (0, None, None, 1.0)
    assert done["completeTime"] >= done["createTime"] > 1_600_000_000_000
    response = done["response"]
    assert set(response) == RESPONSE_FIELDS
    assert response["id"] == task_id
    assert [item["stem_type_group_name"] for item in response["originData"]] == ["Drums", "Bass", "Other", "Vocals"]
    for item in response["originData"]:
        assert set(item) == {"duration", "audio_url", "stem_type_group_name", "id"}
        assert item["duration"] == 1.0
    links = {name for name in RESPONSE_FIELDS if name.endswith("Url") and response[name] is not None}
    assert links == {"originUrl", "vocalUrl", "drumsUrl", "bassUrl"}
    flac = await api.get_bytes(response["vocalUrl"])
    assert flac.startswith(b"fLaC")


async def test_two_stems_are_the_default_type(api: Api) -> None:
    separation = await api.separated(type=None)
    response = separation["response"]
    assert [item["stem_type_group_name"] for item in response["originData"]] == ["Vocals", "Instrumental"]
    assert response["vocalUrl"]
    assert response["instrumentalUrl"]
    assert response["drumsUrl"] is None


async def test_a_stem_can_be_separated_again(api: Api) -> None:
    first = await api.separated()
    stem = first["response"]["originData"][0]["id"]
    again = await api.separated(source={"taskId": first["taskId"], "audioId": stem})
    assert again["successFlag"] == "SUCCESS"
    assert again["musicId"] == stem


async def test_an_uploads_own_link_is_taken_as_audio_url(api: Api) -> None:
    uploaded = await api.upload()
    done = await api.separated(source={"audioUrl": uploaded["downloadUrl"]})
    assert done["successFlag"] == "SUCCESS"
    assert done["musicId"] == uploaded["audioId"]


async def test_the_callback_has_both_names_of_everything(api: Api) -> None:
    done = await api.separated()
    body = await api.callback_body(done["taskId"])
    assert (body["code"], body["msg"]) == (200, "vocal separation generated successfully.")
    data = body["data"]
    assert set(data) == {"task_id", "taskId", "vocal_separation_info", "vocal_removal_info"}
    assert data["task_id"] == data["taskId"] == done["taskId"]
    assert data["vocal_separation_info"] == data["vocal_removal_info"]
    info = data["vocal_removal_info"]
    assert set(info) == {"origin_url", "origin_data", "vocal_url", "drums_url", "bass_url"}
    assert info["origin_url"] == ""
    assert info["vocal_url"] == done["response"]["vocalUrl"]
    assert info["origin_data"] == done["response"]["originData"]


async def test_a_failed_separation_says_why_in_record_and_callback(api: Api) -> None:
    uploaded = await api.upload()
    api.pipeline.during = _corrupt
    done = await api.separated(source=api.source(uploaded))
    assert done["successFlag"] == "CREATE_TASK_FAILED"
    assert done["errorCode"] == 422
    assert done["errorMessage"] == "The file breaks off at 12.3 s of 180.0 s."
    assert done["response"] is None
    body = await api.callback_body(done["taskId"])
    assert (body["code"], body["msg"]) == (500, "Vocal separation failed")
    assert body["data"]["vocal_removal_info"] is body["data"]["vocal_separation_info"] is None


def _corrupt(_: Any) -> None:
    from pipeline.errors import CorruptAudio

    raise CorruptAudio("The file breaks off at 12.3 s of 180.0 s.")


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"callBackUrl": None}, 422, "Please enter callBackUrl."),
        ({"callBackUrl": ""}, 422, "Please enter callBackUrl."),
        ({"callBackUrl": "not a url"}, 422, "callBackUrl must be an http or https URL."),
        ({"callBackUrl": "ftp://93.184.215.14/x"}, 422, "callBackUrl must be an http or https URL."),
        ({"callBackUrl": "http:///path"}, 422, "callBackUrl must be an http or https URL."),
        ({"callBackUrl": "http://" + "a" * 2050}, 422, "callBackUrl is longer than 2048 characters."),
        ({"callBackUrl": "http://127.0.0.1/x"}, 422, "not a public one"),
        ({"callBackUrl": "http://192.168.1.10/x"}, 422, "not a public one"),
        ({"callBackUrl": "http://169.254.169.254/"}, 422, "not a public one"),
        ({"callBackUrl": "http://[::ffff:10.0.0.1]/"}, 422, "not a public one"),
        ({"callBackUrl": "http://2130706433/"}, 422, "not a public one"),
        ({"callBackUrl": "http://xn--/"}, 422, "callBackUrl must be an http or https URL. The host name 'xn--' is not"),
        ({"callBackUrl": "http://93.184.215.14:12345678901234567890/"}, 422, "The port must be between 1 and 65535."),
        ({"callBackUrl": "http://93.184.215.14:0/"}, 422, "The port must be between 1 and 65535."),
        ({"callBackUrl": "http://93.184.215.14/\x00"}, 422, "callBackUrl must be an http or https URL."),
        ({"callBackUrl": 7}, 422, "callBackUrl"),
        ({"type": "split_everything"}, 422, "type must be one of separate_vocal, split_stem, split_stem_advanced, not"),
        ({"taskId": None}, 422, "taskId is required beside audioId."),
        ({"audioId": None}, 422, "audioId is required beside taskId."),
        ({"taskId": None, "audioId": None}, 422, "Give either taskId and audioId, or audioUrl."),
        ({"audioUrl": "http://93.184.215.14/song.mp3"}, 422, "Give either taskId and audioId, or audioUrl."),
        ({"taskId": "0" * 32}, 422, "Record does not exist"),
        ({"taskId": "\x00" * 32}, 422, "Record does not exist"),
        ({"taskId": "x" * 100_000}, 422, "Record does not exist"),
        ({"taskId": ["x"]}, 422, "taskId"),
        ({"audioId": "unknown"}, 422, "Record does not exist"),
        ({"audioId": "\x00"}, 422, "Record does not exist"),
        (
            {"taskId": None, "audioId": None, "audioUrl": "http://stemscribe.test/files/\x00/a.mp3"},
            422,
            "Record does not exist",
        ),
        ({"taskId": None, "audioId": None, "audioUrl": "file:///etc/passwd"}, 422, "audioUrl must be an http or https"),
        ({"taskId": None, "audioId": None, "audioUrl": "http://10.1.2.3/a.mp3"}, 422, "not a public one"),
    ],
)
async def test_refusals_name_the_field(api: Api, changes: dict[str, Any], code: int, message: str) -> None:
    body = {**api.source(await api.upload()), "type": "split_stem", "callBackUrl": CALLBACK, **changes}
    response = await api.http.post("/api/v1/vocal-removal/generate", json=body, headers=api.headers)
    assert response.status_code == 200
    assert response.json()["code"] == code
    assert message in response.json()["msg"]
    assert response.json()["data"] is None


async def test_malformed_bodies(api: Api) -> None:
    path = "/api/v1/vocal-removal/generate"
    headers = {**api.headers, "Content-Type": "application/json"}
    for content in (b"{", b"\xff\xfe", b"taskId=1", b'{"type": "\xff"}', b"[" * 200_000):
        response = await api.http.post(path, content=content, headers=headers)
        assert response.status_code == 200
        assert response.json() == {"code": 400, "msg": "The body is not valid JSON.", "data": None}, content
    for content in (b"", b"[1]", b"7", b"null"):
        response = await api.http.post(path, content=content, headers=headers)
        assert response.json() == {"code": 422, "msg": "The body must be a JSON object.", "data": None}, content
    big = await api.http.post(path, json={"type": "x" * 1_100_000}, headers=api.headers)
    assert big.json()["code"] == 413
    assert big.json()["msg"] == "The request body is larger than the limit of 1 MB."
    wrong_method = await api.http.get(path, headers=api.headers)
    assert (wrong_method.status_code, wrong_method.json()["code"]) == (405, 405)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic abc", "Bearer stsc_" + "0" * 56])
async def test_without_a_good_key_nothing_is_told(api: Api, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for call in (
        api.http.post("/api/v1/vocal-removal/generate", json={}, headers=headers),
        api.http.get("/api/v1/vocal-removal/record-info?taskId=x", headers=headers),
        api.http.post("/api/v1/midi/generate", json={}, headers=headers),
        api.http.get("/api/v1/midi/record-info?taskId=x", headers=headers),
    ):
        response = await call
        assert response.status_code == 401
        assert response.json() == {"code": 401, "msg": "You do not have access permissions", "data": None}
    response = await api.http.post("/api/file-stream-upload", headers=headers)
    assert response.status_code == 401
    assert response.json()["success"] is False


async def test_another_key_sees_nothing_of_a_task(api: Api, context: Context) -> None:
    from service.keys import create_key

    done = await api.separated()
    stranger = {"Authorization": f"Bearer {await create_key(context, 'stranger')}"}
    shown = await api.http.get("/api/v1/vocal-removal/record-info", params={"taskId": done["taskId"]}, headers=stranger)
    assert shown.json() == {"code": 404, "msg": "Record does not exist", "data": None}
    body = {
        "taskId": done["taskId"],
        "audioId": done["response"]["originData"][0]["id"],
        "callBackUrl": CALLBACK,
    }
    for path in ("vocal-removal", "midi"):
        refused = await api.http.post(f"/api/v1/{path}/generate", json=body, headers=stranger)
        assert refused.json()["msg"] == "Record does not exist"


async def test_a_revoked_key_is_refused(api: Api, context: Context) -> None:
    assert (await api.get("/api/v1/vocal-removal/record-info", taskId="x"))["code"] == 404
    await context.store.keys.revoke("tests")
    response = await api.http.get("/api/v1/vocal-removal/record-info?taskId=x", headers=api.headers)
    assert response.status_code == 401


async def test_record_info_of_what_is_not_there(api: Api) -> None:
    assert (await api.get("/api/v1/vocal-removal/record-info"))["code"] == 422
    for task_id in ("f" * 32, "\x00", "F" * 5000, "é"):
        unknown = await api.get("/api/v1/vocal-removal/record-info", taskId=task_id)
        assert unknown == {"code": 404, "msg": "Record does not exist", "data": None}
    uploaded = await api.upload()
    other_kind = await api.get("/api/v1/vocal-removal/record-info", taskId=uploaded["taskId"])
    assert other_kind["code"] == 404


async def test_unknown_paths_keep_the_envelope(api: Api) -> None:
    response = await api.http.get("/api/v1/no-such-thing", headers=api.headers)
    assert response.json()["code"] == 404
    assert response.json()["data"] is None


async def test_a_record_is_gone_when_its_time_is_over(api: Api) -> None:
    done = await api.separated()
    api.clock.advance(14 * 24 * 3600 + 1)
    assert (await api.get("/api/v1/vocal-removal/record-info", taskId=done["taskId"]))["code"] == 404
    link = await api.http.get(api.path_of(done["response"]["vocalUrl"]))
    assert link.status_code == 404


async def test_callback_exception_when_every_delivery_failed(api: Api) -> None:
    allow = (ipaddress.ip_network("127.0.0.0/8"),)
    api.context.settings = dataclasses.replace(api.context.settings, allow_addresses=allow)
    with http_server(lambda handler, _: answer(handler, 500)) as base:
        done = await api.separated(callback_url=base)
        assert done["successFlag"] == "SUCCESS"
        await api.exhaust_callback()
    after = await api.record("vocal-removal", done["taskId"])
    assert after["successFlag"] == "CALLBACK_EXCEPTION"
    assert after["response"]["vocalUrl"]
