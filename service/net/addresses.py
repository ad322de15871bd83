"""Which addresses may be reached: public ones, and those the operator allowed by name."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import httpx

from service.errors import AddressRefused, SourceFetchFailed
from service.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535


def endpoint(url: httpx.URL) -> tuple[str, int]:
    """Host name and port that a URL leads to.

    The name is in ASCII, as httpx encoded it (IDNA 2008).  The decoded name must not be handed on: the standard
    library would encode it by IDNA 2003, which makes another name, with another owner, of some (``straße.de``).

    Raises:
        httpx.InvalidURL: neither http nor https, or the host name or the port is not a valid one.
    """
    if url.scheme not in _DEFAULT_PORTS:
        raise httpx.InvalidURL("Only http and https addresses can be reached.")
    host = url.raw_host.decode("ascii")
    try:
        readable = url.host  # httpx reads it too, on redirects, and must not fail then
    except UnicodeError as error:
        raise httpx.InvalidURL(f"The host name {host!r} is not a valid one.") from error
    if not readable:
        raise httpx.InvalidURL("The address has no host name.")
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 1 <= port <= _MAX_PORT:
        raise httpx.InvalidURL(f"The port must be between 1 and {_MAX_PORT}.")
    return host, port


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet.

    Private, loopback, link-local (cloud metadata), shared (CGNAT), multicast and reserved ranges are not, and
    neither are IPv6 spellings of such IPv4 addresses (mapped, 6to4, Teredo, NAT64).
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or address.is_site_local:
            return False  # long out of use; the first two are tunnels with an IPv4 address inside
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_allowed(address: Address, allow: Sequence[Network]) -> bool:
    """Whether an address may be reached: public, or inside a network that the operator allowed."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    spellings = [address] if mapped is None else [address, mapped]
    return is_public(address) or any(one in network for one in spellings for network in allow)


async def resolve(host: str, port: int, allow: Sequence[Network]) -> list[Address]:
    """Resolve a name once; all its addresses, each of which may be reached, in the resolver's order.

    A name with a single forbidden address is refused whole: mixed answers are how rebinding begins.  The refusal
    does not tell that address: clients are not to look up our internal names.

    Args:
        host: an ASCII name or a literal address, as :func:`endpoint` gives it.

    Raises:
        AddressRefused: the name has an address that may not be reached.
        SourceFetchFailed: the name does not resolve.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceFetchFailed(f"The host name {host!r} cannot be resolved.") from error
    addresses = [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]
    if not all(is_allowed(address, allow) for address in addresses):
        raise AddressRefused(
            f"The address of {host!r} is not a public one. An operator can allow it with STEMSCRIBE_ALLOW_ADDRESSES."
        )
    return list(dict.fromkeys(addresses))
