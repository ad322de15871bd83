"""The Kie wire, byte for byte what the contract says: one committed exchange for every documented call and callback.

Where a change of the wire is meant, ``python -m pytest tests/wire/test_kie_golden.py --write-golden`` writes them anew;
read the difference against the contract before it is committed.
"""

import dataclasses
import json

import pytest

from service.settings import Settings
from support.api import Api
from support.golden import FOLDER, Names, exchanges, golden, write_golden


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """So that the same song can be separated well and badly."""
    return dataclasses.replace(settings, reuse_results=False)


async def test_every_exchange_is_the_committed_one(api: Api, request: pytest.FixtureRequest) -> None:
    write = request.config.getoption("--write-golden")
    seen = set()
    async for name, exchange in exchanges(api):
        seen.add(name)
        if write:
            write_golden(name, exchange)
        # As text: 1 and 1.0, and the order of fields, are differences too.
        assert json.dumps(exchange, indent=1) == json.dumps(golden(name), indent=1), name
    assert seen == {path.stem for path in FOLDER.glob("*.json")}


def test_mixed_up_ids_are_a_difference() -> None:
    tasks, audio = ("a" * 32, "b" * 32), "00000000-0000-0000-0000-00000000000a"
    link = f"http://stemscribe.test/files/{'c' * 32}/a%20b.wav?exp=180&sig=x-_y"
    names = Names()
    assert names.normalised({"data": {"taskId": tasks[0], "id": audio}}) == {
        "data": {"taskId": "<task 1>", "id": "<audio 1>"}
    }
    later = {"path": f"/x?taskId={tasks[1]}", "param": f'{{"id":"{tasks[0]}","url":"{link}"}}'}
    assert names.normalised(later) == {
        "path": "/x?taskId=<task 2>",
        "param": '{"id":"<task 1>","url":"<link to file 1, a%20b.wav, until 180>"}',
    }
