"""A private S3 server: moto's, in a process of its own, as decision 0011 says."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.process import free_port

BUCKET = "stemscribe-tests"
START_TIMEOUT_S = 60.0


@dataclass
class S3Server:
    """A server that keeps its objects in memory."""

    process: "subprocess.Popen[bytes]"
    endpoint: str

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def suspend(self) -> None:
        """Answer nothing any more, until it is resumed."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def environment(self) -> dict[str, str]:
        """What clients of it need."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "a secret for tests only",
            "AWS_REGION": "us-east-1",
        }


def _start(port: int, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)


@contextlib.contextmanager
def s3_server(log: Path, port: int = 0) -> Iterator[S3Server]:
    """A running server with one empty bucket."""
    port = port or free_port()
    process = _start(port, log)
    server = S3Server(process, f"http://127.0.0.1:{port}")
    try:
        _wait_for(server, port, log)
        make_bucket(server.endpoint, BUCKET)
        yield server
    finally:
        server.stop()


def _wait_for(server: S3Server, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert server.process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the S3 server did not start in time"
        time.sleep(0.02)


def make_bucket(endpoint: str, name: str) -> None:
    request = urllib.request.Request(f"{endpoint}/{name}", method="PUT")  # noqa: S310 (a server of our own)
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.status == 200


@contextlib.contextmanager
def set_in_environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for a while, in this process and those it starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
