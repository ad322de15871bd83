"""``file_convert``, ``audio_cutter`` and ``audio_speed_changer``: promised links, formats, lengths, and failures."""

import dataclasses
import io
import ipaddress
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from pipeline.conversion.formats import FORMATS
from service.context import Context
from service.keys import create_key
from service.settings import Settings
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.musicgpt import PREFIX, ask_json, audio, begun, by_id, conversion, done, refusal
from support.servers import answer, http_server

ACCEPTED = {"success", "message", "task_id", "conversion_id", "eta", "credit_estimate", "status"}
CONVERSION = {
    "task_id", "conversion_id", "conversion_type", "status", "status_msg", "conversion_cost", "createdAt", "updatedAt",
    "progress", "eta", "webhook_url", "conversion_path",
}  # fmt: skip
WEBHOOK = {
    "success", "conversion_type", "task_id", "conversion_id", "status", "conversion_cost", "message", "conversion_path",
}  # fmt: skip
KINDS: list[tuple[str, str, dict[str, str], str]] = [
    ("file_convert", "File Conversion", {"target_format": "flac"}, ".flac"),
    ("audio_cutter", "Audio Cutter", {"start_time": "250", "end_time": "750"}, ".wav"),
    ("audio_speed_changer", "Audio Speed Changer", {"speed_change_factor": "2"}, ".wav"),
]
LENGTHS_S = {"file_convert": 1.0, "audio_cutter": 0.5, "audio_speed_changer": 0.5}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, allow_addresses=(ipaddress.ip_network("127.0.0.0/8"),))


NOT_YOURS = "audio_url: this link of ours leads to no audio of yours that is still kept."


def samples(content: bytes) -> Any:
    return sf.read(io.BytesIO(content), dtype="int16", always_2d=True)[0]


@pytest.mark.parametrize(("endpoint", "label", "fields", "suffix"), KINDS, ids=[kind[0] for kind in KINDS])
async def test_the_whole_way(api: Api, endpoint: str, label: str, fields: dict[str, str], suffix: str) -> None:
    promises = {"output_path"} if endpoint == "file_convert" else set()
    made = await begun(api, endpoint, name="My Song.wav", webhook_url=CALLBACK, **fields)
    assert set(made) == ACCEPTED | promises
    span = ": 500 ms, from 250 to 750 ms" if endpoint == "audio_cutter" else ""
    assert (made["success"], made["message"]) == (True, f"{label} task queued successfully{span}")
    assert (made["eta"], made["credit_estimate"], made["status"]) == (-1, 1, "IN_QUEUE")
    waiting = await conversion(api, endpoint, made["task_id"])
    assert set(waiting) == CONVERSION | promises
    assert (waiting["status"], waiting["conversion_path"]) == ("IN_QUEUE", "")

    api.clock.advance(30)
    await api.work()
    shown = await conversion(api, endpoint, made["task_id"])
    assert set(shown) == CONVERSION | promises
    assert (shown["status"], shown["status_msg"]) == ("COMPLETED", f"{label} Completed")
    assert f"/My%20Song{suffix}?" in shown["conversion_path"]
    rate_hz, channels, duration_s = audio(await api.get_bytes(shown["conversion_path"]))
    assert (rate_hz, channels) == (44_100, 2)
    assert duration_s == pytest.approx(LENGTHS_S[endpoint], abs=0.001)
    for promise in promises:
        assert made[promise] == waiting[promise] == shown[promise] == shown["conversion_path"]

    body = await api.callback_body(made["task_id"])
    assert set(body) == WEBHOOK | promises
    assert (body["success"], body["conversion_type"], body["message"]) == (True, label, f"{label} Completed")
    assert body["conversion_path"] == shown["conversion_path"]
    assert (body["task_id"], body["conversion_id"]) == (made["task_id"], made["conversion_id"])


async def test_a_promised_link_gives_nothing_before_and_the_file_then(api: Api) -> None:
    made = await begun(api, "file_convert", target_format="wav")
    path = api.path_of(made["output_path"])
    assert (await api.http.get(path)).status_code == 404
    await api.work()
    api.clock.advance(14 * 24 * 3600 - 60)  # as long as the file is kept
    assert (await api.http.get(path)).content.startswith(b"RIFF")


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format(api: Api, name: str) -> None:
    shown = await done(api, "file_convert", target_format=name.upper(), target_sr="24000", target_bit_depth="24")
    assert f"/song{FORMATS[name].suffix}?" in shown["output_path"]
    response = await api.http.get(api.path_of(shown["output_path"]))
    assert (response.status_code, response.headers["content-type"]) == (200, FORMATS[name].mime_type)
    again = await done(api, "file_convert", response.content, f"again{FORMATS[name].suffix}", target_format="wav")
    rate_hz, channels, duration_s = audio(await api.get_bytes(again["output_path"]))
    assert (rate_hz, channels) == (24_000, 2)
    assert duration_s == pytest.approx(1.0, abs=0.001 if name != "aac" else 0.1)
    if name in ("wav", "flac"):
        assert sf.info(io.BytesIO(response.content)).subtype == "PCM_24"


async def test_wav_to_flac_and_back_is_the_same(api: Api) -> None:
    source = wav_bytes(1.0, 22_050, 1)
    flac = await api.get_bytes((await done(api, "file_convert", source, target_format="flac"))["output_path"])
    wav = await api.get_bytes((await done(api, "file_convert", flac, target_format="wav"))["output_path"])
    assert np.array_equal(samples(wav), samples(source))


async def test_a_part_is_exact_to_the_sample(api: Api) -> None:
    shown = await done(api, "audio_cutter", start_time="100", end_time="350", output_extension="flac")
    cut = samples(await api.get_bytes(shown["conversion_path"]))
    assert np.array_equal(cut, samples(wav_bytes())[4410:15435])


@pytest.mark.parametrize(
    ("name", "extension", "suffix"),
    [("song.flac", "", ".flac"), ("song.flac", "mp3", ".mp3"), ("song.aiff", "", ".wav"), ("song.ogg", "", ".ogg")],
)
async def test_the_output_is_in_the_source_s_own_format_if_nothing_is_said(
    api: Api, name: str, extension: str, suffix: str
) -> None:
    content = wav_bytes(container=name.rpartition(".")[2].upper())
    shown = await done(api, "audio_speed_changer", content, name, output_extension=extension)
    assert f"/song{suffix}?" in shown["conversion_path"]
    assert audio(await api.get_bytes(shown["conversion_path"]))[2] == pytest.approx(0.5, abs=0.03)


async def test_the_pitch_stays(api: Api) -> None:
    shown = await done(api, "audio_speed_changer", wav_bytes(2.0), speed_change_factor="0.5")
    slow = samples(await api.get_bytes(shown["conversion_path"]))[:, 0]
    assert len(slow) == pytest.approx(4 * 44_100, abs=44)
    middle = slow[44_100:132_300].astype(float) * np.hanning(88_200)
    assert np.abs(np.fft.rfft(middle)).argmax() / 2 == pytest.approx(440, abs=1)


@pytest.mark.parametrize("field", ["audio_url", "audio_path"])
async def test_audio_at_an_address(api: Api, field: str) -> None:
    with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as base:
        made = (await ask_json(api, "file_convert", {field: f"{base}/a%20tune.wav", "target_format": "mp3"})).json()
        await api.work()
    shown = await conversion(api, "file_convert", made["task_id"])
    assert (shown["status"], shown["output_path"]) == ("COMPLETED", made["output_path"])
    assert "/a%20tune.mp3?" in made["output_path"]
    assert audio(await api.get_bytes(made["output_path"]))[2] == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("endpoint", ["file_convert", "audio_cutter", "audio_speed_changer"])
async def test_a_link_of_our_own_is_a_source(api: Api, endpoint: str) -> None:
    link = (await api.upload())["downloadUrl"]
    made = (await ask_json(api, endpoint, {"audio_url": link})).json()
    await api.work()
    shown = await conversion(api, endpoint, made["task_id"])
    assert shown["status"] == "COMPLETED"
    assert (await api.get_bytes(shown["conversion_path"])).startswith(b"RIFF")
    outside = await ask_json(api, "audio_cutter", {"audio_url": link, "end_time": 1001})
    assert "which is 1000 ms long" in refusal(outside)[1]


async def test_what_was_made_is_a_source_again(api: Api) -> None:
    """A chain of conversions, each of the link that the one before it gave."""
    link = (await done(api, "file_convert", target_format="flac"))["output_path"]
    cut = (await ask_json(api, "audio_cutter", {"audio_path": link, "start_time": 0, "end_time": 500})).json()
    await api.work()
    link = (await conversion(api, "audio_cutter", cut["task_id"]))["conversion_path"]
    notes = (await ask_json(api, "audio_to_midi", {"audio_url": link})).json()
    await api.work()
    shown = await conversion(api, "audio_to_midi", notes["task_id"])
    assert shown["status"] == "COMPLETED"
    back = (await ask_json(api, "file_convert", {"audio_url": shown["sonify_file_path"]})).json()
    await api.work()
    assert (await api.get_bytes(back["output_path"])).startswith(b"RIFF")
    no_audio = await ask_json(api, "audio_to_midi", {"audio_url": shown["midi_file_path"]})
    assert refusal(no_audio) == (422, NOT_YOURS)


async def test_what_another_key_made_is_no_source(api: Api, context: Context) -> None:
    link = (await done(api, "file_convert", target_format="flac"))["output_path"]
    stranger = {"Authorization": await create_key(context, "stranger")}
    refused = await api.http.post(f"{PREFIX}/extract_key_bpm", json={"audio_url": link}, headers=stranger)
    assert refusal(refused) == (422, NOT_YOURS)
    api.clock.advance(14 * 24 * 3600 + 1)
    assert refusal(await ask_json(api, "extract_key_bpm", {"audio_url": link})) == (422, NOT_YOURS)


async def test_a_source_that_others_need_outlives_its_task(api: Api) -> None:
    first = await done(api, "file_convert", target_format="flac")
    made = (await ask_json(api, "audio_cutter", {"audio_url": first["output_path"]})).json()
    assert (await api.http.delete(f"/v1/tasks/{first['task_id']}", headers=api.headers)).status_code == 204
    await api.work()
    assert (await conversion(api, "audio_cutter", made["task_id"]))["status"] == "COMPLETED"


async def test_the_same_again_keeps_each_promise(api: Api) -> None:
    first = await begun(api, "file_convert", target_format="mp3")
    await api.work()
    again = await begun(api, "file_convert", name="other.wav", target_format="mp3")
    assert again["output_path"] != first["output_path"]
    await api.work()
    shown = await conversion(api, "file_convert", again["task_id"])
    assert (shown["status"], shown["output_path"]) == ("COMPLETED", again["output_path"])
    assert "/other.mp3?" in again["output_path"]
    assert await api.get_bytes(again["output_path"]) == await api.get_bytes(first["output_path"])
    different = await done(api, "file_convert", target_format="mp3", target_sr="16000")
    assert await api.get_bytes(different["output_path"]) != await api.get_bytes(first["output_path"])


async def test_a_part_outside_lossy_audio_fails_with_its_length(api: Api) -> None:
    mp3 = await api.get_bytes((await done(api, "file_convert", target_format="mp3"))["output_path"])
    made = await begun(api, "audio_cutter", mp3, "song.mp3", start_time="5000", end_time="9000", webhook_url=CALLBACK)
    await api.work()
    shown = await conversion(api, "audio_cutter", made["task_id"])
    assert (shown["status"], shown["conversion_path"], shown["conversion_cost"]) == ("FAILED", "", 0)
    assert "1000 ms" in shown["status_msg"] or "1.0 s" in shown["status_msg"], shown["status_msg"]
    body = await api.callback_body(made["task_id"])
    assert (body["success"], body["message"], body["conversion_path"]) == (False, shown["status_msg"], "")


async def test_a_conversion_that_failed_promises_nothing_any_more(api: Api) -> None:
    with http_server(lambda handler, _: answer(handler, 404)) as base:
        body = {"audio_url": f"{base}/gone.wav", "webhook_url": CALLBACK}
        made = (await ask_json(api, "file_convert", body)).json()
        await api.work()
    shown = await conversion(api, "file_convert", made["task_id"])
    assert (shown["status"], shown["output_path"], shown["conversion_path"]) == ("FAILED", "", "")
    assert "HTTP status 404" in shown["status_msg"]
    assert (await api.callback_body(made["task_id"]))["output_path"] == ""
    assert (await api.http.get(api.path_of(made["output_path"]))).status_code == 404


async def test_a_task_that_is_cancelled_is_an_error(api: Api) -> None:
    made = await begun(api, "file_convert", webhook_url=CALLBACK)
    await api.context.store.leases.cancel(made["task_id"])
    shown = await conversion(api, "file_convert", made["task_id"])
    assert (shown["status"], shown["status_msg"], shown["output_path"]) == ("ERROR", "The task was cancelled.", "")
    body = await api.callback_body(made["task_id"])
    assert (body["success"], body["status"], body["message"]) == (False, "ERROR", "The task was cancelled.")


async def test_what_a_task_does_just_now(api: Api) -> None:
    seen: list[dict[str, Any]] = []
    made = await begun(api, "file_convert")
    claim = await api.context.store.leases.claim("tester")
    assert claim is not None
    await api.context.store.leases.renew(claim, "converting", 0.4)
    api.clock.advance(10)
    seen.append(await conversion(api, "file_convert", made["task_id"]))
    [shown] = seen
    assert (shown["status"], shown["status_msg"], shown["progress"]) == ("IN_PROGRESS", "Working: converting.", 0.4)
    assert (shown["eta"], shown["output_path"]) == (15, made["output_path"])


@pytest.mark.parametrize("spelling", ["FILE_CONVERT", "FILE_CONVERSION", "file_conversion", " File_Convert "])
async def test_by_either_id_in_either_spelling(api: Api, spelling: str) -> None:
    made = await begun(api, "file_convert")
    task_id, one = made["task_id"], made["conversion_id"]
    for ids in (
        {"task_id": task_id}, {"conversion_id": one}, {"task_id": one}, {"conversion_id": task_id},
        {"task_id": task_id, "conversion_id": one}, {"conversion_id": one.upper()},
    ):  # fmt: skip
        response = await by_id(api, spelling, **ids)
        assert response.status_code == 200, response.text
        assert response.json()["conversion"]["conversion_type"] == "FILE_CONVERT"


async def test_results_are_gone_when_their_time_is_over(api: Api) -> None:
    made = await begun(api, "file_convert")
    await api.work()
    api.clock.advance(14 * 24 * 3600 + 1)
    assert refusal(await by_id(api, "FILE_CONVERT", task_id=made["task_id"]))[0] == 404
    assert (await api.http.get(api.path_of(made["output_path"]))).status_code == 404
