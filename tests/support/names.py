"""Names that resolve as a test says, where the machine would ask the network."""

import socket
from typing import Any

import pytest


def resolve_as(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> None:
    """Have the host names of ``table`` resolve to its addresses; whatever else is asked for is resolved as ever."""
    ask = socket.getaddrinfo

    def answer(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return [item for one in table.get(host, [host]) for item in ask(one, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
