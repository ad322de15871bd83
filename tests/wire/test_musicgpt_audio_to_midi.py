"""``audio_to_midi``: every field of its answer, of ``byId`` and of the webhook; the modes; files that open."""

import dataclasses
from typing import Any

import pytest

from pipeline.errors import CorruptAudio, ModelUnavailable
from pipeline.recognition import Recognised
from pipeline.song import Report
from service.settings import Settings
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.musicgpt import (
    ask_json,
    audio,
    begun,
    by_id,
    conversion,
    done,
    n_notes,
    note_events,
    refusal,
)

ANSWER = {
    "success", "message", "task_id", "conversion_id", "eta", "credit_estimate", "status", "mode",
}  # fmt: skip
RESULT = {
    "midi_file_path", "sonify_file_path", "notes_file_path", "mode", "soundfont", "bpm", "dominant_key",
}  # fmt: skip
CONVERSION = {
    "task_id", "conversion_id", "conversion_type", "status", "status_msg", "conversion_cost", "createdAt", "updatedAt",
    "progress", "eta", "webhook_url", *RESULT,
}  # fmt: skip
WEBHOOK = {
    "success", "conversion_type", "task_id", "conversion_id", "status", "conversion_cost", "message", *RESULT,
}  # fmt: skip
PIANO = Recognised("other", 0.9)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, reuse_results=False)


async def test_the_whole_way(api: Api) -> None:
    made = await begun(api, "audio_to_midi", webhook_url=CALLBACK)
    assert set(made) == ANSWER
    assert (made["success"], made["message"]) == (True, "Audio to MIDI task queued successfully")
    assert made["conversion_id"].replace("-", "") == made["task_id"]
    assert len(made["conversion_id"]) == 36
    assert (made["eta"], made["credit_estimate"], made["status"], made["mode"]) == (-1, 15, "IN_QUEUE", "auto")

    waiting = await conversion(api, "audio_to_midi", made["task_id"])
    assert set(waiting) == CONVERSION
    assert (waiting["conversion_type"], waiting["status"]) == ("AUDIO_TO_MIDI", "IN_QUEUE")
    assert (waiting["status_msg"], waiting["eta"], waiting["progress"]) == ("Waiting for a worker.", -1, 0)
    assert [waiting[name] for name in sorted(RESULT)] == [None, None, "", "auto", "", "", None]
    assert waiting["createdAt"] == waiting["updatedAt"] == "2027-01-15T08:00:00.000Z"

    api.clock.advance(61)
    await api.work()
    shown = await conversion(api, "audio_to_midi", made["task_id"])
    assert set(shown) == CONVERSION
    assert (shown["status"], shown["status_msg"]) == ("COMPLETED", "Audio to Midi Completed")
    assert (shown["conversion_cost"], shown["eta"], shown["progress"]) == (15, 0, 1)
    assert (shown["createdAt"], shown["updatedAt"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:01:01.000Z")
    assert (shown["mode"], shown["bpm"], shown["dominant_key"]) == ("song", 120.0, "A minor")
    assert shown["webhook_url"] == CALLBACK
    assert n_notes(await api.get_bytes(shown["midi_file_path"])) == 6
    assert ".mid?" in shown["midi_file_path"]
    assert audio(await api.get_bytes(shown["sonify_file_path"]))[2] > 0.5
    assert len(note_events(await api.get_bytes(shown["notes_file_path"]))) == 6

    body = await api.callback_body(made["task_id"])
    assert set(body) == WEBHOOK
    assert {name: body[name] for name in RESULT} == {name: shown[name] for name in RESULT}
    assert (body["success"], body["conversion_type"], body["message"]) == (
        True, "Audio to MIDI", "Audio to Midi Completed",
    )  # fmt: skip
    assert (body["task_id"], body["conversion_id"]) == (made["task_id"], made["conversion_id"])
    assert (body["status"], body["conversion_cost"]) == ("COMPLETED", 15)


async def test_only_what_is_asked_for_is_made(api: Api) -> None:
    shown = await done(api, "audio_to_midi", sonify_midi="False", save_note_events="0", webhook_url=CALLBACK)
    assert (shown["sonify_file_path"], shown["notes_file_path"], shown["soundfont"]) == ("", "", None)
    assert n_notes(await api.get_bytes(shown["midi_file_path"])) > 0
    assert "sonify" not in api.pipeline.calls
    body = await api.callback_body(shown["task_id"])
    assert (body["sonify_file_path"], body["notes_file_path"]) == ("", "")
    played = await done(api, "audio_to_midi", wav_bytes(0.5), save_note_events="no")
    assert (played["sonify_file_path"] != "", played["notes_file_path"]) == (True, "")


@pytest.mark.parametrize(
    ("stem", "mode", "n"),
    [(None, "song", 6), ("other", "instrument", 2), ("bass", "bass", 2), ("drums", "drums", 2), ("vocals", "voice", 0)],
)
async def test_what_the_audio_is_gets_recognised(api: Api, stem: str | None, mode: str, n: int) -> None:
    api.pipeline.recognised = Recognised(stem, 0.9)
    shown = await done(api, "audio_to_midi", webhook_url=CALLBACK)
    assert shown["mode"] == (await api.callback_body(shown["task_id"]))["mode"] == mode
    assert api.pipeline.calls[:2] == ["recognise", "separate" if stem is None else "transcribe"]
    assert n_notes(await api.get_bytes(shown["midi_file_path"])) == n


@pytest.mark.parametrize("mode", ["song", "Instrument", "voice", "bass", "DRUMS"])
async def test_a_mode_that_is_said_is_not_looked_for(api: Api, mode: str) -> None:
    api.pipeline.recognised = PIANO
    made = await begun(api, "audio_to_midi", mode=mode)
    await api.work()
    assert made["mode"] == (await conversion(api, "audio_to_midi", made["task_id"]))["mode"] == mode.lower()
    assert "recognise" not in api.pipeline.calls
    assert ("separate" in api.pipeline.calls) == (mode == "song")


async def test_the_transcriber_can_be_chosen(api: Api) -> None:
    await done(api, "audio_to_midi", transcriber="basic-pitch", mode="instrument", sonify_midi="0")
    assert api.pipeline.calls == ["transcribe with basic-pitch"]


async def test_another_attempt_goes_on_where_the_first_broke_off(api: Api) -> None:
    def fail_once_in_transcription(_: Report) -> None:
        if api.pipeline.calls.count("transcribe") == 1:
            raise ModelUnavailable("away for a moment")

    api.pipeline.during = fail_once_in_transcription
    made = await begun(api, "audio_to_midi")
    await api.work()
    between = await conversion(api, "audio_to_midi", made["task_id"])
    assert (between["status"], between["midi_file_path"]) == ("IN_QUEUE", "")
    api.clock.advance(60)
    await api.work()
    assert (await conversion(api, "audio_to_midi", made["task_id"]))["status"] == "COMPLETED"
    assert api.pipeline.calls == ["recognise", "separate", "transcribe", "transcribe", "sonify"]


async def test_a_lost_lease_in_the_middle_loses_no_stage(api: Api) -> None:
    """The worker dies in the transcription; another one takes the task over when the lease has run out."""

    class Killed(BaseException):
        pass

    def die_once_in_transcription(_: Report) -> None:
        if api.pipeline.calls.count("transcribe") == 1:
            raise Killed

    api.pipeline.recognised = PIANO
    api.pipeline.during = die_once_in_transcription
    made = await begun(api, "audio_to_midi")
    with pytest.raises(Killed):
        await api.work()
    assert (await conversion(api, "audio_to_midi", made["task_id"]))["status"] == "IN_PROGRESS"
    api.clock.advance(api.context.settings.lease_seconds + 1)
    await api.context.store.leases.reap()
    api.clock.advance(60)
    await api.work()
    shown = await conversion(api, "audio_to_midi", made["task_id"])
    assert (shown["status"], shown["mode"]) == ("COMPLETED", "instrument")
    assert api.pipeline.calls == ["recognise", "transcribe", "transcribe", "sonify"]


async def test_the_same_audio_is_worked_on_once(api: Api) -> None:
    store = api.context.settings
    api.context.settings = dataclasses.replace(store, reuse_results=True)
    first = await done(api, "audio_to_midi")
    n_before = len(api.pipeline.calls)
    again = await done(api, "audio_to_midi", name="another.wav", mode="auto", webhook_url=CALLBACK)
    assert len(api.pipeline.calls) == n_before
    for name in ("midi_file_path", "sonify_file_path", "notes_file_path"):
        assert first[name] != again[name]
        assert await api.get_bytes(first[name]) == await api.get_bytes(again[name])
    assert (again["mode"], again["bpm"]) == (first["mode"], first["bpm"])
    without = await done(api, "audio_to_midi", sonify_midi="0")
    assert (without["sonify_file_path"], without["mode"]) == ("", "song")
    assert api.pipeline.calls.count("recognise") == api.pipeline.calls.count("separate") == 1


@pytest.mark.parametrize("upload_first", [True, False], ids=["of an upload", "of a stem"])
async def test_links_of_our_own_are_sources(api: Api, upload_first: bool) -> None:
    if upload_first:
        link = (await api.upload())["downloadUrl"]
    else:
        link = (await done(api, "Extraction", stems='["bass"]'))["bass_url"]
    api.pipeline.calls.clear()
    response = await ask_json(api, "audio_to_midi", {"audio_path": link, "mode": "bass"})
    assert response.status_code == 200
    await api.work()
    shown = await conversion(api, "audio_to_midi", response.json()["task_id"])
    assert (shown["status"], shown["mode"]) == ("COMPLETED", "bass")


async def test_the_native_dialect_shows_and_deletes_it(api: Api) -> None:
    shown = await done(api, "audio_to_midi")
    task = await api.get(f"/v1/tasks/{shown['task_id']}")
    assert (task["kind"], task["status"]) == ("audio_to_midi", "succeeded")
    assert [one["name"] for one in task["result"]["instruments"]] == ["Drums", "Electric Piano 1", "Electric Piano 1"]
    assert (await api.http.delete(f"/v1/tasks/{shown['task_id']}", headers=api.headers)).status_code == 204
    assert refusal(await by_id(api, "AUDIO_TO_MIDI", task_id=shown["task_id"]))[0] == 404


def _broken(_: Any) -> None:
    raise CorruptAudio("The file breaks off at 12.3 s of 180.0 s.")


async def test_a_failure_tells_why_in_both_places(api: Api) -> None:
    api.pipeline.during = _broken
    made = await begun(api, "audio_to_midi", webhook_url=CALLBACK)
    await api.work()
    shown = await conversion(api, "audio_to_midi", made["task_id"])
    assert set(shown) == CONVERSION
    assert (shown["status"], shown["status_msg"]) == ("FAILED", "The file breaks off at 12.3 s of 180.0 s.")
    assert (shown["conversion_cost"], shown["eta"]) == (0, 0)
    body = await api.callback_body(made["task_id"])
    assert set(body) == WEBHOOK
    assert (body["success"], body["status"], body["message"]) == (False, "FAILED", shown["status_msg"])
    assert (body["midi_file_path"], body["sonify_file_path"], body["notes_file_path"]) == ("", "", "")
