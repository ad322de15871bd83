"""A small receiver of callbacks on loopback, as a client of the service would run one."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class CallbackReceiver:
    """Collects the callbacks it is sent; a context manager.

    Attributes:
        received: (path, JSON body) of every callback, in order of arrival.
    """

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def url(self, path: str) -> str:
        """The address to give as ``callBackUrl``."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def wait_for(self, path: str, timeout_s: float) -> dict[str, Any] | None:
        """The first callback that came to ``path``; None when none comes in time."""

        def found() -> dict[str, Any] | None:
            return next((body for at, body in self.received if at == path), None)

        with self._arrived:
            self._arrived.wait_for(lambda: found() is not None, timeout_s)
            return found()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with receiver._arrived:
                    receiver.received.append((self.path, body))
                    receiver._arrived.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the demo prints what matters."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
