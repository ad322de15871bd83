"""Which addresses may be reached: public ones, and those the operator allowed by name."""

import asyncio
import functools
import ipaddress
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from service.api.wording import shown
from service.errors import AddressRefused, SourceFetchFailed
from service.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Written out rather than left to ipaddress.is_global, whose answers differ between releases of Python (3.11.7 calls
# 192.0.0.192, a cloud's metadata service, global).  Source: the IANA special-purpose address registries.
_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
            *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # a public address by the registries; inside Azure, the machine's own host
        ),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # no other IPv6 addresses are given out
# IETF protocols (Teredo and other tunnels among them), documentation, 6to4, documentation.
_NOT_PUBLIC_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

# Looking a name up holds a thread for as long as the name's own server pleases, beyond our own time limits.  In the
# event loop's pool a handful of such names would hold up everything else that runs in threads: decoding, storing.
_RESOLVERS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="resolver")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,254}")  # 253 and a final dot; "_" is in no host's name, but in many of DNS


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
        raise httpx.InvalidURL(f"The host name {shown(host)} is not a valid one.") from error
    if not readable:
        raise httpx.InvalidURL("The address has no host name.")
    if ":" not in host and not _HOST_NAME.fullmatch(host):  # httpx has looked at IPv6 addresses
        raise httpx.InvalidURL(f"The host name {shown(host)} is not a valid one.")
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 1 <= port <= _MAX_PORT:
        raise httpx.InvalidURL(f"The port must be between 1 and {_MAX_PORT}.")
    return host, port


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet.

    Private, loopback, link-local (cloud metadata), shared (CGNAT), multicast and reserved ranges are not.  An IPv6
    spelling of an IPv4 address is as public as that one where hosts talk to it so (mapped, NAT64), else not at all.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_6)
    return not any(address in network for network in _NOT_PUBLIC_4)


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
    loop = asyncio.get_running_loop()
    name = host.removesuffix(".")  # with it, some resolvers know neither localhost nor a literal address
    try:
        found = await loop.run_in_executor(
            _RESOLVERS, functools.partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
        )
    except (OSError, UnicodeError) as error:
        raise SourceFetchFailed(f"The host name {host!r} cannot be resolved.") from error
    addresses = [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]
    if not all(is_allowed(address, allow) for address in addresses):
        raise AddressRefused(
            f"The address of {host!r} is not a public one. An operator can allow it with STEMSCRIBE_ALLOW_ADDRESSES."
        )
    return list(dict.fromkeys(addresses))
