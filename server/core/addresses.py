"""Whose connection it is, when proxies stand in between."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


class Proxies:
    """The proxies we believe. A header of anybody else is what anybody may write."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = tuple(ip_network(one, strict=False) for one in trusted)

    def client(self, peer: str, forwarded_for: str) -> str:
        """Return the address of a client: the nearest one that is no proxy of ours.

        `forwarded_for` is X-Forwarded-For. Each proxy has added who spoke to it at the end, so it is read from there.
        """
        nearest = peer
        for hop in reversed(forwarded_for.split(",")):
            address = _address(nearest)
            if address is None or not self._trusts(address) or _address(hop) is None:
                break
            nearest = str(_address(hop))
        return nearest

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
