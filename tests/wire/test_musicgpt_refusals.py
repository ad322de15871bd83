"""Every refusal of the MusicGPT dialect: the real status, the vendor's form, and words that name what is wrong."""

import dataclasses
import itertools
from typing import Any

import pytest

from service.context import Context
from service.keys import create_key
from service.settings import Settings
from support.api import Api
from support.audio import wav_bytes
from support.musicgpt import PREFIX, REQUIRED, TYPES, ask, ask_json, begun, by_id, key, refusal
from support.stored import stored_keys

SONG = "http://93.184.215.14/song.wav"
EVERY = (*REQUIRED, "KeyBpmExtract")
NOT_OFFERED = [
    "MusicAI", "Cover", "TextToSpeech", "VoiceChanger", "deecho", "dereverb", "denoise", "audio_transcribe",
    "audio_mastering", "sound_generator", "Remix", "getAllVoices", "searchVoices",  # of the vendor's client
    "SoundGenerator", "remix", "extend", "inpaint", "sing_over_instrumental", "lyrics_generator",
]  # fmt: skip

WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "audio_to_midi": [
        ({"sonify_midi": "maybe"}, "sonify_midi must be true or false, not 'maybe'."),
        ({"save_note_events": 2}, "save_note_events must be true or false, not '2'."),
        ({"sonify_midi": []}, "sonify_midi must be true or false, not '[]'."),
        ({"mode": "whistle"}, "mode must be one of auto, song, instrument, voice, bass, drums"),
        ({"mode": 5}, "mode must be text."),
        ({"transcriber": "ears"}, "transcriber must be one of auto, basic-pitch, not 'ears'."),
        ({"audio_url": "ftp://93.184.215.14/a"}, "audio_url must be an http or https URL."),
        ({"audio_url": " "}, "audio_url must be an address"),
        ({"audio_url": 5}, "audio_url must be text."),
        ({"audio_url": "http://127.0.0.1/x"}, "not a public one"),
        ({"audio_url": f"http://93.184.215.14/{'x' * 3000}"}, "longer than 2048 characters"),
        ({"webhook_url": "mailto:x"}, "webhook_url must be an http or https URL."),
        ({"webhook_url": True}, "webhook_url must be text."),
        ({"webhook_url": "http://10.0.0.1/x"}, "webhook_url: The address of '10.0.0.1' is not a public one."),
    ],
    "file_convert": [
        ({"target_format": "midi"}, "target_format must be one of mp3, wav, flac, ogg, aac, webm"),
        ({"target_sr": 11_025}, "target_sr must be one of 8000, 16000, 22050"),
        ({"target_sr": "fast"}, "target_sr must be a number, not 'fast'."),
        ({"target_sr": 44_100.5}, "target_sr must be a whole number, not '44100.5'."),
        ({"target_sr": True}, "target_sr must be a number, not 'True'."),
        ({"target_bit_depth": 0}, "target_bit_depth must be one of 16, 24, 32, not 0."),
        ({"target_bit_depth": "8"}, "target_bit_depth must be one of 16, 24, 32, not 8."),
        ({"target_format": "mp3", "target_sr": 96_000}, "mp3 holds at most 48000 Hz, not 96000"),
        ({"target_format": "aac", "target_sr": 192_000}, "aac holds at most 96000 Hz, not 192000"),
    ],
    "Extraction": [
        ({"stems": '["kazoo"]'}, "stems: 'kazoo' is no stem; the separation model htdemucs gives "),
        ({"stems": '["vocals","kick_drum"]'}, "stems: 'kick_drum' cannot be isolated; "),
        ({"stems": "[]"}, "stems is empty; name some of drums, bass, other, vocals, instrumental."),
        ({"stems": '["vocals"'}, "stems must be a JSON list of names"),
        ({"stems": "[1]"}, "stems must be a JSON list of names"),
        ({"stems": {"vocals": True}}, "stems must be a JSON list of names"),
        ({"preprocessing_options": '["denoise"]'}, "preprocessing_options: none are offered here"),
    ],
    "audio_cutter": [
        ({"start_time": "soon"}, "start_time must be a number, not 'soon'."),
        ({"start_time": -1}, "start_time must be 0 to 1e+12, in milliseconds, not -1."),
        ({"end_time": "1e400"}, "end_time must be a number, not '1e400'."),
        ({"end_time": "NaN"}, "end_time must be a number, not 'NaN'."),
        ({"end_time": 10**400}, "end_time must be a number"),
        ({"start_time": 600, "end_time": 600}, "end_time must come after start_time"),
        ({"start_time": 900, "end_time": 30}, "both are in milliseconds, and 30 is not after 900"),
        ({"output_extension": "midi"}, "output_extension must be one of mp3, wav"),
    ],
    "audio_speed_changer": [
        ({"speed_change_factor": 0.24}, "speed_change_factor must be 0.25 to 4, not 0.24."),
        ({"speed_change_factor": "4.01"}, "speed_change_factor must be 0.25 to 4, not 4.01."),
        ({"speed_change_factor": 0}, "speed_change_factor must be 0.25 to 4, not 0."),
        ({"audio_extension": "exe"}, "audio_extension must be one of mp3, wav"),
        ({"output_extension": "exe"}, "output_extension must be one of mp3, wav"),
    ],
}
"""What each endpoint refuses, and a part of the words for it."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, max_upload_mb=1, max_audio_minutes=1, max_conversion_minutes=2)


@pytest.mark.parametrize("endpoint", EVERY)
async def test_a_key_alone_or_as_a_bearer_and_no_other(api: Api, endpoint: str) -> None:
    for header in (api.token, f"Bearer {api.token}", f"bearer  {api.token}"):
        body = {"audio_url": SONG, **REQUIRED.get(endpoint, {})}
        taken = await api.http.post(f"{PREFIX}/{endpoint}", json=body, headers={"Authorization": header})
        assert taken.status_code == 200, taken.text
        assert {"success", "message", "task_id", "conversion_id", "eta", "credit_estimate"} <= set(taken.json())
    for headers in ({}, {"Authorization": ""}, {"Authorization": "wrong"}, {"Authorization": f"Basic {api.token}"}):
        refused = await api.http.post(f"{PREFIX}/{endpoint}", content=b"{", headers=headers)
        status, said = refusal(refused)
        assert (status, said.startswith("You do not have access permissions: no key")) == (401, True)


async def test_by_id_needs_a_key_too_and_takes_it_alone(api: Api) -> None:
    made = await begun(api, "extract_key_bpm")
    params = {"conversionType": "EXTRACT_KEY_BPM", "task_id": made["task_id"]}
    for headers in (key(api), api.headers):
        assert (await api.http.get(f"{PREFIX}/byId", params=params, headers=headers)).status_code == 200
    assert refusal(await api.http.get(f"{PREFIX}/byId", params=params))[0] == 401


async def test_a_raw_key_is_for_this_dialect_only(api: Api) -> None:
    assert (await api.http.get("/v1/tasks", headers=key(api))).status_code == 401
    assert (await api.http.get("/api/v1/chat/credit", headers=key(api))).status_code == 401


@pytest.mark.parametrize(
    ("endpoint", "missing", "message"),
    [
        ("file_convert", ["target_format"], "Missing required parameter: target_format."),
        ("audio_cutter", ["start_time"], "Missing required parameter: start_time."),
        ("audio_cutter", ["start_time", "end_time"], "Missing required parameters: start_time, end_time."),
        ("audio_speed_changer", ["speed_change_factor"], "Missing required parameter: speed_change_factor."),
    ],
)
async def test_a_missing_parameter_is_named(api: Api, endpoint: str, missing: list[str], message: str) -> None:
    for nothing in ("", None):
        response = await ask_json(api, endpoint, {"audio_url": SONG, **dict.fromkeys(missing, nothing)})
        assert refusal(response) == (400, message)
    assert refusal(await ask(api, endpoint, **dict.fromkeys(missing, ""))) == (400, message)
    assert await stored_keys(api.context) == list(api.context.storage.scratch_dir.iterdir()) == []


@pytest.mark.parametrize("endpoint", EVERY)
async def test_exactly_one_source(api: Api, endpoint: str) -> None:
    sources = "Give exactly one of audio_url, audio_path, audio_file; "
    assert refusal(await ask_json(api, endpoint, {"audio_url": "", "audio_path": None})) == (
        422, f"{sources}none was given.",
    )  # fmt: skip
    assert refusal(await ask_json(api, endpoint, {"audio_url": SONG, "audio_path": SONG})) == (
        422, f"{sources}audio_url and audio_path were given.",
    )  # fmt: skip
    assert refusal(await ask(api, endpoint, audio_path=SONG)) == (
        422, f"{sources}audio_path and audio_file were given.",
    )  # fmt: skip
    as_text = await api.http.post(f"{PREFIX}/{endpoint}", data={"audio_file": "x"}, headers=key(api))
    assert refusal(as_text) == (422, "audio_file must be a file, in a body of multipart/form-data.")


@pytest.mark.parametrize("endpoint", WRONG)
async def test_a_wrong_parameter_is_named(api: Api, endpoint: str) -> None:
    for body, message in WRONG[endpoint]:
        status, said = refusal(await ask_json(api, endpoint, {"audio_url": SONG, **body}))
        assert (status, message in said) == (422, True), (body, said)


async def test_the_same_in_a_form_with_a_file(api: Api) -> None:
    assert refusal(await ask(api, "file_convert", target_sr="11025"))[0] == 422
    assert refusal(await ask(api, "Extraction", stems='["ride"]'))[0] == 422
    assert refusal(await ask(api, "audio_to_midi", webhook_url="http://169.254.169.254/x"))[0] == 422
    assert await stored_keys(api.context) == list(api.context.storage.scratch_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "empty"),
        (b"just some text, not music at all\n" * 50, 422, "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), 422, "audio"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 422, "playlist"),
        (bytes(1_000_001), 413, "The file is larger than the limit of 1 MB."),
        (bytes(2_500_000), 413, "The file is larger than the limit of 1 MB."),
    ],
    ids=["empty", "text", "picture", "playlist", "too large", "much too large"],
)
async def test_what_is_no_usable_audio(api: Api, content: bytes, status: int, message: str) -> None:
    for endpoint in EVERY:
        said = refusal(await ask(api, endpoint, content))
        assert (said[0], message in said[1]) == (status, True), (endpoint, said)
    assert await stored_keys(api.context) == list(api.context.storage.scratch_dir.iterdir()) == []


async def test_audio_that_is_only_converted_may_be_longer(api: Api) -> None:
    song = wav_bytes(duration_s=100, rate_hz=4000, channels=1)
    status, said = refusal(await ask(api, "audio_to_midi", song))
    assert (status, "60 s" in said) == (413, True), said
    assert (await ask(api, "file_convert", song)).status_code == 200
    longer = wav_bytes(duration_s=121, rate_hz=4000, channels=1)
    status, said = refusal(await ask(api, "file_convert", longer))
    assert (status, "120 s" in said) == (413, True), said


@pytest.mark.parametrize(("start", "end"), [("0", "1001"), ("2000", "3000"), ("999", "1500")])
async def test_a_part_outside_the_audio_is_refused_with_its_length(api: Api, start: str, end: str) -> None:
    status, said = refusal(await ask(api, "audio_cutter", start_time=start, end_time=end))
    assert status == 422
    assert said == (
        f"start_time and end_time are in milliseconds; {start} to {end} ms lies outside the audio, "
        "which is 1000 ms long."
    )
    assert await stored_keys(api.context) == list(api.context.storage.scratch_dir.iterdir()) == []


async def test_limits_of_the_key(api: Api) -> None:
    keys = api.context.store.keys
    await keys.set_limits("tests", {"credit_limit": 0})
    status, said = refusal(await ask(api, "audio_to_midi"))
    assert (status, said) == (402, "Not enough credits: this takes 15, and 0 are left.")
    await keys.set_limits("tests", {"credit_limit": None, "in_flight_limit": 1})
    assert (await ask(api, "extract_key_bpm")).status_code == 200
    full = await ask(api, "extract_key_bpm")
    assert refusal(full)[0] == 429
    assert int(full.headers["retry-after"]) > 0
    await keys.set_limits("tests", {"in_flight_limit": None, "rate_limit": 1})
    refused = [await ask(api, "extract_key_bpm") for _ in range(2)][-1]
    assert refusal(refused)[0] == 429
    assert int(refused.headers["retry-after"]) > 0
    assert len((await api.get("/v1/tasks"))["tasks"]) == 2


async def test_what_is_not_offered_names_what_is(api: Api) -> None:
    for name, method in itertools.product(NOT_OFFERED, ("POST", "GET")):
        response = await api.http.request(method, f"{PREFIX}/{name}", headers=key(api), content=b"")
        status, said = refusal(response)
        assert (status, response.json()["code"]) == (501, "not_offered")
        assert said.startswith(f"{name} is not offered by this service; there is POST {PREFIX}/audio_to_midi, ")
        assert f"GET {PREFIX}/byId" in said
    assert refusal(await api.http.post(f"{PREFIX}/{NOT_OFFERED[0]}"))[0] == 401


async def test_paths_and_methods_that_are_not_there(api: Api) -> None:
    for path in (f"{PREFIX}/sing", "/api/public/v2/audio_to_midi", "/api/public/v1"):
        assert refusal(await api.http.post(path, headers=key(api)))[0] == 404
    wrong = await api.http.get(f"{PREFIX}/audio_to_midi", headers=key(api))
    assert refusal(wrong)[0] == 405
    assert "POST" in wrong.headers["allow"]
    assert refusal(await api.http.post(f"{PREFIX}/byId", headers=key(api)))[0] == 405


def unknown(conversion_type: str) -> tuple[int, str]:
    return 404, f"There is no conversion of the type {conversion_type} with this id."


async def test_by_id_refuses_what_it_does_not_know(api: Api, context: Context) -> None:
    made = await begun(api, "extract_key_bpm")
    task_id, one = made["task_id"], made["conversion_id"]
    missing = "Missing required parameter: "
    get = api.http.get
    assert refusal(await get(f"{PREFIX}/byId", params={"task_id": task_id}, headers=key(api))) == (
        400, f"{missing}conversionType.",
    )  # fmt: skip
    assert refusal(await by_id(api, "AUDIO_CUTTER")) == (400, f"{missing}task_id, or conversion_id.")
    status, said = refusal(await by_id(api, "KARAOKE", task_id=task_id))
    assert status == 422
    assert said.startswith("conversionType must be one of AUDIO_TO_MIDI, FILE_CONVERT, FILE_CONVERSION, EXTRACTION")
    status, said = refusal(await by_id(api, "voice_changer", task_id=task_id))
    assert status == 501
    assert said.startswith("conversionType VOICE_CHANGER is not offered here; there is AUDIO_TO_MIDI")
    for other in sorted({*TYPES.values()} - {"KEY_BPM_EXTRACTION"}):
        assert refusal(await by_id(api, other, task_id=task_id)) == unknown(other)
    for ids in (
        {"task_id": "f" * 32}, {"task_id": "\x00"}, {"conversion_id": "x"}, {"task_id": task_id[:-1]},
    ):  # fmt: skip
        assert refusal(await by_id(api, "EXTRACT_KEY_BPM", **ids)) == unknown("EXTRACT_KEY_BPM")
    both = {"task_id": task_id, "conversion_id": "0" * 32}
    assert refusal(await by_id(api, "EXTRACT_KEY_BPM", **both)) == (
        404, "task_id and conversion_id are not of one conversion; give one of them.",
    )  # fmt: skip
    stranger = {"Authorization": await create_key(context, "stranger")}
    params = {"conversionType": "EXTRACT_KEY_BPM", "conversion_id": one}
    assert refusal(await get(f"{PREFIX}/byId", params=params, headers=stranger)) == unknown("EXTRACT_KEY_BPM")


async def test_a_service_that_is_being_stopped_takes_nothing(api: Api) -> None:
    api.context.stopping.set()
    response = await ask(api, "audio_to_midi")
    assert refusal(response)[0] == 503
    assert response.headers["retry-after"] == "5"


async def test_another_s_link_and_one_that_is_no_track(api: Api, context: Context) -> None:
    link = (await api.upload())["downloadUrl"]
    stranger = {"Authorization": await create_key(context, "stranger")}
    refused = await api.http.post(f"{PREFIX}/audio_to_midi", json={"audio_url": link}, headers=stranger)
    assert refusal(refused) == (422, "audio_url: this link of ours leads to no audio of yours that is still kept.")


async def test_a_file_in_another_field_is_told(api: Api) -> None:
    response = await api.http.post(
        f"{PREFIX}/file_convert",
        files={"file": ("song.wav", wav_bytes())},
        data={"target_format": "mp3"},
        headers=key(api),
    )
    status, said = refusal(response)
    assert status == 422
    assert said.endswith("none was given; a file came as 'file': send it as audio_file.")


async def test_a_form_that_is_called_json_is_told(api: Api) -> None:
    headers = {**key(api), "Content-Type": "application/json"}
    status, said = refusal(await api.http.post(f"{PREFIX}/audio_to_midi", content=b"--x\r\n", headers=headers))
    assert status == 400
    assert "multipart/form-data" in said


@pytest.mark.parametrize("sent", [["vocals", "drums"], ["Vocals"], ["vocals,drums"]])
async def test_stems_may_be_a_field_that_is_repeated(api: Api, sent: list[str]) -> None:
    for name in ("stems", "stems[]"):
        body = {"audio_url": SONG, name: sent}
        made = await api.http.post(f"{PREFIX}/Extraction", data=body, headers=key(api))
        record = await api.context.store.tasks.record(made.json()["task_id"])
        assert record is not None
        assert record.task.params["stems"] == (
            [one.lower() for one in sent] if len(sent) > 1 else sent[0].lower().split(",")
        )
    twice = await api.http.post(
        f"{PREFIX}/audio_cutter", data={"audio_url": SONG, "start_time": ["0", "5"], "end_time": "9"}, headers=key(api)
    )
    assert refusal(twice) == (422, "start_time must be a number, not \"['0', '5']\".")


async def test_an_unknown_path_tells_what_there_is(api: Api) -> None:
    for path in ("extraction", "nothing"):
        status, said = refusal(await api.http.post(f"{PREFIX}/{path}", headers=key(api)))
        assert status == 404
        assert said.startswith(f"There is no '{path}' (capitals count); there is POST {PREFIX}/audio_to_midi")
