"""Songs for a fleet with fake pipelines, and what must be true of each in the end, whatever happened meanwhile."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.storage import file_sha256
from support.audio import wav_bytes
from support.fake_worker import SlowPipeline
from support.fleet import Fleet

_ASKED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Song:
    """A task over a song that no other task has; ``name`` is where its callback goes."""

    task_id: str
    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def new_song(number: int) -> bytes:
    """A short song that differs from those of other numbers."""
    return wav_bytes(0.1 + number / 1000, rate_hz=8000, channels=1)


def ask(fleet: Fleet, content: bytes, name: str, *, timeout_s: float = 60) -> httpx.Response:
    """What the wish for a whole transcription is answered: two stages, of two queues."""
    return httpx.post(
        f"{fleet.base_url}/v1/transcriptions",
        files={"file": ("song.wav", content)},
        data={"callback_url": fleet.receiver.url(name)},
        headers=fleet.headers,
        timeout=timeout_s,
    )


def transcribe(fleet: Fleet, numbers: Iterable[int]) -> list[Song]:
    """Ask for transcriptions, several at a time."""

    def one(number: int) -> Song:
        content, name = new_song(number), f"song-{number}"
        response = ask(fleet, content, name)
        assert response.status_code == 202, response.text
        return Song(response.json()["id"], name, content)

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return list(pool.map(one, numbers))


def undisturbed(content: bytes) -> list[tuple[str, str]]:
    """Name and SHA-256 of each file that a song's transcription gives."""
    pipeline = SlowPipeline()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source", Path(folder) / "out"
        source.write_bytes(content)
        stems = pipeline.separate(source, out, on_progress=lambda *_: None)
        pipeline.transcribe({stem.name: stem.path for stem in stems}, out, on_progress=lambda *_: None)
        return sorted((path.name, file_sha256(path)) for path in out.iterdir())


def check(fleet: Fleet, songs: Iterable[Song], *, most_attempts: int = 1, hours_later: float = 0) -> None:
    """Wait for the end, and see that every song came to it as if nothing had happened.

    Each has succeeded once, with the files of an undisturbed run and one callback; nothing else is left of any, so many
    hours later.
    """
    fleet.until_idle()
    tasks = {row["id"]: row for row in fleet.rows("SELECT id, status, attempt, error_message FROM tasks")}
    owed = fleet.rows("SELECT task_id, id FROM outbox")
    files = fleet.rows("SELECT task_id, name, sha256 FROM files WHERE role <> 'source'")
    for song in songs:
        task, told = dict(tasks[song.task_id]), f"{song.name}: {song.task_id}\n{fleet.logs()}"
        assert task["status"] == "succeeded", f"{task} {told}"
        assert task["attempt"] <= most_attempts, f"{task} {told}"
        made = sorted((row["name"], row["sha256"]) for row in files if row["task_id"] == song.task_id)
        assert made == undisturbed(song.content), told
        events = [row["id"] for row in owed if row["task_id"] == song.task_id]
        assert [*fleet.receiver.ids(song.name)] == events, told
        assert len(events) == 1, told
    left = fleet.left_over(hours_later=hours_later)
    assert not left, f"{left}\n{fleet.logs()}"


def times_done(fleet: Fleet, stage: str, songs: Iterable[Song]) -> list[int]:
    """How often a stage that works on the song itself was done to its end, for each song."""
    done = Counter(run.source for run in fleet.runs if (run.event, run.stage) == ("end", stage))
    return [done[song.sha256] for song in songs]
