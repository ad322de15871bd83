"""Which addresses may be reached, in every spelling an attacker may choose."""

import ipaddress

import httpx
import pytest

from service.errors import AddressRefused, SourceFetchFailed
from service.net.addresses import endpoint, is_allowed, is_public, resolve
from support.names import resolve_as

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public_addresses(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2002:c0a8:101::", "2001:db8::1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


def test_the_operator_can_allow_a_network_in_either_spelling() -> None:
    assert is_allowed(ipaddress.ip_address("127.0.0.1"), LOOPBACK)
    assert is_allowed(ipaddress.ip_address("::ffff:127.0.0.1"), LOOPBACK)
    assert not is_allowed(ipaddress.ip_address("10.0.0.1"), LOOPBACK)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "::1"])
async def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="not a public one"):
        await resolve(host, 80, ())


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
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:12345678901234567890/", "port"),
    ],
)
def test_a_url_that_leads_nowhere_says_why(url: str, message: str) -> None:
    with pytest.raises(httpx.InvalidURL, match=message):
        endpoint(httpx.URL(url))
