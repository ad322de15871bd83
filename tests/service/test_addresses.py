"""Which addresses may be reached, in every spelling an attacker may choose."""

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import httpx
import pytest

from service.errors import AddressRefused, SourceFetchFailed
from service.net.addresses import endpoint, is_allowed, is_public, resolve
from support.names import resolve_as

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1", "93.184.215.14", "100.63.255.255", "172.32.0.1", "192.0.1.1", "223.255.255.255",
        "2606:4700:4700::1111", "2001:200::1", "::ffff:1.1.1.1", "64:ff9b::101:101",
    ],
)  # fmt: skip
def test_public_addresses(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        # where clouds keep what a machine should know alone
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",
        "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "3fff::1", "fec0::1", "4000::1",
        # IPv4 addresses inside IPv6 ones: mapped, compatible, translated, NAT64 (both prefixes), 6to4, Teredo
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:7f00:1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:c0a8:101::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


def test_the_operator_can_allow_a_network_in_either_spelling() -> None:
    assert is_allowed(ipaddress.ip_address("127.0.0.1"), LOOPBACK)
    assert is_allowed(ipaddress.ip_address("::ffff:127.0.0.1"), LOOPBACK)
    assert not is_allowed(ipaddress.ip_address("10.0.0.1"), LOOPBACK)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "::1", "localhost.", "127.0.0.1."],
)
async def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="not a public one"):
        await resolve(host, 80, ())


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/", "http://0177.0.0.1/", "http://017700000001/", "http://0x7f.0.0.1/", "http://0x7f000001/",
        "http://127.1/", "http://0/", "http://0.0.0.0/", "http://LOCALHOST/", "http://localhost./", "http://127.0.0.1./",
        "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[0:0:0:0:0:ffff:7f00:1]/",
        "http://[::1%25lo]/", "http://127\u30020\u30020\u30021/", "http://\uff11\uff12\uff17.0.0.1/", "http://\u24db.localhost/",
        "http://%31%32%37.0.0.1/", "http://example.com@127.0.0.1/", "http://example.com\\@127.0.0.1/",
        "http://2852039166/", "http://0xa9fea9fe/", "http://[::ffff:a9fe:a9fe]/",
    ],
)  # fmt: skip
async def test_no_spelling_of_a_url_leads_inside(url: str) -> None:
    """Whether as a forbidden address, as a name that does not exist, or as no URL at all: it is refused."""
    with pytest.raises((SourceFetchFailed, httpx.InvalidURL)):
        await resolve(*endpoint(httpx.URL(url)), ())


async def test_a_public_literal_resolves_to_itself() -> None:
    assert await resolve("1.1.1.1", 443, ()) == [ipaddress.ip_address("1.1.1.1")]


async def test_a_name_that_does_not_resolve_says_so() -> None:
    with pytest.raises(SourceFetchFailed, match="cannot be resolved"):
        await resolve("no-such-host.invalid", 80, ())


async def test_every_address_of_a_name_is_given_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, {"many.example": ["9.9.9.9", "1.1.1.1", "9.9.9.9"]})
    assert [str(address) for address in await resolve("many.example", 443, ())] == ["9.9.9.9", "1.1.1.1"]


async def test_one_forbidden_address_refuses_the_name_and_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, {"mixed.example": ["1.1.1.1", "10.1.2.3"]})
    with pytest.raises(AddressRefused, match=r"mixed\.example") as refused:
        await resolve("mixed.example", 443, ())
    assert "10.1.2.3" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://example.com/", "example.com", 80),
        ("https://example.com/", "example.com", 443),
        ("https://[::1]:8443/", "::1", 8443),
        ("https://straße.de/", "xn--strae-oqa.de", 443),  # IDNA 2003 would make it strasse.de, another's name
        ("https://xn--strae-oqa.de/", "xn--strae-oqa.de", 443),
    ],
)
def test_a_url_leads_to_an_ascii_name_and_a_port(url: str, host: str, port: int) -> None:
    assert endpoint(httpx.URL(url)) == (host, port)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.com/", "Only http and https"),
        ("//example.com/", "Only http and https"),
        ("http:///path", "no host name"),
        ("http://xn--/", "'xn--' is not a valid one"),
        ("http://exa mple/", "'exa%20mple' is not a valid one"),
        ("http://a*b.example/", "is not a valid one"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:12345678901234567890/", "port"),
    ],
)
def test_a_url_that_leads_nowhere_says_why(url: str, message: str) -> None:
    with pytest.raises(httpx.InvalidURL, match=message):
        endpoint(httpx.URL(url))


async def test_names_that_take_long_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    ask = socket.getaddrinfo

    def slowly(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != "1.1.1.1":
            let_go.wait()
        return ask("1.1.1.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    looking = [asyncio.create_task(resolve(f"{number}.slow.example", 80, ())) for number in range(40)]
    try:
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "decoded") == "decoded"
            assert await resolve("1.1.1.1", 80, ())
        assert not any(task.done() for task in looking)
    finally:
        let_go.set()
    assert all(await asyncio.gather(*looking))
