"""Load on an HTTP server, by a client that costs little itself: requests written once, answers read by their length."""

import asyncio
import time
from dataclasses import dataclass


@dataclass
class Connection:
    """One connection that is kept alive."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request; returns status and body of the answer, which must tell its length."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 : lowered.index(b"\r\n", at)]) if at >= 0 else 0
        return int(head[9:12]), await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


def request_bytes(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP/1.1 request with a key."""
    given = {"Host": "127.0.0.1", "Authorization": f"Bearer {token}", "Content-Length": str(len(body)), **headers}
    if body:
        given["Content-Type"] = "application/json"
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def rate(port: int, request: bytes, *, connections: int, seconds: float) -> float:
    """Answers per second to one request, asked over several connections at once, each as fast as it is answered."""
    deadline = time.perf_counter() + seconds

    async def ask_again_and_again() -> int:
        connection = await Connection.open(port)
        n_answers = 0
        while time.perf_counter() < deadline:
            status, _ = await connection.ask(request)
            assert status in (200, 304), status
            n_answers += 1
        connection.close()
        return n_answers

    started = time.perf_counter()
    counts = await asyncio.gather(*(ask_again_and_again() for _ in range(connections)))
    return sum(counts) / (time.perf_counter() - started)


async def latencies(port: int, requests: list[bytes], per_second: float, connections: int) -> list[float]:
    """Seconds until the answer to each request, sent on schedule whether or not earlier ones were answered.

    A request counts from the moment it was due, so that a server that falls behind is not flattered.
    """
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait(await Connection.open(port))
    start = time.perf_counter() + 0.1

    async def ask(number: int, request: bytes) -> float:
        due = start + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = await idle.get()
        status, body = await connection.ask(request)
        idle.put_nowait(connection)
        assert status == 200 and b'"code":200' in body, (status, body[:300])  # noqa: PT018
        return time.perf_counter() - due

    return list(await asyncio.gather(*(ask(number, request) for number, request in enumerate(requests))))
