"""What refusals say, in every dialect: plain words, the field's name, and never the whole of a long value."""

import base64
import dataclasses
from typing import Any

import pytest

from service.api.wording import cut, shown, unknown_field, wrong_field
from service.settings import Settings
from support.api import CALLBACK, Api
from support.audio import wav_bytes

LONG = "x" * 100_000
GENERATE = "/api/v1/vocal-removal/generate"
JOBS = "/api/v1/jobs/createTask"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, max_upload_mb=1)


def form(headers: str, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + headers.encode("latin-1") + b"\r\n\r\n" + content + b"\r\n--b--\r\n"


async def post(api: Api, path: str, **request: Any) -> Any:
    headers = {**api.headers, **request.pop("headers", {})}
    return await api.http.post(path, headers=headers, **request)


@pytest.mark.parametrize("length", [0, 60, 61, 1000])
def test_long_values_are_cut(length: int) -> None:
    assert len(cut("x" * length)) == (length if length <= 60 else 63)
    assert shown("x" * length).strip("'").startswith("x" * min(length, 60))


@pytest.mark.parametrize(
    ("verdict", "key", "said"),
    [
        ("Expected `str | null`, got `int` - at `$.url`", None, ("url", "url must be text, not a whole number.")),
        ("Expected `int`, got `str`", "limit", ("limit", "limit must be a whole number, not text.")),
        ("Expected `bool`, got `str`", "notes", ("notes", "notes must be true or false, not text.")),
        ("Expected `str`, got `int` - at `$.a[1]`", None, ("a", "every item of a must be text, not a whole number.")),
        ("Expected `array | null`, got `null` - at `$.a`", None, ("a", "a must be a list, not null.")),
        ("Integer value out of range", "limit", ("limit", "limit: Integer value out of range.")),
        ("Expected `object`, got `array`", None, None),
    ],
)  # fmt: skip
def test_a_decoder_s_verdict_in_words(verdict: str, key: str | None, said: tuple[str, str] | None) -> None:
    assert wrong_field(verdict, key) == said


def test_an_unknown_field_is_known_by_its_verdict() -> None:
    assert unknown_field("Object contains unknown field `a`b` - at `$.x`") == "a`b"
    assert unknown_field("Expected `str`, got `int`") is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (GENERATE, {"audioUrl": "http://1.1.1.1/a", "type": LONG, "callBackUrl": CALLBACK}),
        (GENERATE, {"audioUrl": "http://1.1.1.1/a", "type": "split_stem_advanced", "stemName": LONG}),
        (GENERATE, {"audioUrl": f"http://{'x' * 2000}/", "callBackUrl": CALLBACK}),
        (JOBS, {"model": LONG}),
        ("/v1/transcriptions", {"url": "http://1.1.1.1/a", "stems": [LONG]}),
        ("/v1/transcriptions", {LONG: 1}),
    ],
    ids=["type", "stemName", "host", "model", "stems", "field"],
)
async def test_bodies_are_not_repeated_in_full(api: Api, path: str, body: dict[str, Any]) -> None:
    answer = await post(api, path, json=body)
    assert "xxx" in answer.text or "callBackUrl" in answer.text
    assert len(answer.content) < 1500


@pytest.mark.parametrize("query", [f"status={'x' * 5000}", f"kind={'x' * 5000}", f"limit={'9' * 400}"])
async def test_parameters_are_not_repeated_in_full(api: Api, query: str) -> None:
    answer = await api.http.get(f"/v1/tasks?{query}", headers=api.headers)
    assert answer.status_code == 422
    assert "..." in answer.json()["detail"]
    assert len(answer.content) < 600


async def test_names_of_files_are_not_repeated_in_full(api: Api) -> None:
    task_id = (await api.upload())["taskId"]
    answer = await api.http.get(f"/v1/tasks/{task_id}/files/{'x' * 5000}", headers=api.headers)
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"There is no file '{'x' * 60}...'; the task has song.wav."


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (GENERATE, {"taskId": 5}, "taskId must be text, not a whole number."),
        (JOBS, {"input": {"task_id": []}}, "input.task_id must be text, not a list."),
        (JOBS, {"input": 1.5}, "input must be a JSON object, not a number."),
        ("/api/file-url-upload", {"fileUrl": True}, "fileUrl must be text, not true or false."),
        ("/api/file-base64-upload", {"uploadPath": 5}, "uploadPath must be text, not a whole number."),
        ("/api/file-base64-upload", [], "The body must be a JSON object with base64Data."),
    ],
)
async def test_a_wrong_type_is_told_in_words(api: Api, path: str, body: Any, message: str) -> None:
    assert (await post(api, path, json=body)).json()["msg"] == message


@pytest.mark.parametrize("path", ["/v1/transcriptions", "/api/file-stream-upload"])
async def test_headers_of_a_form_that_are_no_text(api: Api, path: str) -> None:
    body = form('Content-Disposition: form-data; name="file"; filename="\xff.wav"')
    answer = await post(api, path, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400
    assert answer.json().get("detail", answer.json().get("msg")) == "The form's headers are not UTF-8."


@pytest.mark.parametrize("path", ["/v1/transcriptions", "/api/file-stream-upload"])
async def test_a_file_name_that_is_too_long_is_told_the_limit(api: Api, path: str) -> None:
    answer = await post(api, path, files={"file": ("a" * 5000 + ".wav", wav_bytes())})
    assert answer.status_code == 413
    said = answer.json().get("detail", answer.json().get("msg"))
    assert said == "A header of the form, with names of a part and its file, is longer than 4096 bytes."


@pytest.mark.parametrize("path", ["/v1/transcriptions", "/api/file-stream-upload"])
@pytest.mark.parametrize("n_bytes", [1_000_001, 2_500_000], ids=["by ours", "by the framework's"])
async def test_a_file_that_is_too_large_is_told_the_setting_s_limit(api: Api, path: str, n_bytes: int) -> None:
    answer = await post(api, path, files={"file": ("a.wav", bytes(n_bytes))})
    assert answer.status_code == 413
    said = answer.json().get("detail", answer.json().get("msg"))
    assert said == "The file is larger than the limit of 1 MB."


async def test_a_misspelled_field_of_a_native_request_is_refused(api: Api) -> None:
    as_json = await post(api, "/v1/transcriptions", json={"url": CALLBACK, "callBackUrl": CALLBACK})
    as_form = await post(api, "/v1/transcriptions", files={"file": wav_bytes()}, data={"callBackUrl": CALLBACK})
    for answer, first in ((as_json, "url"), (as_form, "file")):
        assert answer.status_code == 422
        fields = f"{first}, stems, instruments, transcriber, priority, callback_url"
        message = f"There is no field 'callBackUrl'; there are {fields}."
        assert answer.json()["errors"] == [{"field": "callBackUrl", "detail": message}]
    both = await post(api, "/v1/transcriptions", files={"file": wav_bytes()}, data={"url": CALLBACK})
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "url")
    assert "not both" in both.json()["detail"]
    assert (await api.get("/v1/tasks"))["tasks"] == []
    assert list(api.context.storage.scratch_dir.iterdir()) == []


async def test_an_unknown_field_of_a_kie_request_is_ignored(api: Api) -> None:
    source = api.source(await api.upload())
    assert (await api.post(GENERATE, {**source, "callBackUrl": CALLBACK, "title": "a song"}))["code"] == 200


@pytest.mark.parametrize(
    ("key", "good"), [("a b", True), (" a", False), ("a ", False), ("", False), ("x" * 256, False)]
)
async def test_what_an_idempotency_key_is_made_of(api: Api, key: str, good: bool) -> None:
    answer = await post(api, "/v1/transcriptions", json={}, headers={"Idempotency-Key": key})
    field = answer.json()["errors"][0]["field"]
    assert (answer.status_code, field) == (422, "url" if good else "Idempotency-Key")
    if not good:
        assert "1 to 255 printable ASCII characters, with no space at either end" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["exa mple", "exa<mple", "a" * 300 + ".example"])
async def test_an_impossible_host_is_refused_at_once(api: Api, host: str) -> None:
    answer = await post(api, "/v1/transcriptions", json={"url": f"http://{host}/x"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")
    assert "is not a valid one" in answer.json()["detail"]


async def test_a_label_is_no_path_and_a_name_that_was_made_up_has_a_suffix(api: Api) -> None:
    body = {"base64Data": base64.b64encode(wav_bytes()).decode(), "uploadPath": "/../..\\x/./y\x00/"}
    uploaded = (await api.post("/api/file-base64-upload", body))["data"]
    assert (uploaded["fileName"], uploaded["filePath"]) == ("audio.wav", "x/y/audio.wav")
    assert "/audio.wav?" in uploaded["downloadUrl"]
    assert await api.get_bytes(uploaded["downloadUrl"]) == wav_bytes()
