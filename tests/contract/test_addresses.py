"""Which addresses are public, which are allowed, and that a name is resolved once."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from contract.addresses import AddressRule, NotPublic, check_host, is_public, resolve


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("172.16.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("::10.0.0.1", False),
        ("5f00::1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_recognizes_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True),
        ("192.168.1.20", True),
        ("::ffff:192.168.1.20", True),
        ("fd00::1", True),
        ("192.168.2.20", False),
        ("127.0.0.1", False),
        ("fd01::1", False),
    ],
)
def test_private_networks_can_be_allowed(address: str, allowed: bool) -> None:
    rule = AddressRule(["192.168.1.0/24", "fd00::/16"])
    assert rule(ipaddress.ip_address(address)) is allowed


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "::ffff:127.0.0.1"])
async def test_odd_forms_of_an_address_are_resolved_first(host: str) -> None:
    with pytest.raises(NotPublic):
        await resolve(host, 80, is_public)
    assert [address["host"].endswith("127.0.0.1") for address in await resolve(host, 80, AddressRule(["127.0.0.0/8"]))]


async def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    async def two_addresses(host: str, port: int, **_: object) -> object:
        return [(2, 1, 6, "", ("8.8.8.8", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
    with pytest.raises(NotPublic, match=r"two\.example"):
        await resolve("two.example", 80, is_public)


def test_a_host_that_is_an_address_is_checked_without_resolving() -> None:
    check_host("example.com", is_public)
    check_host("8.8.8.8", is_public)
    for host in ("fe80::1", "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"):
        with pytest.raises(NotPublic):
            check_host(host, is_public)
