"""Whose address a trusted proxy in front of us reports."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(cidrs: Sequence[str]) -> tuple[Network, ...]:
    """Parse CIDRs. Raises ValueError naming the one that is wrong."""
    return tuple(ipaddress.ip_network(cidr) for cidr in cidrs)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(peer: str, forwarded_for: bytes, trusted: Sequence[Network]) -> str:
    """The client's address: the peer's, or behind trusted proxies the right-most X-Forwarded-For entry that is not
    itself a trusted proxy. What cannot be read stops the walk, so a client cannot put words in a proxy's mouth."""
    address = _parse(peer)
    if address is None or not trusted:
        return peer
    hops = [hop.strip() for hop in forwarded_for.decode("latin-1").split(",")] if forwarded_for else []
    while hops and any(address in network for network in trusted if network.version == address.version):
        hop = hops.pop()
        nearer = None if "%" in hop else _parse(hop)  # a zone may be any text, and means nothing elsewhere
        if nearer is None:
            break
        address = nearer
    return str(address)
