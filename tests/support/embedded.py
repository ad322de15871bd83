"""Songs for the embedded service with its real pipeline, and what must be true of each in the end, whatever died."""

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import soundfile as sf

from service.context import Context
from service.settings import Settings
from service.worker.janitor import Janitor
from support.fleet import Receiver
from support.process import Client, RunningService

RATE_HZ = 44_100
PATIENCE_S = 240.0
_CLEAN_PATIENCE_S = 10.0  # what has just ended may still be putting its things away


def song(duration_s: float = 12.0, seed: int = 1) -> bytes:
    """Tones and clicks, as FLAC: of 12 s, three segments, long enough to be killed in the middle of."""
    at = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * at) for hz in (110.0, 220.0, 277.2, 329.6)) / 8
    clicks = np.random.default_rng(seed).standard_normal(at.size) * np.exp(-40 * (at % 0.5)) * 0.3
    file = io.BytesIO()
    sf.write(file, np.stack([chord + clicks, chord - clicks], axis=1), RATE_HZ, format="FLAC")
    return file.getvalue()


def ask(
    client: Client, content: bytes, callback_url: str = "", *, timeout_s: float = 60, **headers: str
) -> httpx.Response:
    """What the wish for a whole transcription is answered: stems and notes in one task."""
    return httpx.post(
        f"{client.base_url}/v1/transcriptions",
        files={"file": ("song.flac", content)},
        data={"callback_url": callback_url} if callback_url else {},
        headers={**client.headers, **headers},
        timeout=timeout_s,
    )


def transcribe(client: Client, content: bytes, callback_url: str = "") -> str:
    """The id of a transcription that was accepted."""
    response = ask(client, content, callback_url)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def show(client: Client, task_id: str) -> dict[str, Any]:
    """A task as the native dialect shows it, without its notes."""
    address = f"{client.base_url}/v1/tasks/{task_id}"
    response = httpx.get(address, params={"notes": "false"}, headers=client.headers, timeout=30)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


def until(condition: Callable[[], object], client: Client, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Return as soon as a condition holds; fail with ``what``, and with the logs, if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}\n{client.logs()}"
        time.sleep(0.01)  # a moment to kill in may last for a tenth of a second only


def wait_for_end(client: Client, task_id: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
    """The task, once it has ended."""
    deadline = time.monotonic() + timeout_s
    while (shown := show(client, task_id))["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, f"{shown}\n{client.logs()}"
        time.sleep(0.2)
    return shown


def sha256_of_files(client: Client, task_id: str) -> dict[str, str]:
    """SHA-256 of every file of a task that has succeeded, as it is downloaded; by name."""
    links = show(client, task_id)["result"]["files"]
    return {
        name: hashlib.sha256(httpx.get(link, follow_redirects=True, timeout=60).raise_for_status().content).hexdigest()
        for name, link in links.items()
        if not name.endswith(".zip")
    }


def rows(service: RunningService, query: str, *arguments: object) -> list[Any]:
    """What the service's database says."""
    with contextlib.closing(sqlite3.connect(service.data_dir / "stemscribe.db", timeout=30)) as connection:
        return connection.execute(query, arguments).fetchall()


def execute(service: RunningService, statement: str) -> None:
    """Change the service's database."""
    with contextlib.closing(sqlite3.connect(service.data_dir / "stemscribe.db", timeout=30)) as connection, connection:
        connection.execute(statement)


def left_over(service: RunningService) -> list[str]:
    """What lies about: files in the scratch folder, stored ones without a row, rows without a file or a task."""
    scratch = sorted(str(path) for path in (service.data_dir / "scratch").iterdir())
    known = {key for (key,) in rows(service, "SELECT storage_key FROM files UNION SELECT storage_key FROM stage_files")}
    pending = [f"pending: {row}" for row in rows(service, "SELECT storage_key, task_id, fence FROM pending_files")]
    root = service.data_dir / "files"
    stored = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    missing = [f"{key} is recorded, and gone" for key in sorted(known - stored)]
    return scratch + sorted(stored - known) + missing + pending


def check_clean(service: RunningService) -> None:
    """See that nothing lies about once the janitor has been round."""
    deadline = time.monotonic() + _CLEAN_PATIENCE_S
    while True:
        asyncio.run(_clean(service))
        if not (left := left_over(service)):
            return
        assert time.monotonic() < deadline, f"{left}\n{service.logs()}"
        time.sleep(0.2)


async def _clean(service: RunningService) -> None:
    context = Context(dataclasses.replace(Settings(), data_dir=service.data_dir))
    janitor = Janitor(context)
    while await janitor.sweep():
        pass
    await janitor.sweep_scratch()
    await context.close()


def check_callback(service: RunningService, task_id: str, receiver: Receiver, name: str) -> None:
    """See that the task owes one callback, and that it came, under its one id."""
    owed = rows(service, "SELECT id FROM outbox WHERE task_id = ?", task_id)
    assert len(owed) == 1
    until(lambda: receiver.ids(name), service, "no callback came")
    until(
        lambda: rows(service, "SELECT state FROM outbox WHERE task_id = ?", task_id) == [("delivered",)],
        service,
        "the callback was not delivered",
    )
    assert set(receiver.ids(name)) == {owed[0][0]}


def check_success(
    service: RunningService, task_id: str, expected: dict[str, str], receiver: Receiver, name: str
) -> None:
    """Wait for the end, and see that it is that of a song to which nothing happened."""
    shown = wait_for_end(service, task_id)
    assert shown["status"] == "succeeded", f"{shown}\n{service.logs()}"
    assert sha256_of_files(service, task_id) == expected
    check_callback(service, task_id, receiver, name)
    check_clean(service)
    assert show(service, task_id)["status"] == "succeeded"
