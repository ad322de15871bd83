"""One fleet for all tests of this folder that need no other; each begins with everything up, and nothing in it."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from service.context import Context
from service.settings import load_settings
from support import embedded
from support.fleet import Fleet, Receiver, running_fleet
from support.process import running_service
from support.s3 import set_in_environment
from support.servers import http_server
from support.stored import stored_keys

_TABLES = ("outbox", "tasks", "pending_files", "speeds")  # and what refers to them


@pytest.fixture(scope="session")
def only_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture
def fleet(only_fleet: Fleet) -> Iterator[Fleet]:
    """A fleet with one API and no workers."""
    with contextlib.ExitStack() as after:  # each of them, also where one fails: the next test has the same fleet
        after.callback(_empty, only_fleet)
        after.callback(_restore, only_fleet)
        after.callback(only_fleet.stop_workers)
        yield only_fleet


def _restore(fleet: Fleet) -> None:
    """Start what a test that failed has left stopped."""
    if fleet.postgres.is_running():
        fleet.postgres.thaw()
    else:
        fleet.postgres.start()
    fleet.redis.stop()
    fleet.redis.start()
    with contextlib.suppress(OSError):  # it is open
        fleet.gate.open()


def _empty(fleet: Fleet) -> None:
    fleet.rows(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
    fleet.runs_file.unlink(missing_ok=True)
    fleet.receiver.received.clear()
    with set_in_environment(fleet.env):
        asyncio.run(_delete_objects(fleet))


async def _delete_objects(fleet: Fleet) -> None:
    context = Context(load_settings(fleet.env))
    await context.storage.delete(await stored_keys(context))
    await context.storage.close()
    await context.close()


@pytest.fixture(scope="session")
def whole_song() -> bytes:
    """A song for the real pipeline."""
    return embedded.song()


@pytest.fixture(scope="session")
def whole_song_files(whole_song: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of every file that it gives, by name, in a service where nothing happens."""
    with running_service(tmp_path_factory.mktemp("undisturbed")) as service:
        task_id = embedded.transcribe(service, whole_song)
        assert embedded.wait_for_end(service, task_id)["status"] == "succeeded"
        return embedded.sha256_of_files(service, task_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Of callbacks of the embedded service."""
    receiver = Receiver("")
    with http_server(receiver.take) as receiver.base_url:
        yield receiver
