"""An httpx transport that connects only to addresses it has vetted itself."""

import ssl
from collections.abc import Sequence

import httpx

from service.net.addresses import resolve
from service.settings import Network

USER_AGENT = "stemscribe"


class VettedTransport(httpx.AsyncBaseTransport):
    """Resolves each request's host once, vets the address, and connects to exactly that address.

    The ``Host`` header, SNI and certificate check keep the original name.  Connections are not kept alive: they
    are pooled by address, so one opened under one name could otherwise serve a request to another.
    """

    def __init__(self, allow: Sequence[Network]) -> None:
        self._allow = allow
        self._inner = httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            AddressRefused: the host's address may not be reached.
            SourceFetchFailed: the host does not resolve.
            httpx.UnsupportedProtocol: neither http nor https.
        """
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{request.url.scheme!r} is not http or https.", request=request)
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = await resolve(host, port, self._allow)
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


def vetted_client(allow: Sequence[Network], timeout_s: float, max_redirects: int = 0) -> httpx.AsyncClient:
    """A client whose every request, redirects included, goes through :class:`VettedTransport`."""
    return httpx.AsyncClient(
        transport=VettedTransport(allow),
        timeout=timeout_s,
        follow_redirects=max_redirects > 0,
        max_redirects=max_redirects or 1,
        trust_env=False,
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )
