"""A hub and small models to pull from it."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipeline.models.catalogue import HubSource, ModelEntry, WeightFile
from pipeline.models.download import Patience
from pipeline.models.store import ModelStore
from support.servers import answer, http_server

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A Hugging Face hub on loopback, which serves ranges as a content network does, and can be made to misbehave.

    Attributes:
        files: path to contents.
        etag: of every file.
        cuts: for each of the coming requests, after how many bytes of the answer the connection is dropped.
        stalls: as ``cuts``, but the connection stays open and silent.
        pauses: as ``cuts``, but the rest follows when ``resume`` is set.
        tells_length: whether answers have a Content-Length.
        ranges: whether Range is honoured, ignored or refused.
        requests: the headers of every request, in lower case, with its path under ``:path``.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"first"'
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    pauses: list[int] = field(default_factory=list)
    resume: threading.Event = field(default_factory=threading.Event)
    tells_length: bool = True
    ranges: Literal["honoured", "ignored", "refused"] = "honoured"
    status: int = 200
    redirect_to: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, model: ModelEntry, contents: bytes) -> None:
        """Have a file for every file of a model."""
        source = next(source for source in model.sources if isinstance(source, HubSource))
        for file in model.files:
            self.files[f"/{source.repo}/resolve/{source.revision}/{file.name}"] = contents

    def respond(self, handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        self.requests.append({":path": handler.path, **{key.lower(): value for key, value in handler.headers.items()}})
        if self.redirect_to:
            return answer(handler, 302, Location=self.redirect_to + handler.path)
        if self.ranges == "refused" and "Range" in handler.headers:
            return answer(handler, 416)
        if self.status != 200:
            return answer(handler, self.status)
        contents = self.files[handler.path]
        start = self._start(handler)
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(contents) - 1}/{len(contents)}")
        handler.send_header("ETag", self.etag)
        if self.tells_length:
            handler.send_header("Content-Length", str(len(contents) - start))
        handler.end_headers()
        return self._send(handler, contents[start:])

    def _start(self, handler: BaseHTTPRequestHandler) -> int:
        wanted = handler.headers.get("Range")
        if self.ranges != "honoured" or wanted is None or handler.headers.get("If-Range") != self.etag:
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _send(self, handler: BaseHTTPRequestHandler, rest: bytes) -> None:
        if self.stalls:
            handler.wfile.write(rest[: self.stalls.pop(0)])
            self.closing.wait()
        elif self.pauses:
            before = self.pauses.pop(0)
            handler.wfile.write(rest[:before])
            self.resume.wait()
            handler.wfile.write(rest[before:])
        else:
            handler.wfile.write(rest[: self.cuts.pop(0)] if self.cuts else rest)


@pytest.fixture
def start_hub(monkeypatch) -> Iterator[Callable[[], Hub]]:
    """Start hubs; HF_ENDPOINT names the last one."""
    with ExitStack() as stack:

        def start() -> Hub:
            hub = Hub()
            hub.url = stack.enter_context(http_server(hub.respond))
            stack.callback(hub.closing.set)
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            return hub

        for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        yield start


@pytest.fixture
def hub(start_hub) -> Hub:
    return start_hub()


@pytest.fixture(scope="session")
def contents() -> bytes:
    """3 MB that look like weights: more than the sockets between client and server hold."""
    return np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def small_model(contents) -> ModelEntry:
    """A model of one file that only the hub has."""
    return ModelEntry(
        name="small",
        purpose="separation",
        description="Made for a test.",
        licence="None.",
        files=(WeightFile("small.bin", len(contents), hashlib.sha256(contents).hexdigest()),),
        sources=(HubSource("someone/Small", "0123456789abcdef0123456789abcdef01234567"),),
    )


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., ModelStore]:
    """A store with the given models, which waits for nothing longer than a test should."""

    def make(*models: ModelEntry, patience: Patience | None = None) -> ModelStore:
        patience = patience or Patience(retry_wait_s=0.0)
        return ModelStore(tmp_path / "models", {model.name: model for model in models}, patience)

    return make
