"""A gate before a server on loopback: closed, the server is not there, and what it holds in memory stays."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_BLOCK_BYTES = 1 << 16


class Gate:
    """Passes connections on to a port.

    Args:
        behind: the server's port.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._accept(self._listener)

    def close(self) -> None:
        """Break every connection, and refuse new ones."""
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for connections, which closes it
        self._thread.join()
        with self._lock:
            for connection in self._open:
                _break(connection)

    def open(self) -> None:
        """Let connections pass again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accept(self._listener)

    def _accept(self, listener: socket.socket) -> None:
        def run() -> None:
            with listener, contextlib.suppress(OSError):  # closed
                while True:
                    self._connect(listener.accept()[0])

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def _connect(self, client: socket.socket) -> None:
        threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._behind)) as server:
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()
            with self._lock:
                self._open -= {client, server}


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK_BYTES):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def gate_before(port: int) -> Iterator[Gate]:
    """An open gate."""
    gate = Gate(port)
    try:
        yield gate
    finally:
        with contextlib.suppress(OSError):  # closed already
            gate.close()
