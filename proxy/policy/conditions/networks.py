"""`networks`: the client address lies in one of these. An address that is missing or cannot be read is unknown."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from proxy.model.facts import Facts
from proxy.policy.asker import Asker
from proxy.policy.conditions.base import RequestCondition, texts, told
from proxy.policy.logic import FALSE, TRUE, UNKNOWN, Value
from proxy.policy.memo import Memo

_LONGEST_ADDRESS = 64  # characters; longer ones are no addresses and are not worth remembering
_MAPPED = 96  # bits of ::ffff:0:0/96


class Networks(RequestCondition):
    """The address is in one of these CIDRs; IPv4 written as IPv6 (`::ffff:10.0.0.1`) is IPv4."""

    name = "networks"

    def __init__(self, networks: object) -> None:
        self._listed = texts(networks)
        self._starts: dict[tuple[int, int], set[int]] = {}  # (bits of an address, host bits) → leading bits
        for text in self._listed:
            network = _network(text)
            host_bits = network.max_prefixlen - network.prefixlen
            starts = self._starts.setdefault((network.max_prefixlen, host_bits), set())
            starts.add(int(network.network_address) >> host_bits)
        self._memo: Memo[str, Value] = Memo(512)

    def of_request(self, facts: Facts) -> Value:
        """The value for these facts."""
        address = facts.address
        if address is None or len(address) > _LONGEST_ADDRESS:
            return UNKNOWN
        known = self._memo.get(address)
        if known is None:
            known = self._look_up(address)
            self._memo.put(address, known)
        return known

    def _look_up(self, text: str) -> Value:
        try:
            address = _plain(ip_address(text))
        except ValueError:
            return UNKNOWN
        number = int(address)
        for (bits, host_bits), starts in self._starts.items():
            if bits == address.max_prefixlen and number >> host_bits in starts:
                return TRUE
        return FALSE

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        if value == UNKNOWN:
            return "Your network address is not known."
        no = "" if value == TRUE else "not "
        return f"Your network address {facts.address} is {no}in {told(asker, self._listed, 'networks')}."


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_hint(text)) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - _MAPPED))
    return network


def _hint(text: str) -> str:
    try:
        return f"{text!r} has bits set beyond its prefix: write {ip_network(text, strict=False)}"
    except ValueError:
        return f"{text!r} is not a network: write it like 10.0.0.0/8 or 2001:db8::/32"
