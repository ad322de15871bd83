"""Downloads where clients reach S3 themselves: the API checks the link and sends them there."""

import dataclasses

import httpx
import pytest

from service.settings import Settings
from support.api import Api, started
from support.audio import wav_bytes
from support.s3 import S3Server


@pytest.fixture
def size() -> str:
    return "scaled"


@pytest.fixture
def settings(settings: Settings, s3: S3Server) -> Settings:
    return dataclasses.replace(settings, storage_public_url=s3.endpoint)


async def test_a_download_is_redirected_to_the_storage(api: Api, s3: S3Server) -> None:
    path = api.path_of((await api.upload(name="曲.wav"))["downloadUrl"])
    for method in ("GET", "HEAD"):
        sent = await api.http.request(method, path)
        assert (sent.status_code, sent.content) == (307, b"")
        assert sent.headers["location"].startswith(f"{s3.endpoint}/")
        assert sent.headers["cache-control"] == "no-store"  # the address is good for minutes, the link for days
        async with httpx.AsyncClient() as http:
            answer = await http.request(method, sent.headers["location"])
        assert answer.status_code == 200
        assert answer.content == (wav_bytes() if method == "GET" else b"")
        if method == "GET":  # to HEAD, the tests' server does not tell what it was asked to
            assert answer.headers["content-type"] == "audio/wav"
            assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%E6%9B%B2.wav"
    same = await api.http.get(path, headers={"If-None-Match": sent.headers["etag"]})
    assert same.status_code == 304
    assert (await api.http.get(path[:-2] + "xx")).status_code == 404


async def test_ranges_are_the_storages(api: Api) -> None:
    path = api.path_of((await api.upload())["downloadUrl"])
    sent = await api.http.get(path, headers={"Range": "bytes=10-19"})
    assert sent.status_code == 307
    async with httpx.AsyncClient() as http:
        part = await http.get(sent.headers["location"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, wav_bytes()[10:20])


async def test_files_by_their_names_too_but_archives_are_made_here(api: Api) -> None:
    task_id = await started(api)
    await api.work()
    file = await api.http.get(f"/v1/tasks/{task_id}/files/song.mid", headers=api.headers)
    assert file.status_code == 307
    archive = await api.http.get(f"/v1/tasks/{task_id}/files/stems.zip", headers=api.headers)
    assert (archive.status_code, archive.content[:2]) == (200, b"PK")
