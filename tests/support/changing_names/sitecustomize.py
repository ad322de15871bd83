"""Names whose answers change, for whole processes: Python runs this at its start where it finds it on its path.

``CHANGING_NAMES`` is a folder with a file for each such name: one address to a line.  Each look-up, of whatever
process, takes the first line; the last one stays.  See :func:`support.names.changing_names`.
"""

import fcntl
import os
import socket
from pathlib import Path
from typing import Any

_FOLDER = Path(os.environ["CHANGING_NAMES"])
_NAMES = set(os.listdir(_FOLDER))  # noqa: PTH208 (names alone)
_ask = socket.getaddrinfo


def _take(path: Path) -> str:
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        first, *rest = file.read().split()
        if rest:
            file.seek(0)
            file.truncate()
            file.write("\n".join(rest))
    return first


def _answer(host: Any, *arguments: Any, **options: Any) -> Any:
    return _ask(_take(_FOLDER / host) if host in _NAMES else host, *arguments, **options)


socket.getaddrinfo = _answer
