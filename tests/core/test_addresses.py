"""Whose address counts when proxies stand in between."""

import pytest

from server.core.addresses import Proxies

PROXIES = Proxies(("10.0.0.0/8", "192.0.2.1", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.1.2.3", "198.51.100.1, 203.0.113.9, 192.0.2.1", "203.0.113.9"),
        ("10.1.2.3", "forged, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, nonsense", "10.1.2.3"),
        ("10.1.2.3", "10.4.4.4", "10.4.4.4"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("::ffff:10.1.2.3", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", " 198.51.100.1 ", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours_counts(peer: str, forwarded_for: str, client: str) -> None:
    assert PROXIES.client(peer, forwarded_for) == client


def test_without_proxies_no_header_is_believed() -> None:
    assert Proxies(()).client("127.0.0.1", "198.51.100.1") == "127.0.0.1"
