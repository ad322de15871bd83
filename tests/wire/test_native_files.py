"""``GET /v1/tasks/{id}/files/{name}`` and ``stems.zip``: by key and by link, whole and in ranges."""

import io
import zipfile
from typing import Any

from support.api import Api
from support.audio import wav_bytes
from support.stored import stored_keys

NAMES = {
    "song.mid": ("audio/midi", b"MThd"),
    "drums.mid": ("audio/midi", b"MThd"),
    "notes.csv": ("text/csv", b"start_time_s"),
    "score.musicxml": ("application/vnd.recordare.musicxml+xml", b"<?xml"),
    "piano-roll.svg": ("image/svg+xml", b"<"),
    "preview.mp3": ("audio/mpeg", b""),
    "beats.json": ("application/json", b'{"tempo":120.0'),
    "vocals.flac": ("audio/flac", b"fLaC"),
    "stems.zip": ("application/zip", b"PK\x03\x04"),
}


async def done(api: Api, name: str = "song.wav", **fields: str) -> str:
    response = await api.http.post(
        "/v1/transcriptions", files={"file": (name, wav_bytes())}, data=fields, headers=api.headers
    )
    await api.work()
    return response.json()["id"]


async def get(api: Api, task_id: str, name: str, method: str = "GET", **headers: str) -> Any:
    path = f"/v1/tasks/{task_id}/files/{name}"
    return await api.http.request(method, path, headers={**api.headers, **headers})


async def test_every_file_by_its_name(api: Api) -> None:
    task_id = await done(api)
    links = (await api.get(f"/v1/tasks/{task_id}"))["result"]["files"]
    for name, (media_type, begins) in NAMES.items():
        response = await get(api, task_id, name)
        assert response.status_code == 200, name
        assert response.headers["content-type"].partition(";")[0] == media_type
        assert response.content.startswith(begins)
        assert int(response.headers["content-length"]) == len(response.content) > 0
        assert f"filename*=UTF-8''{name}" in response.headers["content-disposition"]
        assert await api.get_bytes(links[name]) == response.content

        head = await get(api, task_id, name, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        for header in ("content-length", "etag", "accept-ranges", "content-type"):
            assert head.headers[header] == response.headers[header]

        known = await get(api, task_id, name, **{"If-None-Match": response.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        some = await get(api, task_id, name, Range="bytes=2-9")
        assert (some.status_code, some.content) == (206, response.content[2:10])
        assert some.headers["content-range"] == f"bytes 2-9/{len(response.content)}"
        beyond = await get(api, task_id, name, Range=f"bytes={len(response.content)}-")
        assert beyond.status_code == 416


async def test_the_archive_is_a_valid_zip_wherever_it_is_cut(api: Api) -> None:
    task_id = await done(api, stems="vocals,drums")
    whole = (await get(api, task_id, "stems.zip")).content
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["drums.flac", "vocals.flac"]
        for name in archive.namelist():
            assert archive.read(name) == (await get(api, task_id, name)).content
            assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED
    step = len(whole) // 7 + 1
    pieces = [
        (await get(api, task_id, "stems.zip", Range=f"bytes={at}-{at + step - 1}")).content
        for at in range(0, len(whole), step)
    ]
    assert b"".join(pieces) == whole
    assert (await get(api, task_id, "stems.zip", Range="bytes=-30")).content == whole[-30:]


async def test_other_names_are_answered_with_those_there_are(api: Api) -> None:
    task_id = await done(api, name="drums.mid", stems="vocals")  # a source never takes a result's place
    assert (await get(api, task_id, "drums.mid")).content.startswith(b"MThd")
    for name in ("tuba.flac", "drums.flac", "source.wav", "x%2F..%2Fsong.mid", "song.mid%00"):
        response = await get(api, task_id, name)
        assert response.status_code == 404
    detail = (await get(api, task_id, "tuba.flac")).json()["detail"]
    for name in ("song.mid", "bass.mid", "notes.csv", "vocals.flac", "stems.zip"):
        assert name in detail
    assert "drums.flac" not in detail


async def test_a_task_without_files_says_so(api: Api) -> None:
    response = await api.http.post("/v1/transcriptions", files={"file": wav_bytes()}, headers=api.headers)
    for name in ("song.mid", "stems.zip"):
        refused = await get(api, response.json()["id"], name)
        assert (refused.status_code, refused.json()["detail"]) == (
            404, f"There is no file {name!r}; the task has none.",
        )  # fmt: skip


async def test_files_whose_bytes_are_gone_are_not_found(api: Api) -> None:
    task_id = await done(api)
    links = (await api.get(f"/v1/tasks/{task_id}"))["result"]["files"]
    await api.context.storage.delete(await stored_keys(api.context))
    for name in ("song.mid", "stems.zip"):
        assert (await get(api, task_id, name)).status_code == 404
        assert (await api.http.get(api.path_of(links[name]))).status_code == 404


async def test_the_archives_link_is_good_for_nothing_else(api: Api) -> None:
    task_id = await done(api)
    url = (await api.get(f"/v1/tasks/{task_id}"))["result"]["files"]["stems.zip"]
    for other in (url.replace("stems.zip", "song.mid"), url[:-2] + "xx", url.replace("exp=", "exp=9")):
        assert (await api.http.get(api.path_of(other))).status_code == 404
    upload = (await api.upload())["downloadUrl"]
    assert (await api.http.get(api.path_of(upload.replace("song.wav", "stems.zip")))).status_code == 404
    as_source = await api.http.post("/v1/transcriptions", json={"url": url}, headers=api.headers)
    assert (as_source.status_code, as_source.json()["detail"]) == (422, "Record does not exist")
    api.clock.advance(15 * 24 * 3600)
    assert (await api.http.get(api.path_of(url))).status_code == 404
