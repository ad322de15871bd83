"""Stored files by signed link: ranges, caching, and links that were tampered with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.files import UnsatisfiableRange, parse_range
from support.api import Api
from support.audio import wav_bytes

SONG = wav_bytes()


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-4", 10, (0, 4)),
        ("bytes=5-", 10, (5, 9)),
        ("bytes=-3", 10, (7, 9)),
        ("bytes=-30", 10, (0, 9)),
        ("bytes=0-99", 10, (0, 9)),
        ("bytes=9-9", 10, (9, 9)),
        ("bytes=4-2", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=-", 10, None),
        ("lines=1-2", 10, None),
        ("nonsense", 10, None),
    ],
)
def test_ranges(header: str | None, size: int, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, size) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_ranges_outside_the_file(header: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, size)


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}", fullmatch=True), st.integers(0, 10**12))
def test_any_header_gives_a_range_inside_the_file_or_none(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except UnsatisfiableRange:
        return
    assert span is None or 0 <= span[0] <= span[1] < size


async def test_whole_part_head_and_not_modified(api: Api) -> None:
    path = api.path_of((await api.upload(SONG))["downloadUrl"])
    whole = await api.http.get(path)
    assert (whole.status_code, whole.content) == (200, SONG)
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["content-length"] == str(len(SONG))
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"] == "attachment; filename*=UTF-8''song.wav"
    etag = whole.headers["etag"]

    part = await api.http.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, SONG[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(SONG)}"
    rest = await api.http.get(path, headers={"Range": "bytes=200-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, SONG[200:])
    changed = await api.http.get(path, headers={"Range": "bytes=200-", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, SONG)

    head = await api.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(SONG))
    assert (await api.http.get(path, headers={"If-None-Match": etag})).status_code == 304
    outside = await api.http.get(path, headers={"Range": f"bytes={len(SONG)}-"})
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{len(SONG)}"
    assert outside.headers["content-type"] == "application/problem+json"
    assert (outside.json()["status"], outside.json()["code"]) == (416, "range_not_satisfiable")
    assert f"{len(SONG)} bytes" in outside.json()["detail"]


async def test_tampered_and_expired_links_are_not_found(api: Api) -> None:
    link = api.path_of((await api.upload(SONG))["downloadUrl"])
    other = api.path_of((await api.upload(SONG))["downloadUrl"])
    signature = link.partition("sig=")[2]
    for bad in (
        link[:-1] + ("A" if link[-1] != "A" else "B"),
        link.replace("exp=", "exp=9"),
        link.replace("song.wav", "other.wav"),
        other.partition("sig=")[0] + "sig=" + signature,
        link.partition("&sig=")[0],
        link.partition("?")[0],
        link.replace("exp=", "exp=x"),
    ):
        response = await api.http.get(bad)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), bad
        assert response.json()["detail"] == "This link is not valid; or its file is not there yet, or has expired."
        assert response.headers["content-type"].startswith("application/problem+json")
    api.clock.advance(14 * 24 * 3600 + 1)
    assert (await api.http.get(link)).status_code == 404


async def test_a_name_in_any_script_survives(api: Api) -> None:
    uploaded = await api.upload(SONG, name="夜の歌 ♫.wav")
    assert uploaded["fileName"] == "夜の歌 ♫.wav"
    response = await api.http.get(api.path_of(uploaded["downloadUrl"]))
    assert response.status_code == 200
    assert "%E5%A4%9C" in response.headers["content-disposition"]
