"""Fetching from addresses that clients name: real servers, well-behaved and not."""

import hashlib
import ipaddress
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from service.errors import AddressRefused, SourceFetchFailed, TooLarge
from service.net.addresses import resolve
from service.net.fetch import Fetched, fetch
from service.net.transport import vetted_client
from support.names import resolve_as, resolve_in_turn
from support.servers import answer, http_server

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
    asked: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        answer(handler, 302, Location="/again")

    with http_server(respond) as base, pytest.raises(SourceFetchFailed, match="redirects more than 5 times"):
        await get(f"{base}/x", tmp_path / "file")
    assert asked == ["/x"] + ["/again"] * 5


async def test_the_body_of_a_redirect_is_not_read(tmp_path: Path) -> None:
    """It may be endless, or small and inflate to anything."""
    sent = 0

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal sent
        if handler.path == "/there":
            answer(handler, 200, SONG)
            return
        handler.send_response(302)
        handler.send_header("Location", "/there")
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        try:
            while sent < 1_000_000_000:
                sent += handler.wfile.write(b"\0" * 65536)
        except OSError:
            return  # the client hung up, as it should

    with http_server(respond) as base:
        assert (await get(f"{base}/x", tmp_path / "file")).size_bytes == len(SONG)
    assert sent < 50_000_000  # what the kernel's buffers take


async def test_a_password_goes_no_further_than_where_it_was_meant_for(tmp_path: Path) -> None:
    asked: list[str | None] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.headers["Authorization"])
        if handler.path == "/x":
            answer(handler, 302, Location="/near")
        elif handler.path == "/near":
            answer(handler, 302, Location=f"{other}/far")
        else:
            answer(handler, 200, SONG)

    with http_server(respond) as base, http_server(respond) as other:
        await get(base.replace("//", "//user:hush@") + "/x", tmp_path / "file")
    assert asked == ["Basic dXNlcjpodXNo", "Basic dXNlcjpodXNo", None]


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


async def test_a_body_that_says_it_is_too_long_is_not_begun(tmp_path: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000001")
        handler.end_headers()

    with http_server(respond) as base, pytest.raises(TooLarge, match="limit of 1 MB"):
        await get(f"{base}/x", tmp_path / "file")
    assert not (tmp_path / "file").exists()


async def test_an_absurd_length_is_a_failure_like_any_other(tmp_path: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "9" * 5000)
        handler.end_headers()

    with http_server(respond) as base, pytest.raises(SourceFetchFailed, match="bad Content-Length"):
        await get(f"{base}/x", tmp_path / "file")


async def test_what_is_no_http_is_not_told_at_length(tmp_path: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"SSH-2.0-" + b"\xff" * 10_000 + b"\r\n\r\n")
        handler.close_connection = True

    with http_server(respond) as base, pytest.raises(SourceFetchFailed, match="illegal status line") as failed:
        await get(f"{base}/x", tmp_path / "file")
    assert len(str(failed.value)) < 300


@pytest.mark.parametrize("kind", [b"drip", b"endless", b"hints"])
async def test_headers_that_do_not_end(tmp_path: Path, kind: bytes) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" if kind == b"hints" else b"HTTP/1.1 200 OK\r\n")
        more = {b"drip": b"a: b\r\n", b"endless": b"a: b\r\n" * 10_000, b"hints": b"HTTP/1.1 103 Early\r\n\r\n" * 100}
        try:
            for _block in range(30):
                handler.wfile.write(more[kind])
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return
        handler.close_connection = True

    with http_server(respond) as base, pytest.raises(SourceFetchFailed, match=r"within 0\.5 s|too large|too long"):
        await get(f"{base}/x", tmp_path / "file", timeout_s=0.5)


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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a%20song.mp3", "a song.mp3"),
        ("/a%2520b", "a%20b"),
        ("/x%2F..%2Fy%00%0A.mp3", "y.mp3"),
        ("/%00", "audio"),
        ("/x%2F..", "audio"),
        ("/x%5C..", "audio"),
        (f"/{'x' * 1500}.mp3", "x" * 196 + ".mp3"),
    ],
)
async def test_a_name_is_decoded_once_and_cleaned(tmp_path: Path, path: str, name: str) -> None:
    with http_server(lambda handler, _: answer(handler, 200, SONG)) as base:
        assert (await get(base + path, tmp_path / "file")).name == name


async def test_a_refused_connection_says_so(tmp_path: Path) -> None:
    with http_server(lambda handler, _: answer(handler, 200)) as base:
        pass
    with pytest.raises(SourceFetchFailed, match="could not be fetched"):
        await get(f"{base}/x", tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://xn--/x", "host name 'xn--' is not a valid one"),
        ("http://127.0.0.1:12345678901234567890/x", "port must be between 1 and 65535"),
        ("ftp://127.0.0.1/x", "Only http and https"),
    ],
)
async def test_a_url_that_leads_nowhere_says_why(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(SourceFetchFailed, match=message):
        await get(url, tmp_path / "file")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://xn--/x", "redirects to an invalid host name"),
        ("http://127.0.0.1:12345678901234567890/x", "port must be between 1 and 65535"),
        ("http://a..b/x", "cannot be resolved"),
        ("http://[::1/x", "could not be fetched"),
    ],
)
async def test_a_redirect_that_leads_nowhere_says_why(tmp_path: Path, location: str, message: str) -> None:
    with (
        http_server(lambda handler, _: answer(handler, 302, Location=location)) as base,
        pytest.raises(SourceFetchFailed, match=message),
    ):
        await get(f"{base}/x", tmp_path / "file")


@pytest.mark.parametrize("status", [404, 302, 200])
async def test_errors_keep_the_secrets_of_a_url(tmp_path: Path, status: int) -> None:
    headers = {"Location": "ftp://x/"} if status == 302 else {}
    with http_server(lambda handler, _: answer(handler, status, bytes(99), **headers)) as base:
        url = base.replace("//", "//user:hunter2@") + "/song.mp3?token=hunter2"
        with pytest.raises((SourceFetchFailed, TooLarge)) as failed:
            await get(url, tmp_path / "file", max_bytes=10)
    assert f"{base}/song.mp3" in str(failed.value)
    assert "hunter2" not in str(failed.value)
    assert "user" not in str(failed.value)


async def test_the_next_address_is_tried_when_one_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, {"song.example": ["127.0.0.2", "127.0.0.1"]})
    with http_server(lambda handler, _: answer(handler, 200, SONG)) as base:
        url = base.replace("127.0.0.1", "song.example")
        assert (await get(f"{url}/x", tmp_path / "file")).size_bytes == len(SONG)


async def test_an_error_of_one_address_is_not_tried_at_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.headers["Host"])
        handler.close_connection = True  # without an answer

    resolve_as(monkeypatch, {"song.example": ["127.0.0.1", "127.0.0.2"]})
    with http_server(respond) as base:
        url = base.replace("127.0.0.1", "song.example")
        with pytest.raises(SourceFetchFailed, match="without sending a response"):
            await get(f"{url}/x", tmp_path / "file")
    assert asked == [url.removeprefix("http://")]


async def test_a_name_is_resolved_and_checked_as_idna_2008_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    resolve_as(monkeypatch, {"xn--strae-oqa.example": ["127.0.0.1"]})

    def shake_hands(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError):  # it has no certificate
            server.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands, args=[listener])
        thread.start()
        with pytest.raises(SourceFetchFailed, match="could not be fetched"):
            await get(f"https://straße.example:{listener.getsockname()[1]}/x", tmp_path / "file")
        thread.join()
    assert asked == ["xn--strae-oqa.example"]


async def test_making_a_client_does_not_hold_up_the_event_loop() -> None:
    async with vetted_client((), 1.0):
        pass
    start = time.perf_counter()
    for _ in range(20):
        async with vetted_client((), 1.0):
            pass
    assert (time.perf_counter() - start) / 20 < 0.015  # reading the certificates takes some 50 ms


async def test_a_name_that_leads_inside_the_second_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what was vetted when the address was given counts for nothing when it is fetched."""
    asked: list[str] = []
    resolve_in_turn(monkeypatch, "song.example", ["93.184.215.14", "127.0.0.1"])

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        answer(handler, 200, SONG)

    with http_server(respond) as base:
        url = base.replace("127.0.0.1", "song.example")
        assert await resolve("song.example", 80, ()) == [ipaddress.ip_address("93.184.215.14")]
        with pytest.raises(AddressRefused, match=r"song\.example"):
            await fetch(f"{url}/x", tmp_path / "file", allow=(), max_bytes=10, timeout_s=5)
    assert asked == []


async def test_one_look_up_is_both_vetted_and_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes between check and connection finds no such moment: there is one look-up for both."""
    resolve_in_turn(monkeypatch, "song.example", ["127.0.0.1", "10.0.0.1"])
    with http_server(lambda handler, _: answer(handler, 200, SONG)) as base:
        url = base.replace("127.0.0.1", "song.example")
        assert (await get(f"{url}/x", tmp_path / "file")).size_bytes == len(SONG)


async def test_what_is_no_tls_is_told_in_words(tmp_path: Path) -> None:
    with (
        http_server(lambda handler, _: answer(handler, 200, SONG)) as base,
        pytest.raises(SourceFetchFailed) as failed,
    ):
        await get(base.replace("http:", "https:") + "/a.wav", tmp_path / "file")
    assert "could not be fetched: its TLS handshake failed (" in failed.value.message
    assert "_ssl" not in failed.value.message
    assert "[" not in failed.value.message
