"""Sockets that are listened on, and servers on them that leave the process's signals alone."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from service.settings import SettingsError


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A socket bound to an address; port 0 takes a free one.

    Args:
        setting: what the port comes from, for the error.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = f"Cannot listen on {host}:{port}: {error.strerror}."
        raise SettingsError(f"{reason} Choose another with {setting}.") from error
    return listener


class Server(uvicorn.Server):
    """With the signals left to us: uvicorn's own handling ends the process before its other parts are stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield
