"""``Extraction`` and ``extract_key_bpm``: their fields, stems that open, both names of the latter."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile as sf

from service.settings import Settings
from support.api import CALLBACK, Api
from support.musicgpt import ask, audio, begun, by_id, conversion, done

SHARED = {
    "task_id", "conversion_id", "conversion_type", "status", "status_msg", "conversion_cost", "createdAt", "updatedAt",
    "progress", "eta", "webhook_url",
}  # fmt: skip
SENT = {"success", "conversion_type", "task_id", "conversion_id", "status", "conversion_cost", "message"}
FOUND = {"dominant_key", "bpm", "key_changes", "key_confidence", "bpm_confidence"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, reuse_results=False)


async def test_the_whole_way_of_stems(api: Api) -> None:
    stems = ["bass", "instrumental", "drums"]
    keys = {f"{stem}_{kind}" for stem in stems for kind in ("url", "path")}
    made = await begun(api, "Extraction", stems='["bass", "instrumental", "drums"]', webhook_url=CALLBACK)
    assert (made["message"], made["credit_estimate"]) == ("Extraction task queued successfully", 10)
    waiting = await conversion(api, "Extraction", made["task_id"])
    assert set(waiting) == SHARED | keys
    assert [waiting[key] for key in keys] == [""] * 6
    await api.work()
    shown = await conversion(api, "Extraction", made["task_id"])
    assert set(shown) == SHARED | keys
    assert (shown["conversion_type"], shown["status"]) == ("EXTRACTION", "COMPLETED")
    assert shown["status_msg"] == "Extraction Completed"
    for stem in stems:
        assert shown[f"{stem}_url"] == shown[f"{stem}_path"]
        assert f"/{stem}.flac?" in shown[f"{stem}_url"]
        assert audio(await api.get_bytes(shown[f"{stem}_url"]))[2] == 1.0
    body = await api.callback_body(made["task_id"])
    assert set(body) == SENT | keys
    assert {key: body[key] for key in keys} == {key: shown[key] for key in keys}
    assert (body["conversion_type"], body["message"]) == ("Extraction", "Extraction Completed")
    for spelling in ("EXTRACTION", "STEMS_SEPARATION"):
        assert (await by_id(api, spelling, conversion_id=made["conversion_id"])).status_code == 200


@pytest.mark.parametrize(
    ("stems", "calls"),
    [
        ("", ["separate"]),
        ('["instrumental"]', ["separate"]),
        ('["vocals"]', ["separate"]),
        ('["drums","vocals"]', ["separate"]),
        ('["other","instrumental"]', ["separate", "subtract"]),
    ],
)
async def test_only_what_is_needed_is_done(api: Api, stems: str, calls: list[str]) -> None:
    shown = await done(api, "Extraction", stems=stems)
    wanted = {key.removesuffix("_url") for key in shown if key.endswith("_url")} - {"webhook"}
    assert wanted == ({"vocals", "instrumental"} if not stems else set(stems.strip('[]"').split('","')))
    assert api.pipeline.calls == calls
    task = await api.get(f"/v1/tasks/{shown['task_id']}")
    assert {stem["name"] for stem in task["result"]["stems"]} == wanted


async def test_instrumental_is_the_source_without_the_vocals(api: Api) -> None:
    """Whether it is split off alone or taken from all stems is nobody's business but ours."""
    shown = await done(api, "Extraction", stems='["vocals","instrumental","drums"]')
    contents = [await api.get_bytes(shown[f"{stem}_url"]) for stem in ("vocals", "instrumental")]
    vocals, rest = (sf.read(io.BytesIO(content), dtype="int16")[0] for content in contents)
    assert np.array_equal(rest, -(vocals // 2))  # what the pipeline of the tests makes of vocals


@pytest.mark.parametrize("endpoint", ["extract_key_bpm", "KeyBpmExtract"])
async def test_the_whole_way_of_key_and_tempo(api: Api, endpoint: str) -> None:
    made = (await ask(api, endpoint, webhook_url=CALLBACK)).json()
    assert (made["message"], made["credit_estimate"]) == ("Key BPM Extraction task queued successfully", 2)
    waiting = await conversion(api, "extract_key_bpm", made["task_id"])
    assert set(waiting) == SHARED | FOUND
    assert [waiting[key] for key in sorted(FOUND)] == [None, None, None, {}, None]
    await api.work()
    for spelling in ("KEY_BPM_EXTRACTION", "EXTRACT_KEY_BPM"):
        shown = (await by_id(api, spelling, task_id=made["task_id"])).json()["conversion"]
        assert set(shown) == SHARED | FOUND
        assert (shown["conversion_type"], shown["status"]) == ("KEY_BPM_EXTRACTION", "COMPLETED")
        assert (shown["dominant_key"], shown["bpm"]) == ("A minor", 120.0)
        assert shown["key_changes"] == {"0.00-1.00": "A minor"}
        assert (shown["key_confidence"], shown["bpm_confidence"]) == (0.75, 0.9)
    body = await api.callback_body(made["task_id"])
    assert set(body) == SENT | FOUND
    assert {key: body[key] for key in FOUND} == {key: shown[key] for key in FOUND}
    assert (body["conversion_type"], body["message"]) == ("Key BPM Extraction", "Key BPM Extraction Completed")


async def test_key_and_tempo_of_the_same_audio_are_looked_for_once(api: Api) -> None:
    api.context.settings = dataclasses.replace(api.context.settings, reuse_results=True)
    first, again = [await done(api, "extract_key_bpm") for _ in range(2)]
    assert {key: first[key] for key in FOUND} == {key: again[key] for key in FOUND}
    assert api.pipeline.calls == ["tempo_and_key"]
