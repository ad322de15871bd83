"""One file over HTTP: given up quickly where nothing answers, resumed where it broke off, checked before it counts."""

import hashlib
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx

from pipeline.errors import ChecksumMismatch, SourceUnreachable
from pipeline.models.catalogue import WeightFile

_MAX_REDIRECTS = 5
_ADVICE = {
    401: "; if the file needs an account there, set HF_TOKEN",
    403: "; if the file needs an account there, set HF_TOKEN",
    407: "; the proxy wants a name and password",
}
_TLS_ADVICE = "; where a proxy looks into TLS, name its certificates in SSL_CERT_FILE"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source is waited for.

    Attributes:
        answer_s: from the request to the first line of the answer, in all: name look-up, every address, proxy, TLS.
            A redirection is an answer, and starts it anew.  2.5 s leaves half a second of the three that a dead
            source may cost for everything around it.
        stall_s: without a byte, after which a transfer counts as broken off.
        retries: fresh starts, one after another without new bytes, of a transfer that had begun.
        retry_wait_s: pause before each.
    """

    answer_s: float = 2.5
    stall_s: float = 20.0
    retries: int = 3
    retry_wait_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a file is: its address, and the headers to ask with."""

    url: str
    headers: Mapping[str, str]


class _BrokeOff(SourceUnreachable):
    """The connection failed; the same request may work in a moment."""


class _PartFile:
    """The bytes that have come so far, and the strong ETag of what they are a part of, if there is one."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._etag_path = target.with_name(target.name + ".part.etag")

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def resume_headers(self) -> dict[str, str]:
        """What asks for the rest, provided it is still the rest of the same thing; else nothing."""
        size = self.size_bytes
        if size == 0 or not self._etag_path.exists():
            return {}
        return {"Range": f"bytes={size}-", "If-Range": self._etag_path.read_text()}

    def restart(self, etag: str) -> None:
        """Forget the bytes; remember what the next ones will be a part of (weak ETags do not tell)."""
        self.discard()
        if etag.startswith('"'):
            self._etag_path.write_text(etag)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)


def download(
    remote: Remote, target: Path, pinned: WeightFile, on_bytes: Callable[[int], None], patience: Patience
) -> None:
    """Fetch a file; afterwards ``target`` is there whole and checked, or is not there.

    What has come of it lies in ``<target>.part`` meanwhile, and stays there when the transfer breaks off or
    ``on_bytes`` raises, so that the next call continues.  One caller at a time per target.

    Args:
        remote: where it is.
        target: final path.
        pinned: size and checksum it must have.
        on_bytes: called with the number of bytes that have come so far.
        patience: how long to wait for what.

    Raises:
        SourceUnreachable: no answer, a refusal, or a transfer that kept breaking off.
        ChecksumMismatch: it is another file; it has been deleted.
    """
    part = _PartFile(target)
    resumed = part.size_bytes > 0
    _fetch_all(remote, part, pinned.size_bytes, on_bytes, patience)
    try:
        accept(part.path, target, pinned)
    except ChecksumMismatch:
        if not resumed:
            raise
        # What an earlier, interrupted pull left may be what is wrong: once more, from the start.
        download(remote, target, pinned, on_bytes, patience)
    part.discard()


def accept(part: Path, target: Path, pinned: WeightFile) -> None:
    """Give a file its final name, once it is on the disk and its checksum right; delete it if it is wrong.

    Raises:
        ChecksumMismatch: it is another file.
    """
    found = file_digest(part)
    if found != pinned.sha256:
        part.unlink()
        raise ChecksumMismatch(
            f"What came as {pinned.name} is another file: its SHA-256 is {found}, not {pinned.sha256}. "
            "It was deleted. Try again; if it comes out the same, the source (or a proxy in between) serves something "
            "else and must not be used: fetch from another network, or copy the file from a machine that has it."
        )
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    part.replace(target)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_all(
    remote: Remote, part: _PartFile, size_bytes: int, on_bytes: Callable[[int], None], patience: Patience
) -> None:
    retries_left = 0  # a source that does not answer at first is given up at once
    furthest = part.size_bytes
    while part.size_bytes != size_bytes:
        try:
            _fetch_rest(remote, part, size_bytes, on_bytes, patience)
        except _BrokeOff as error:
            if part.size_bytes > furthest:
                furthest = part.size_bytes
                retries_left = patience.retries
            if retries_left == 0:
                kept = f" (what came, {part.size_bytes} of {size_bytes} bytes, is kept)" if part.size_bytes else ""
                raise SourceUnreachable(error.message + kept) from error
            retries_left -= 1
            time.sleep(patience.retry_wait_s)


def _fetch_rest(
    remote: Remote, part: _PartFile, size_bytes: int, on_bytes: Callable[[int], None], patience: Patience
) -> None:
    """One request for what is missing; where the missing part is refused, what came before it is forgotten.

    Raises:
        _BrokeOff: the connection failed, or ended early.
        SourceUnreachable: the source refuses, or has something else.
    """
    if part.size_bytes > size_bytes:
        part.discard()
    resume = part.resume_headers()
    with _answer(remote, resume, patience) as response:
        if resume and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.discard()
            return
        if response.status_code not in ((httpx.codes.OK, httpx.codes.PARTIAL_CONTENT) if resume else (httpx.codes.OK,)):
            advice = _ADVICE.get(response.status_code, "")
            raise SourceUnreachable(f"it answered {response.status_code} {response.reason_phrase}{advice}")
        done = part.size_bytes if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
        announced = done + int(response.headers.get("Content-Length", size_bytes - done))
        if announced != size_bytes:
            raise _wrong_length(announced, size_bytes)
        if done == 0:
            part.restart(response.headers.get("ETag", ""))
        with part.path.open("ab") as file:
            for chunk in response.iter_raw():
                done += file.write(chunk)
                if done > size_bytes:
                    raise _wrong_length(done, size_bytes)
                on_bytes(done)
    if part.size_bytes < size_bytes:
        raise _BrokeOff("the transfer ended early")


def _wrong_length(found_bytes: int, size_bytes: int) -> SourceUnreachable:
    return SourceUnreachable(
        f"its file has {found_bytes} bytes or more where {size_bytes} are expected; "
        "perhaps a proxy's page comes in its place"
    )


@contextmanager
def _answer(remote: Remote, more_headers: Mapping[str, str], patience: Patience) -> Iterator[httpx.Response]:
    """The answer, its body not yet read; failures of the connection, in here or in the body, are _BrokeOff."""
    try:
        # The system's certificates, or those that SSL_CERT_FILE names: networks that look into TLS have their own.
        client = httpx.Client(
            verify=ssl.create_default_context(), timeout=httpx.Timeout(patience.stall_s, connect=patience.answer_s)
        )
        headers = {"Accept-Encoding": "identity", **remote.headers, **more_headers}
        request = client.build_request("GET", remote.url, headers=headers)
    except (httpx.InvalidURL, ImportError, ValueError) as error:  # also what proxy settings can have wrong with them
        raise SourceUnreachable(f"its address or the proxy's cannot be used: {error}") from error
    try:
        for _ in range(_MAX_REDIRECTS):
            response = _send(client, request, patience.answer_s)
            if response.next_request is None:
                break
            request = response.next_request
            response.close()
        else:
            raise SourceUnreachable("it redirects without end")
        yield response
    except httpx.HTTPError as error:
        advice = _TLS_ADVICE if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
        raise _BrokeOff(f"{error}{advice}" or type(error).__name__) from error
    finally:
        client.close()


def _send(client: httpx.Client, request: httpx.Request, within_s: float) -> httpx.Response:
    """Send a request and wait for the head of the answer, so long and no longer.

    On a thread of its own, left behind if need be: looking up a name cannot be given a time limit, and httpx grants
    its limits to every address of a name, and to connecting and answering, one after another.
    """
    future: Future[httpx.Response] = Future()

    def work() -> None:
        try:
            future.set_result(client.send(request, stream=True))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, name="download", daemon=True).start()
    try:
        return future.result(within_s)
    except TimeoutError:
        future.add_done_callback(_close_late_answer)
        raise _BrokeOff(f"no answer within {within_s:g} s") from None


def _close_late_answer(future: Future[httpx.Response]) -> None:
    if future.exception() is None:
        future.result().close()
