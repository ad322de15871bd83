"""Fetching audio from an address a client named, within limits of time and size."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.errors import SourceFetchFailed, TooLarge, is_full
from service.names import clean_name
from service.net.addresses import endpoint
from service.net.transport import reason_of, vetted_client
from service.settings import Network

_MAX_REDIRECTS = 5
_SILENCE_TIMEOUT_S = 10.0
_MAX_REASON_LENGTH = 200  # it may quote what a server sent
_BLOCK_BYTES = 65_536  # hashed and written on the event loop: 0.1 ms each


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched.

    Attributes:
        name: last part of the address's path, decoded and cleaned; for people, never a path.
        size_bytes: its length.
        sha256: digest of its bytes, in hex.
    """

    name: str
    size_bytes: int
    sha256: str


async def fetch(url: str, to: Path, *, allow: Sequence[Network], max_bytes: int, timeout_s: float) -> Fetched:
    """Fetch ``url`` into the file ``to``.

    The whole fetch has ``timeout_s`` seconds, so that a body that drips cannot hold a worker; the body is taken as
    it is sent, never decompressed.

    Raises:
        AddressRefused: the address, or one it redirects to, may not be reached.
        SourceFetchFailed: it could not be fetched; the message says why.
        TooLarge: it is longer than ``max_bytes``.
    """
    try:
        source = httpx.URL(url)
        endpoint(source)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SourceFetchFailed(f"The address cannot be used: {error}") from error
    shown = _shown(source)
    digest = hashlib.sha256()
    size = 0
    try:
        async with (
            asyncio.timeout(timeout_s),
            vetted_client(allow, _SILENCE_TIMEOUT_S) as client,
            _get(client, source) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise SourceFetchFailed(f"{shown} answered with HTTP status {response.status_code}.")
            too_large = TooLarge(f"The file at {shown} is larger than the limit of {max_bytes / 1e6:g} MB.")
            if int(response.headers.get("content-length", 0)) > max_bytes:
                raise too_large
            with to.open("wb") as file:
                async for block in response.aiter_raw(_BLOCK_BYTES):
                    size += len(block)
                    if size > max_bytes:
                        raise too_large
                    digest.update(block)
                    file.write(block)
    except TimeoutError as error:
        raise SourceFetchFailed(f"{shown} could not be fetched within {timeout_s:g} s.") from error
    except UnicodeError as error:  # httpx, of a redirect
        raise SourceFetchFailed(f"{shown} could not be fetched: it redirects to an invalid host name.") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        if is_full(error):  # nothing of the client's
            raise
        raise SourceFetchFailed(f"{shown} could not be fetched: {reason_of(error)[:_MAX_REASON_LENGTH]}.") from error
    return Fetched(clean_name(source.path), size, digest.hexdigest())


@asynccontextmanager
async def _get(client: httpx.AsyncClient, url: httpx.URL) -> AsyncIterator[httpx.Response]:
    """The answer to a GET, after some redirects, each vetted like the first address; redirects' bodies stay unread."""
    request = client.build_request("GET", url)
    for _ in range(1 + _MAX_REDIRECTS):
        response = await client.send(request, stream=True)
        try:
            if response.next_request is None:
                yield response
                return
        finally:
            await response.aclose()
        request = response.next_request
    raise httpx.TooManyRedirects(f"it redirects more than {_MAX_REDIRECTS} times", request=request)


def _shown(url: httpx.URL) -> str:
    """The URL for messages and logs, without its user and query: they may be secrets."""
    path = url.raw_path.partition(b"?")[0]
    return f"{url.scheme}://{(url.netloc + path).decode('ascii')}"
