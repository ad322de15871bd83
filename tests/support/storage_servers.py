"""S3 servers that lack something, or that can be asked what they were sent."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def without_conditions() -> Iterator[tuple[str, list[str]]]:
    """A server that stores whole objects and answers 501 to a put with a condition; its address and requests."""
    objects: dict[str, bytes] = {}
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["if-none-match"]:
                requests.append(f"{self.path} if-none-match")
                self.answer(501, b"<Error><Code>NotImplemented</Code></Error>")
                return
            objects[self.path] = body
            self.answer(200)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            content = objects.get(self.path)
            if content is None:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"] or "")
            if wanted is None:
                self.answer(200, content)
                return
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            self.answer(206, content[first : last + 1], f"bytes {first}-{last}/{len(content)}")

        def answer(self, status: int, body: bytes = b"", content_range: str | None = None) -> None:
            self.send_response(status)
            self.send_header("ETag", '"tag"')
            self.send_header("Last-Modified", formatdate(usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            if content_range is not None:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()
