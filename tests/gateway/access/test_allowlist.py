"""The allowlist: networks, single addresses, IPv4 addresses mapped to IPv6."""

from __future__ import annotations

from gateway.access.allowlist import Allowlist, is_loopback


def test_allows_networks_and_addresses() -> None:
    allowlist = Allowlist(["192.168.1.0/24", "2001:db8::1"])
    assert [allowlist.allows(host) for host in ("192.168.1.9", "::ffff:192.168.1.9", "2001:db8::1")] == [True] * 3
    assert [allowlist.allows(host) for host in ("192.168.2.9", "2001:db8::2", "", "testclient")] == [False] * 4
    assert Allowlist([]).allows("anything")


def test_recognizes_loopback_addresses() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("10.0.0.1")
