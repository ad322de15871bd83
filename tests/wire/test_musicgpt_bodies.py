"""Bodies of the MusicGPT dialect: a form with a file or without, urlencoded, JSON under any name; values as text."""

import json
from typing import Any

import pytest

from service.db.models import Task
from support.api import Api
from support.audio import wav_bytes
from support.musicgpt import PREFIX, ask, ask_json, begun, key, refusal

SONG = "http://93.184.215.14/song.wav"
FIELDS = {"audio_url": SONG, "sonify_midi": "True", "save_note_events": "0"}
AS_SENT = {"mode": "auto", "sonify": True, "note_events": False, "transcriber": "auto", "audio_url": SONG}
TRUTHS = {
    True: ["true", "True", "TRUE", "1", " true ", "yes", "on"],
    False: ["false", "False", "FALSE", "0", "no", "off"],
}

UNREADABLE = [
    (b'{"audio_url": "http://1.1.1.1/a"', "application/json", "The body is not valid JSON."),
    (b'{"audio_url": ', "application/x-www-form-urlencoded", "The body is not valid JSON."),
    (b"\xff", "application/json", "The body is not valid JSON."),
    (b"[" * 20_000, "application/json", "The body is not valid JSON."),
    (b"[]", "application/json", "must be multipart/form-data, urlencoded, or a JSON object"),
    (b"audio_url=%ff", "application/x-www-form-urlencoded", "not valid urlencoded text"),
    (b"a=1&" * 100, "application/x-www-form-urlencoded", "not valid urlencoded text"),
    (b"\xff", "", "not valid urlencoded text"),
    (b"<audio/>", "text/xml", "of the type 'text/xml'"),
    (b"--b\r\n", "multipart/form-data; boundary=b", "not valid multipart/form-data"),
    (b"audio_url=x", "multipart/form-data", "multipart/form-data"),
    (
        b'--b\r\nContent-Disposition: form-data; name="audio_file"; filename="a.wav"\r\n\r\nRIFF',
        "multipart/form-data; boundary=b",
        "not valid multipart/form-data",
    ),
]
"""Bodies with their types, and what is said of them."""


async def post(api: Api, endpoint: str, **request: Any) -> Any:
    headers = {**key(api), **request.pop("headers", {})}
    return await api.http.post(f"{PREFIX}/{endpoint}", headers=headers, **request)


async def task_of(api: Api, response: Any) -> Task:
    assert response.status_code == 200, response.text
    record = await api.context.store.tasks.record(response.json()["task_id"])
    assert record is not None
    return record.task


@pytest.mark.parametrize(
    "request_of",
    [
        {"data": FIELDS},
        {"files": {name: (None, value) for name, value in FIELDS.items()}},
        {"json": {"audio_url": SONG, "sonify_midi": True, "save_note_events": False}},
        {"json": {**FIELDS, "webhook_url": "", "audio_path": None}},
        {
            "content": json.dumps(FIELDS),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},  # as the documents' curl sends it
        },
        {"content": " \r\n" + json.dumps(FIELDS), "headers": {"Content-Type": "text/plain"}},
        {"content": json.dumps(FIELDS)},  # of no type at all
        {"content": json.dumps(FIELDS), "headers": {"Content-Type": "application/vnd.api+json; charset=utf-8"}},
        {"data": {"audio_path": SONG, "sonify_midi": "1", "save_note_events": "no"}},
    ],
    ids=["urlencoded", "form", "JSON", "JSON with texts", "curl", "JSON as text", "no type", "+json", "audio_path"],
)
async def test_a_body_of_any_kind_asks_for_the_same(api: Api, request_of: dict[str, Any]) -> None:
    task = await task_of(api, await post(api, "audio_to_midi", **request_of))
    assert (task.params, task.callback_url) == (AS_SENT, None)


async def test_a_form_with_a_file(api: Api) -> None:
    task = await task_of(api, await ask(api, "audio_to_midi", sonify_midi="False"))
    assert task.params == {"mode": "auto", "sonify": False, "note_events": True, "transcriber": "auto"}
    source = await api.context.store.tasks.track(task.source_track_id or "")
    assert source is not None
    assert (source.file.name, source.file.role, source.track.duration_s) == ("song.wav", "source", 1.0)
    assert (task.audio_s, source.track.task_id) == (1.0, task.id)


async def test_an_address_beside_a_file_that_is_no_file_part(api: Api) -> None:
    """Some clients send every field they know, empty where it has no value."""
    files = {"audio_file": ("song.wav", wav_bytes()), "audio_url": (None, ""), "webhook_url": (None, "")}
    assert (await post(api, "extract_key_bpm", files=files)).status_code == 200
    nothing = {"audio_file": ("", b""), "audio_url": (None, SONG)}  # as a form's field for a file that nobody filled
    assert (await post(api, "extract_key_bpm", files=nothing)).status_code == 200


@pytest.mark.parametrize("truth", TRUTHS)
async def test_truths_in_every_spelling(api: Api, truth: bool) -> None:
    for text in TRUTHS[truth]:
        task = await task_of(api, await ask(api, "audio_to_midi", sonify_midi=text, save_note_events=text))
        assert (task.params["sonify"], task.params["note_events"]) == (truth, truth), text


async def test_truths_in_json(api: Api) -> None:
    for sent in (True, False, 1, 0, "1", "false"):
        task = await task_of(api, await ask_json(api, "audio_to_midi", {"audio_url": SONG, "sonify_midi": sent}))
        assert task.params["sonify"] is (str(sent).lower() in ("true", "1")), sent


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "numbers"])
async def test_numbers_as_text_and_as_numbers(api: Api, as_text: bool) -> None:
    async def params(endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        sent = {name: str(value) if as_text else value for name, value in body.items()}
        return (await task_of(api, await ask_json(api, endpoint, {"audio_url": SONG, **sent}))).params

    converted = await params("file_convert", {"target_format": "FLAC", "target_sr": 96_000, "target_bit_depth": 24})
    assert (converted["format"], converted["rate_hz"], converted["bits"]) == ("flac", 96_000, 24)
    cut = await params("audio_cutter", {"start_time": 10.5, "end_time": 3e4})
    assert cut["span_ms"] == [10, 30_000]
    assert (await params("audio_speed_changer", {"speed_change_factor": 0.25}))["tempo"] == 0.25


async def test_what_is_left_out_has_its_default(api: Api) -> None:
    async def params(endpoint: str, **body: Any) -> dict[str, Any]:
        task = await task_of(api, await ask_json(api, endpoint, {"audio_url": SONG, **body}))
        return {name: value for name, value in task.params.items() if name != "audio_url"}

    assert await params("audio_to_midi") == {"mode": "auto", "sonify": True, "note_events": True, "transcriber": "auto"}
    converted = await params("file_convert", target_sr="", target_bit_depth=None)
    assert (converted["format"], converted["rate_hz"], converted["bits"]) == ("wav", None, 16)
    assert (converted["name"], len(converted["file_id"])) == ("song.wav", 32)
    assert await params("Extraction") == {"stems": ["vocals", "instrumental"], "model": "htdemucs"}
    assert await params("extract_key_bpm") == await params("KeyBpmExtract") == {}
    own = {"format": None, "rate_hz": None, "bits": None}
    assert await params("audio_cutter") == {**own, "span_ms": [100, 600]}
    assert await params("audio_speed_changer") == {**own, "tempo": 2.0}


@pytest.mark.parametrize(
    "stems", ['["vocals","drums"]', ["vocals", "drums"], "vocals, drums", '[ "vocals","drums","vocals"]']
)
async def test_stems_as_a_list_in_a_text_and_otherwise(api: Api, stems: Any) -> None:
    task = await task_of(api, await ask_json(api, "Extraction", {"audio_url": SONG, "stems": stems}))
    assert task.params["stems"] == ["vocals", "drums"]


@pytest.mark.parametrize(
    ("fields", "extension"),
    [({}, None), ({"output_extension": ".MP3"}, "mp3"), ({"audio_extension": "ogg"}, "ogg"),
     ({"audio_extension": "ogg", "output_extension": "mp3"}, "mp3")],
)  # fmt: skip
async def test_both_names_of_the_output_s_extension(api: Api, fields: dict[str, str], extension: str | None) -> None:
    task = await task_of(api, await ask_json(api, "audio_speed_changer", {"audio_url": SONG, **fields}))
    assert task.params["format"] == extension


async def test_bodies_that_cannot_be_read(api: Api) -> None:
    for content, content_type, message in UNREADABLE:
        response = await post(api, "audio_to_midi", content=content, headers={"Content-Type": content_type})
        status, said = refusal(response)
        assert (status, message in said) == (400, True), (content[:30], said)
    assert list(api.context.storage.scratch_dir.iterdir()) == []


async def test_two_files_and_long_fields(api: Api) -> None:
    files = [("audio_file", ("a.wav", wav_bytes())), ("audio_file", ("b.wav", wav_bytes()))]
    assert refusal(await post(api, "audio_to_midi", files=files)) == (
        400, "The form has more than one part named audio_file.",
    )  # fmt: skip
    assert refusal(await ask(api, "audio_to_midi", mode="x" * 9000))[0] == 413
    long = await ask_json(api, "audio_to_midi", {"audio_url": SONG, "mode": "x" * 9000})
    assert refusal(long) == (422, "mode is longer than 8192 characters.")
    huge = await post(api, "audio_to_midi", content=b"{" + b" " * 1_000_001)
    assert refusal(huge)[0] == 413
    assert list(api.context.storage.scratch_dir.iterdir()) == []


async def test_an_idempotency_key_makes_one_of_two(api: Api) -> None:
    async def send() -> Any:
        files = {"audio_file": ("song.wav", wav_bytes())}
        data = {"target_format": "flac"}
        return await post(api, "file_convert", files=files, data=data, headers={"Idempotency-Key": "one"})

    first, again = await send(), await send()
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await api.get("/v1/tasks"))["tasks"]) == 1
    other = await post(
        api, "file_convert", json={"audio_url": SONG, "target_format": "mp3"}, headers={"Idempotency-Key": "one"}
    )
    assert refusal(other) == (409, "This Idempotency-Key was used for a request with another body.")


async def test_a_body_with_an_encoding_is_refused(api: Api) -> None:
    response = await post(api, "audio_to_midi", json=FIELDS, headers={"Content-Encoding": "gzip"})
    assert refusal(response)[0] == 400


async def test_a_name_in_another_script_is_kept(api: Api) -> None:
    made = await begun(api, "file_convert", name="夜の歌.wav", target_format="flac")
    assert "/%E5%A4%9C%E3%81%AE%E6%AD%8C.flac?" in made["output_path"]


async def test_a_server_s_name_of_the_file_is_the_output_s(api: Api) -> None:
    response = await ask_json(api, "file_convert", {"audio_url": "http://93.184.215.14/a%20b.mp3?x=1"})
    assert "/a%20b.wav?" in response.json()["output_path"]
