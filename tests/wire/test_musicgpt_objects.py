"""Audio named as ``s3://BUCKET/KEY``: of the storage's own bucket and of those the operator names, and no other."""

import dataclasses
from collections.abc import Iterator

import obstore
import pytest
from obstore.store import S3Store

from service.context import Context
from service.settings import Settings
from service.storage.source_buckets import SourceBuckets
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.musicgpt import ask_json, audio, conversion, n_notes, refusal
from support.s3 import BUCKET, S3Server, make_bucket
from support.stored import stored_keys

OTHER = "songs-of-the-client"
SCALED = pytest.mark.parametrize("size", ["scaled"])
WHERE = pytest.mark.parametrize("field", ["audio_url", "audio_path"])


class Objects:
    """Objects of a client's, in either bucket."""

    def __init__(self) -> None:
        self._put: list[tuple[str, str]] = []

    def put(self, bucket: str, key: str, content: bytes) -> str:
        obstore.put(self._store(bucket), key, content)
        self._put.append((bucket, key))
        return f"s3://{bucket}/{key}"

    def delete(self) -> None:
        for bucket, key in self._put:
            obstore.delete(self._store(bucket), key)

    def _store(self, bucket: str) -> S3Store:
        return S3Store(bucket, client_options={"allow_http": True})


@pytest.fixture
def objects(s3: S3Server) -> Iterator[Objects]:
    make_bucket(s3.endpoint, OTHER)
    made = Objects()
    yield made
    made.delete()


def name_buckets(api: Api, buckets: str) -> None:
    """Set the buckets that clients may name."""
    context: Context = api.context
    context.settings = dataclasses.replace(context.settings, source_buckets=buckets)
    context.source_buckets = SourceBuckets(context.settings)


@SCALED
@WHERE
async def test_an_object_is_written_down(api: Api, objects: Objects, field: str) -> None:
    address = objects.put(BUCKET, "incoming/夜 song+1.wav", wav_bytes())
    made = await ask_json(api, "audio_to_midi", {field: address, "webhook_url": CALLBACK})
    assert made.status_code == 200, made.text
    await api.work()
    shown = await conversion(api, "audio_to_midi", made.json()["task_id"])
    assert (shown["status"], shown["mode"]) == ("COMPLETED", "song"), shown
    assert n_notes(await api.get_bytes(shown["midi_file_path"])) == 6


@SCALED
async def test_every_endpoint_takes_one(api: Api, objects: Objects) -> None:
    address = objects.put(BUCKET, "song.wav", wav_bytes())
    for endpoint in ("file_convert", "Extraction", "extract_key_bpm", "audio_cutter", "audio_speed_changer"):
        made = (await ask_json(api, endpoint, {"audio_path": address})).json()
        assert made["success"], made
        if endpoint == "file_convert":
            assert "/song.wav?" in made["output_path"]
        await api.work()
        shown = await conversion(api, endpoint, made["task_id"])
        assert shown["status"] == "COMPLETED", (endpoint, shown)
    assert audio(await api.get_bytes(shown["conversion_path"]))[2] == pytest.approx(0.5, abs=0.01)


@SCALED
@WHERE
async def test_a_missing_object_is_not_found(api: Api, objects: Objects, field: str) -> None:
    address = f"s3://{BUCKET}/no/such.wav"
    assert refusal(await ask_json(api, "audio_to_midi", {field: address})) == (404, f"There is no object {address}.")
    assert (await api.get("/v1/tasks"))["tasks"] == []


@SCALED
async def test_an_object_that_goes_before_it_is_fetched(api: Api, objects: Objects) -> None:
    address = objects.put(BUCKET, "song.wav", wav_bytes())
    made = (await ask_json(api, "extract_key_bpm", {"audio_url": address, "webhook_url": CALLBACK})).json()
    objects.delete()
    await api.work()
    shown = await conversion(api, "extract_key_bpm", made["task_id"])
    assert (shown["status"], shown["status_msg"]) == ("FAILED", f"There is no object {address}.")


@SCALED
async def test_what_the_service_keeps_is_nobody_s_object(api: Api, objects: Objects) -> None:
    await api.upload()
    prefix = api.context.settings.storage_url.partition(f"s3://{BUCKET}/")[2]
    [stored] = await stored_keys(api.context)
    assert stored.startswith("objects/")
    address = f"s3://{BUCKET}/{prefix}/{stored}"
    assert refusal(await ask_json(api, "audio_to_midi", {"audio_url": address})) == (
        404, f"There is no object {address}.",
    )  # fmt: skip
    for way in (
        f"/{prefix}/{stored}",
        f"{prefix}/{stored}/",
        f"x/../{prefix}/{stored}",
        f"./{prefix}/{stored}",
        f"{prefix}//{stored}",
        f"{prefix}/%6fbjects/{stored.partition('/')[2]}",
        f"%2F{prefix}/{stored}",
    ):
        status, _ = refusal(await ask_json(api, "audio_to_midi", {"audio_url": f"s3://{BUCKET}/{way}"}))
        assert status in (404, 422), way
    name_buckets(api, f"{BUCKET},{OTHER}")
    assert refusal(await ask_json(api, "audio_to_midi", {"audio_url": address}))[0] == 404


@SCALED
async def test_only_buckets_that_are_named(api: Api, objects: Objects) -> None:
    own, other = objects.put(BUCKET, "a.wav", wav_bytes()), objects.put(OTHER, "objects/a.wav", wav_bytes())
    of_own = (await ask_json(api, "audio_to_midi", {"audio_url": own})).json()["task_id"]
    refused = (422, f"audio_url: the bucket '{OTHER}' is not one that may be read here.")
    assert refusal(await ask_json(api, "audio_to_midi", {"audio_url": other})) == refused
    name_buckets(api, OTHER)
    of_other = (await ask_json(api, "audio_to_midi", {"audio_url": other})).json()["task_id"]
    assert refusal(await ask_json(api, "audio_to_midi", {"audio_url": own}))[0] == 422
    name_buckets(api, "none")
    for address in (own, other):
        status, said = refusal(await ask_json(api, "audio_to_midi", {"audio_path": address}))
        assert (status, said.startswith("audio_path: s3:// addresses are not taken here")) == (422, True)
    name_buckets(api, "")
    await api.work()
    assert (await api.get(f"/v1/tasks/{of_own}"))["status"] == "succeeded"
    failed = await api.get(f"/v1/tasks/{of_other}")
    assert (failed["status"], failed["error"]["message"]) == (
        "failed", f"the source: the bucket '{OTHER}' is not one that may be read here.",
    )  # fmt: skip


@SCALED
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"only words, nothing to hear\n" * 50, "text"), (bytes(1_000_001), "larger than the limit of 1 MB")],
)
async def test_objects_that_are_no_usable_audio(api: Api, objects: Objects, content: bytes, message: str) -> None:
    api.context.settings = dataclasses.replace(api.context.settings, max_upload_mb=1)
    address = objects.put(BUCKET, "a.wav", content)
    made = (await ask_json(api, "file_convert", {"audio_url": address, "webhook_url": CALLBACK})).json()
    await api.work()
    shown = await conversion(api, "file_convert", made["task_id"])
    assert (shown["status"], message in shown["status_msg"]) == ("FAILED", True), shown
    assert (await api.callback_body(made["task_id"]))["message"] == shown["status_msg"]
    assert list(api.context.storage.scratch_dir.iterdir()) == []


@SCALED
async def test_addresses_that_are_none(api: Api) -> None:
    for address in (
        "s3://",
        f"s3://{BUCKET}",
        f"s3://{BUCKET}/",
        "s3:///a",
        "s3://x/a/",
        f"S3://{BUCKET}/{'x' * 1100}",
    ):
        status, said = refusal(await ask_json(api, "audio_to_midi", {"audio_url": address}))
        assert (status, said) == (422, "audio_url must be s3://BUCKET/KEY, of at most 1100 characters."), address


@SCALED
async def test_a_key_with_a_control_character(api: Api, objects: Objects) -> None:
    for key in ("a\x00b", "a\nb", "\x7f"):
        status, _ = refusal(await ask_json(api, "audio_to_midi", {"audio_url": f"s3://{BUCKET}/{key}"}))
        assert status in (404, 422)
    name_buckets(api, OTHER)
    assert refusal(await ask_json(api, "audio_to_midi", {"audio_url": f"s3://{OTHER}/a\x00b"}))[0] in (404, 422)


@SCALED
async def test_a_storage_that_is_away(
    api: Api, settings: Settings, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    name_buckets(api, OTHER)
    response = await ask_json(api, "audio_to_midi", {"audio_url": f"s3://{OTHER}/a.wav"})
    assert refusal(response) == (503, "The service's storage of files cannot be used just now; try again in a moment.")
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("size", ["embedded"])
@WHERE
async def test_without_a_storage_there_are_no_objects(api: Api, field: str) -> None:
    status, said = refusal(await ask_json(api, "audio_to_midi", {field: "s3://songs/a.wav"}))
    assert status == 422
    assert said == (
        f"{field}: s3:// addresses are not taken here; the settings STEMSCRIBE_STORAGE_URL and "
        "STEMSCRIBE_SOURCE_BUCKETS name no bucket. Give an http(s) address, or the file itself."
    )
