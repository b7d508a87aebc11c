"""Name constraints: what a CA may name. Pure. RFC 5280 §4.2.1.10.

The comparison leans to refusing: a kind of constraint we cannot evaluate refuses, a URI without a host cannot satisfy
a URI constraint, names of directories are compared without regard to case and spacing so that an exclusion cannot be
dodged by either.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

_SUPPORTED = (
    x509.DNSName,
    x509.UniformResourceIdentifier,
    x509.RFC822Name,
    x509.IPAddress,
    x509.DirectoryName,
)


def permits(constraints: x509.NameConstraints, subject: x509.Name, names: Sequence[x509.GeneralName]) -> bool:
    """Whether one CA's constraints allow a certificate with this subject and these subject alternative names."""
    permitted = list(constraints.permitted_subtrees or ())
    excluded = list(constraints.excluded_subtrees or ())
    if not all(isinstance(tree, _SUPPORTED) for tree in (*permitted, *excluded)):
        return False
    return all(_allows(name, permitted, excluded) for name in _all_names(subject, names))


def _all_names(subject: x509.Name, names: Sequence[x509.GeneralName]) -> list[x509.GeneralName]:
    result = list(names)
    if subject.rdns:
        result.append(x509.DirectoryName(subject))
    if not any(isinstance(name, x509.RFC822Name) for name in names):
        result += [
            x509.RFC822Name(value)
            for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
            if isinstance(value := attribute.value, str) and value.isascii()
        ]
    return result


def _allows(
    name: x509.GeneralName, permitted: Sequence[x509.GeneralName], excluded: Sequence[x509.GeneralName]
) -> bool:
    alike = [tree for tree in permitted if type(tree) is type(name)]
    if alike and not any(_matches(name, tree, unsure=False) for tree in alike):
        return False
    return not any(_matches(name, tree, unsure=True) for tree in excluded if type(tree) is type(name))


def _matches(name: x509.GeneralName, tree: x509.GeneralName, *, unsure: bool) -> bool:
    """Whether `name` lies in `tree`; `unsure` is the answer for a name that cannot be compared."""
    match name, tree:
        case x509.DNSName(), x509.DNSName():
            return _host_below(name.value, tree.value, itself=True)
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            host = _host(name.value)
            return unsure if host is None else _host_within(host, tree.value)
        case x509.RFC822Name(), x509.RFC822Name():
            return _mailbox_within(name.value, tree.value)
        case x509.IPAddress(), x509.IPAddress():
            return _address_within(name.value, tree.value, unsure=unsure)
        case x509.DirectoryName(), x509.DirectoryName():
            wanted = _canonical(tree.value)
            return _canonical(name.value)[: len(wanted)] == wanted
        case _:
            return unsure


def _host_below(host: str, tree: str, *, itself: bool) -> bool:
    host, tree = host.lower().removesuffix("."), tree.lower().removesuffix(".")
    if tree.startswith("."):
        return host.endswith(tree)
    return not tree or host.endswith("." + tree) or (itself and host == tree)


def _host_within(host: str, tree: str) -> bool:
    """For URIs and mail: a leading dot means every host below, otherwise exactly this host."""
    host, tree = host.lower().removesuffix("."), tree.lower().removesuffix(".")
    return host.endswith(tree) if tree.startswith(".") else host == tree


def _host(uri: str) -> str | None:
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return None
    if not host:
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None  # RFC 5280: the constraint must be on a fully qualified domain name


def _mailbox_within(mailbox: str, tree: str) -> bool:
    if "@" in tree:
        return mailbox.lower() == tree.lower()
    return _host_within(mailbox.rpartition("@")[2], tree)


def _address_within(address: object, tree: object, *, unsure: bool) -> bool:
    if isinstance(tree, ipaddress.IPv4Network) and isinstance(address, ipaddress.IPv4Address):
        return address in tree
    if isinstance(tree, ipaddress.IPv6Network) and isinstance(address, ipaddress.IPv6Address):
        return address in tree
    known = isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
    return False if known else unsure  # an address of the other family lies outside


def _canonical(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
    return [frozenset((attribute.oid.dotted_string, _text(attribute.value)) for attribute in rdn) for rdn in name.rdns]


def _text(value: str | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else " ".join(value.casefold().split())
