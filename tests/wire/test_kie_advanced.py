"""``split_stem_advanced``: one named stem and everything else, and what the names mean."""

from typing import Any

import pytest

from pipeline.models.catalogue import CATALOGUE
from service.errors import Invalid
from service.kie.stem_names import STEM_NAMES, find_stem
from support.api import CALLBACK, Api

PATH = "/api/v1/vocal-removal/generate"
SIX = CATALOGUE["htdemucs_6s"].stems
FOUR_FIELDS = {"duration", "audio_url", "stem_type_group_name", "id"}


async def asked(api: Api, stem_name: Any, type: str = "split_stem_advanced") -> dict[str, Any]:
    source = api.source(await api.upload())
    return await api.post(PATH, {**source, "type": type, "stemName": stem_name, "callBackUrl": CALLBACK})


async def extracted(api: Api, stem_name: str) -> dict[str, Any]:
    answer = await asked(api, stem_name)
    assert answer["code"] == 200, answer
    await api.work()
    return await api.record("vocal-removal", answer["data"]["taskId"])


@pytest.mark.parametrize(
    ("stem_name", "shown", "extract", "remove", "link", "other_link"),
    [
        ("Kick", "Kick", "Drums", "No Drums", "drumsUrl", None),
        ("lead vocal", "Lead Vocal", "Vocals", "Instrumental", "vocalUrl", "instrumentalUrl"),
        (" UPRIGHT BASS ", "Upright Bass", "Bass", "No Bass", "bassUrl", None),
    ],
)
async def test_a_named_stem_and_the_rest_say_what_they_are(
    api: Api, stem_name: str, shown: str, extract: str, remove: str, link: str, other_link: str | None
) -> None:
    done = await extracted(api, stem_name)
    assert (done["successFlag"], done["stemName"]) == ("SUCCESS", shown)
    response = done["response"]
    [item] = response["originData"]
    assert set(item) == {"extract", "remove"}
    assert set(item["extract"]) == set(item["remove"]) == FOUR_FIELDS
    assert item["extract"]["stem_type_group_name"] == extract
    assert item["remove"]["stem_type_group_name"] == remove
    assert item["extract"]["id"] != item["remove"]["id"]
    assert item["extract"]["duration"] == 1.0
    assert (await api.get_bytes(item["remove"]["audio_url"])).startswith(b"fLaC")
    links = {name: url for name, url in response.items() if name.endswith("Url") and url and name != "originUrl"}
    assert links[link] == item["extract"]["audio_url"]
    assert links.get(other_link or "") == (item["remove"]["audio_url"] if other_link else None)
    assert len(links) == (2 if other_link else 1)

    info = (await api.callback_body(done["taskId"]))["data"]["vocal_removal_info"]
    assert info["origin_data"] == response["originData"]
    assert {name for name in info if name.endswith("_url")} - {"origin_url"} == {
        {
            "drumsUrl": "drums_url",
            "vocalUrl": "vocal_url",
            "bassUrl": "bass_url",
            "instrumentalUrl": "instrumental_url",
        }[name]
        for name in links
    }


async def test_both_parts_can_be_worked_on(api: Api) -> None:
    done = await extracted(api, "Drum Kit")
    [item] = done["response"]["originData"]
    for part in item.values():
        again = await api.separated(source={"taskId": done["taskId"], "audioId": part["id"]})
        assert again["successFlag"] == "SUCCESS"
    body = {"taskId": done["taskId"], "audioId": item["remove"]["id"], "callBackUrl": CALLBACK}
    assert (await api.post("/api/v1/midi/generate", body))["code"] == 200


@pytest.mark.parametrize(
    ("stem_name", "message"),
    [
        (None, "stemName is required for split_stem_advanced. With the separation model htdemucs these work: "),
        ("", "stemName is required"),
        ("  ", "stemName is required"),
        ("Flute", "stemName 'Flute' is in no stem of its own here. With the separation model htdemucs these work: "),
        ("Piano", "stemName 'Piano' is in no stem of its own here."),
        ("acoustic guitar", "stemName 'Acoustic Guitar' is in no stem of its own here."),
        ("Kazoo", "stemName 'Kazoo' is no stem name."),
        ("x" * 10_000, f"stemName '{'x' * 60}...' is no stem name."),
        (7, "stemName"),
    ],
)
async def test_a_name_that_nothing_isolates_is_refused_with_those_that_work(
    api: Api, stem_name: Any, message: str
) -> None:
    answer = await asked(api, stem_name)
    assert (answer["code"], answer["data"]) == (422, None)
    assert message in answer["msg"]
    assert len(answer["msg"]) < 700
    if stem_name != 7:
        assert "in drums: Drum Kit, Kick, Snare" in answer["msg"]
        assert "in bass: Bass, Synth Bass" in answer["msg"]
        assert "in piano" not in answer["msg"]


async def test_the_name_is_ignored_for_other_types(api: Api) -> None:
    answer = await asked(api, "Kazoo", type="split_stem")
    assert answer["code"] == 200
    await api.work()
    done = await api.record("vocal-removal", answer["data"]["taskId"])
    assert done["stemName"] is None
    assert len(done["response"]["originData"]) == 4


def test_every_name_leads_to_a_stem_or_to_none() -> None:
    assert len(STEM_NAMES) == 98
    assert set(STEM_NAMES.values()) == {"vocals", "drums", "bass", "guitar", "piano", None}
    for name, stem in STEM_NAMES.items():
        for model, stems in (("htdemucs", CATALOGUE["htdemucs"].stems), ("htdemucs_6s", SIX)):
            if stem in stems:
                assert find_stem("stemName", name.upper(), model, stems) == (name, stem)
            else:
                with pytest.raises(Invalid, match="is in no stem of its own"):
                    find_stem("stemName", name, model, stems)
    assert find_stem("stemName", "Rhodes", "htdemucs_6s", SIX) == ("Rhodes", "piano")
