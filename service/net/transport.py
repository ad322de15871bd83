"""An httpx transport that connects only to addresses it has vetted itself."""

import contextlib
import functools
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

from service.net.addresses import Address, endpoint, resolve
from service.settings import Network

USER_AGENT = "stemscribe"
_CONNECT_TIMEOUT_S = 5.0  # per address: leaves time for a name's next one


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the system's certificates holds the event loop for some 50 ms."""
    return ssl.create_default_context()


class VettedTransport(httpx.AsyncBaseTransport):
    """Resolves each request's host once, vets its addresses, and connects to exactly those, one after another.

    The ``Host`` header, SNI and certificate check keep the original name.  Connections are not kept alive: they
    are pooled by address, so one opened under one name could otherwise serve a request to another.
    """

    def __init__(self, allow: Sequence[Network]) -> None:
        self._allow = allow
        self._inner = httpx.AsyncHTTPTransport(
            verify=_tls(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            AddressRefused: the host's address may not be reached.
            SourceFetchFailed: the host does not resolve.
            httpx.InvalidURL: neither http nor https, or no valid host name or port.
        """
        host, port = endpoint(request.url)
        *others, last = await resolve(host, port, self._allow)
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing has been sent yet
                return await self._send(request, host, address)
        return await self._send(request, host, last)

    async def _send(self, request: httpx.Request, host: str, address: Address) -> httpx.Response:
        pinned = httpx.Request(
            method=request.method,
            url=request.url.copy_with(host=str(address)),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def reason_of(error: Exception) -> str:
    """Why a request failed, for a person; it may quote what the server sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its TLS handshake failed (its certificate is not valid: {cause.verify_message})"
        if isinstance(cause, ssl.SSLError):  # its own text has names of C files
            return f"its TLS handshake failed ({(cause.reason or 'protocol error').lower().replace('_', ' ')})"
        cause = cause.__cause__ or cause.__context__
    return (str(error) or type(error).__name__).removesuffix(".")


def vetted_client(
    allow: Sequence[Network], timeout_s: float, on_response: Callable[[httpx.Response], Awaitable[None]] | None = None
) -> httpx.AsyncClient:
    """A client whose every request goes through :class:`VettedTransport`.

    It follows no redirects: httpx would read the redirect's own body to its end first, into memory, inflated.

    Args:
        timeout_s: longest silence of a connected server; a connection has 5 s at most.
        on_response: given every response before httpx looks at it, with its body unread.
    """
    return httpx.AsyncClient(
        transport=VettedTransport(allow),
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
        follow_redirects=False,
        trust_env=False,
        event_hooks={"response": [] if on_response is None else [on_response]},
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )
