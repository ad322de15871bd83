"""The service as a user runs it: a real process on a free port, with a data folder of its own."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of a service of its own; settings by their name without the prefix."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STEMSCRIBE_")}
    kept = (
        {"STEMSCRIBE_MODELS_DIR": os.environ["STEMSCRIBE_MODELS_DIR"]} if "STEMSCRIBE_MODELS_DIR" in os.environ else {}
    )
    given = {f"STEMSCRIBE_{name.upper()}": value for name, value in settings.items()}
    return {**own, **kept, "STEMSCRIBE_DATA_DIR": str(data_dir), **given}


def stemscribe(*arguments: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


@dataclass(kw_only=True)
class Client(ABC):
    """A client with a key of a service, which may have several processes."""

    base_url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @abstractmethod
    def logs(self) -> str:
        """What the service said last, for messages about what went wrong."""

    def record(self, what: str, task_id: str) -> dict[str, Any]:
        response = httpx.get(
            f"{self.base_url}/api/v1/{what}/record-info", params={"taskId": task_id}, headers=self.headers, timeout=30
        )
        assert response.json()["code"] == 200, response.text
        return response.json()["data"]

    def wait(self, what: str, task_id: str, timeout_s: float = 240) -> dict[str, Any]:
        """Poll until the task has ended."""
        deadline = time.monotonic() + timeout_s
        while (record := self.record(what, task_id))["successFlag"] in ("PENDING", 0):
            assert time.monotonic() < deadline, f"{record}\n{self.logs()}"
            time.sleep(0.2)
        return record

    def send(self, content: bytes, name: str = "song.wav", timeout_s: float = 60) -> httpx.Response:
        """What an upload is answered, whatever that is."""
        address = f"{self.base_url}/api/file-stream-upload"
        return httpx.post(address, files={"file": (name, content)}, headers=self.headers, timeout=timeout_s)

    def upload(self, content: bytes, name: str = "song.wav") -> dict[str, Any]:
        response = self.send(content, name)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def ask(self, what: str, timeout_s: float = 60, **body: str) -> httpx.Response:
        """What a wish for a task is answered, whatever that is."""
        address = f"{self.base_url}/api/v1/{what}/generate"
        return httpx.post(address, json=body, headers=self.headers, timeout=timeout_s)

    def generate(self, what: str, **body: str) -> str:
        response = self.ask(what, **body)
        assert response.json()["code"] == 200, response.text
        return response.json()["data"]["taskId"]


@dataclass(kw_only=True)
class RunningService(Client):
    """A service that was started by :func:`running_service`."""

    process: "subprocess.Popen[bytes]"
    data_dir: Path
    log: Path

    def logs(self) -> str:
        return self.log.read_text()[-3000:]

    def worker(self) -> psutil.Process:
        """The worker process, once it is there."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for child in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.Error):
                    if "service.worker" in child.cmdline():
                        return child
            time.sleep(0.05)
        raise AssertionError("no worker appeared: " + self.logs())

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> int:
        """One Ctrl-C; returns the exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(STOP_TIMEOUT_S)


@contextlib.contextmanager
def running_service(data_dir: Path, *, token: str = "", **settings: str) -> Iterator[RunningService]:
    """Start ``stemscribe serve`` and wait until it is ready; whatever is left of it is killed at the end.

    Args:
        token: of a key that the data folder has; a new one is made otherwise.
    """
    port = free_port()
    env = environment(data_dir, **{"port": str(port), "allow_addresses": "127.0.0.0/8", **settings})
    token = token or stemscribe("keys", "create", f"tests {secrets.token_hex(8)}", env=env).stdout.strip()
    log = data_dir / "service.log"
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"], env=env, stdout=log_file, stderr=log_file
        )
    service = RunningService(
        base_url=f"http://127.0.0.1:{port}", token=token, process=process, data_dir=data_dir, log=log
    )
    family = [psutil.Process(process.pid)]
    try:
        await_ready(service.base_url, process, log)
        family += family[0].children(recursive=True)
        yield service
    finally:
        with contextlib.suppress(psutil.Error):
            family += family[0].children(recursive=True)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        process.wait(STOP_TIMEOUT_S)


def await_ready(base_url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when an API says that it is ready."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{base_url}/health/ready", timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("not ready in time: " + log.read_text())
