"""The Kie wire, byte for byte what the contract says: one committed exchange for every documented call and callback.

Where a change of the wire is meant, ``python -m pytest tests/wire/test_kie_golden.py --write-golden`` writes them anew;
read the difference against the contract before it is committed.
"""

import json

import pytest

from support.api import Api
from support.golden import FOLDER, exchanges, golden, write_golden


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
