"""Fetching from addresses that clients name: real servers, well-behaved and not."""

import hashlib
import ipaddress
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support.servers import answer, http_server

from service.errors import AddressRefused, SourceFetchFailed, TooLarge
from service.net.fetch import Fetched, fetch

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SONG = bytes(range(256)) * 400


async def get(url: str, to: Path, *, max_bytes: int = 1_000_000, timeout_s: float = 5.0) -> Fetched:
    return await fetch(url, to, allow=LOOPBACK, max_bytes=max_bytes, timeout_s=timeout_s)


async def test_a_file_arrives_whole_with_its_hash(tmp_path: Path) -> None:
    with http_server(lambda handler, _: answer(handler, 200, SONG)) as base:
        got = await get(f"{base}/a%20song.mp3?token=1", tmp_path / "file")
    assert got == Fetched("a song.mp3", len(SONG), hashlib.sha256(SONG).hexdigest())
    assert (tmp_path / "file").read_bytes() == SONG


async def test_loopback_is_refused_unless_allowed(tmp_path: Path) -> None:
    asked: list[str] = []
    with http_server(lambda handler, _: asked.append(handler.path)) as base, pytest.raises(AddressRefused):
        await fetch(f"{base}/x", tmp_path / "file", allow=(), max_bytes=10, timeout_s=5)
    assert asked == []


async def test_redirects_are_followed_but_each_is_vetted(tmp_path: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        if handler.path == "/there":
            answer(handler, 200, SONG)
        elif handler.path == "/near":
            answer(handler, 302, Location="/there")
        else:
            answer(handler, 302, Location="http://169.254.169.254/latest/meta-data/")

    with http_server(respond) as base:
        assert (await get(f"{base}/near", tmp_path / "file")).size_bytes == len(SONG)
        with pytest.raises(AddressRefused, match=r"169\.254\.169\.254"):
            await get(f"{base}/metadata", tmp_path / "file")


async def test_a_redirect_to_another_scheme_is_refused(tmp_path: Path) -> None:
    with (
        http_server(lambda handler, _: answer(handler, 302, Location="file:///etc/passwd")) as base,
        pytest.raises(SourceFetchFailed),
    ):
        await get(f"{base}/x", tmp_path / "file")


async def test_a_redirect_loop_ends(tmp_path: Path) -> None:
    with (
        http_server(lambda handler, _: answer(handler, 302, Location="/again")) as base,
        pytest.raises(SourceFetchFailed),
    ):
        await get(f"{base}/x", tmp_path / "file")


async def test_an_error_status_is_named(tmp_path: Path) -> None:
    with (
        http_server(lambda handler, _: answer(handler, 404)) as base,
        pytest.raises(SourceFetchFailed, match="HTTP status 404"),
    ):
        await get(f"{base}/x", tmp_path / "file")


async def test_an_endless_body_stops_at_the_limit(tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _block in range(1000):
                handler.wfile.write(b"x" * 65536)
        except OSError:
            return  # the client hung up, as it should

    with http_server(endless) as base, pytest.raises(TooLarge, match="limit of 1 MB"):
        await get(f"{base}/x", tmp_path / "file")
    assert (tmp_path / "file").stat().st_size <= 1_100_000


async def test_a_dripping_body_ends_with_the_time_allowed(tmp_path: Path) -> None:
    def drip(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _block in range(40):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            return

    with http_server(drip) as base, pytest.raises(SourceFetchFailed, match=r"within 0\.5 s"):
        await get(f"{base}/x", tmp_path / "file", timeout_s=0.5)


async def test_a_compressed_body_is_not_inflated(tmp_path: Path) -> None:
    with http_server(lambda handler, _: answer(handler, 200, b"\x1f\x8bnot audio", Content_Encoding="gzip")) as base:
        assert (await get(f"{base}/x", tmp_path / "file")).size_bytes == 11


async def test_a_refused_connection_says_so(tmp_path: Path) -> None:
    with http_server(lambda handler, _: answer(handler, 200)) as base:
        pass
    with pytest.raises(SourceFetchFailed, match="could not be fetched"):
        await get(f"{base}/x", tmp_path / "file")
