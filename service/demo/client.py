"""A client of the Kie dialect, in the few calls that a client needs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

_POLL_EVERY_S = 0.5
_TIMEOUT_S = 30.0


class DemoError(Exception):
    """A part of the demo failed."""


class Client:
    """Calls the service at ``base_url`` with an API key."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._http = httpx.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=_TIMEOUT_S, trust_env=False
        )

    def upload(self, song: Path) -> dict[str, Any]:
        """Upload a song; answers its ``taskId`` and ``audioId`` among others."""
        with song.open("rb") as file:
            answer = self._http.post(
                "/api/file-stream-upload", files={"file": (song.name, file)}, data={"uploadPath": "demo"}
            ).json()
        return _data(answer)

    def generate(self, what: str, **body: str) -> str:
        """Ask for ``vocal-removal`` or ``midi``; answers the task's id."""
        return str(_data(self._http.post(f"/api/v1/{what}/generate", json=body).json())["taskId"])

    def wait(self, what: str, task_id: str, show: Callable[[str, float], None]) -> dict[str, Any]:
        """Poll ``record-info`` until the task ends, showing its stage and progress.

        Raises:
            DemoError: it failed; the message is the service's own.
        """
        while True:
            record = _data(self._http.get(f"/api/v1/{what}/record-info", params={"taskId": task_id}).json())
            show(record["stage"] or "", record["progress"])
            if record["successFlag"] in ("SUCCESS", 1):
                return record
            if record["successFlag"] not in ("PENDING", 0):
                raise DemoError(f"{what} failed: {record['errorMessage']}")
            time.sleep(_POLL_EVERY_S)

    def download(self, url: str, to: Path) -> None:
        """Fetch a result by its link."""
        with self._http.stream("GET", url) as response, to.open("wb") as file:
            response.raise_for_status()
            for block in response.iter_bytes():
                file.write(block)

    def is_ready(self) -> bool:
        """Whether the service answers and says it is ready."""
        try:
            return self._http.get("/health/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _data(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["code"] != httpx.codes.OK:
        raise DemoError(f"the service answered {answer['code']}: {answer['msg']}")
    data: dict[str, Any] = answer["data"]
    return data
