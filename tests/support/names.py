"""Names that resolve as a test says, where the machine would ask the network."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest


def resolve_as(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> None:
    """Have the host names of ``table`` resolve to its addresses; whatever else is asked for is resolved as ever."""
    ask = socket.getaddrinfo

    def answer(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return [item for one in table.get(host, [host]) for item in ask(one, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def resolve_in_turn(monkeypatch: pytest.MonkeyPatch, name: str, addresses: list[str]) -> None:
    """Have a host name resolve to each of ``addresses`` once, then to the last for good: DNS rebinding."""
    ask = socket.getaddrinfo
    left = list(addresses)

    def answer(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host == name:
            host = left.pop(0) if len(left) > 1 else left[0]
        return ask(host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def changing_names(folder: Path, table: Mapping[str, list[str]]) -> dict[str, str]:
    """Like :func:`resolve_in_turn`, for other processes: what their environment must have.

    All of them together take each address of a name once, then the last for good.
    """
    for name, addresses in table.items():
        (folder / name).write_text("\n".join(addresses))
    sites = [str(Path(__file__).parent / "changing_names"), os.environ.get("PYTHONPATH", "")]
    return {"CHANGING_NAMES": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sites))}
