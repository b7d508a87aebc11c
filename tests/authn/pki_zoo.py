"""Certificates made to order, each wrong in one way: the words of certificates.yaml turned into DER.

A chain is a root, intermediates and a leaf. Every certificate starts out right and is changed by the words given for
it; days count from NOW. Keys are made once per kind and place.
"""

from __future__ import annotations

import functools
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

NOW = 1_800_000_000.0
_START = datetime.fromtimestamp(NOW, UTC)
_HASHES = {"sha1": hashes.SHA1(), "sha224": hashes.SHA224(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
_PURPOSES = {
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "code": ExtendedKeyUsageOID.CODE_SIGNING,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
_USAGES = [
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
]
_CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1(), "k256": ec.SECP256K1()}
ROOT = {"cn": "Root", "ca": True, "usage": ["key_cert_sign", "crl_sign"], "days": [-1000, 1000]}
INTERMEDIATE = {"cn": "Intermediate", "ca": True, "usage": ["key_cert_sign", "crl_sign"], "days": [-100, 100]}
LEAF = {
    "cn": "leaf",
    "ca": False,
    "usage": ["digital_signature"],
    "purposes": ["client"],
    "names": ["uri:spiffe://example.org/ci/deploy"],
    "days": [-1, 1],
}


@functools.cache
def key(kind: str, place: str) -> Any:
    """A private key; the same each time for the same kind and place."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa")))
    return ec.generate_private_key(_CURVES[kind])


def day(offset: float) -> datetime:
    """So many days from NOW."""
    return _START + timedelta(days=offset)


class Zoo:
    """The chain of one case: `anchors`, `lists` for the verifier, `presented` as DER, leaf first."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._places: dict[str, tuple[x509.Certificate, Any]] = {}
        self._make("root", {**ROOT, **case.get("root", {})}, None)
        self._make("foreign", {**ROOT, **case.get("foreign", {})}, None)
        above = "root"
        for number, words in enumerate(case.get("intermediates", [])):
            above = self._make(f"i{number}", {**INTERMEDIATE, "cn": f"I{number}", **words}, above)
        leaf = {**LEAF, **case.get("leaf", {})}
        self._make("leaf", leaf, leaf.get("signed_by", above))
        self.anchors = [self._places[place][0] for place in case.get("anchors", ["root"])]
        self.lists = [self._list(words) for words in case.get("lists", [])]
        inner = [f"i{number}" for number in range(len(case.get("intermediates", [])))]
        places = case.get("present", ["leaf", *reversed(inner)])
        self.presented = [self._places[place][0].public_bytes(Encoding.DER) for place in places]

    def certificate(self, place: str) -> x509.Certificate:
        """The certificate in a place: root, foreign, i0, i1, …, leaf."""
        return self._places[place][0]

    def _make(self, place: str, words: dict[str, Any], above: str | None) -> str:
        mine = key(words.get("key", "p256"), words.get("key_of", place))
        subject = _name(words)
        issuer, signer = (subject, mine) if above is None else (self._places[above][0].subject, self._places[above][1])
        if "signed_with" in words:
            signer = self._places[words["signed_with"]][1]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(mine.public_key())
            .serial_number(words.get("serial", 1 + len(self._places)))
            .not_valid_before(day(words["days"][0]))
            .not_valid_after(day(words["days"][1]))
        )
        for extension, critical in _extensions(words):
            builder = builder.add_extension(extension, critical)
        self._places[place] = (builder.sign(signer, _hash(words, signer)), mine)
        return place

    def _list(self, words: dict[str, Any]) -> x509.CertificateRevocationList:
        place = words.get("by", "root")
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._places[place][0].subject)
        start, end = words.get("days", [-1, 1])
        builder = builder.last_update(day(start)).next_update(day(end))
        for revoked in words.get("revoked", []):
            serial = self._places[revoked][0].serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(day(-1)).build()
            builder = builder.add_revoked_certificate(entry)
        if "number" in words:
            builder = builder.add_extension(x509.CRLNumber(words["number"]), critical=False)
        if words.get("delta"):
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        if "scope" in words:
            builder = builder.add_extension(_scope(words["scope"]), critical=True)
        if words.get("unknown"):
            odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
            builder = builder.add_extension(odd, critical=True)
        signer = self._places[words.get("signed_with", place)][1]
        return builder.sign(signer, _hash(words, signer))


def _name(words: dict[str, Any]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, words["cn"])] if words["cn"] else []
    if "organization" in words:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, words["organization"]))
    return x509.Name(attributes)


def _hash(words: dict[str, Any], signer: Any) -> Any:
    return None if isinstance(signer, ed25519.Ed25519PrivateKey) else _HASHES[words.get("hash", "sha256")]


def _extensions(words: dict[str, Any]) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if words.get("ca") is not None:
        found.append((x509.BasicConstraints(words["ca"], words.get("path_length")), True))
    if words.get("usage") is not None:
        found.append((x509.KeyUsage(**{usage: usage in words["usage"] for usage in _USAGES}), True))
    if words.get("purposes") is not None:
        found.append((x509.ExtendedKeyUsage([_PURPOSES[purpose] for purpose in words["purposes"]]), False))
    if words.get("names"):
        found.append((x509.SubjectAlternativeName([general_name(name) for name in words["names"]]), not words["cn"]))
    if "raw_names" in words:
        raw = bytes.fromhex(words["raw_names"])
        found.append((x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, raw), False))
    if "permitted" in words or "excluded" in words:
        trees = [[general_name(tree) for tree in words.get(kind, [])] or None for kind in ("permitted", "excluded")]
        found.append((x509.NameConstraints(trees[0], trees[1]), True))
    if "unknown" in words:
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        found.append((odd, words["unknown"] == "critical"))
    if words.get("policy_constraints"):
        found.append((x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None), True))
    return found


def general_name(text: str) -> x509.GeneralName:
    """`uri:…`, `dns:…`, `mail:…`, `ip:…` (address or network), `org:…` (a directory name), `other:`."""
    kind, _, value = text.partition(":")
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_network(value) if "/" in value else ipaddress.ip_address(value))
    if kind == "org":
        return x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, value)]))
    if kind == "other":
        return x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    classes = {"uri": x509.UniformResourceIdentifier, "dns": x509.DNSName, "mail": x509.RFC822Name}
    return classes[kind](value)


def _scope(kind: str) -> x509.IssuingDistributionPoint:
    where = [x509.UniformResourceIdentifier("http://example.org/crl")] if kind == "point" else None
    return x509.IssuingDistributionPoint(
        full_name=where,
        relative_name=None,
        only_contains_user_certs=kind == "users",
        only_contains_ca_certs=kind == "cas",
        only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}) if kind == "reasons" else None,
        indirect_crl=kind == "indirect",
        only_contains_attribute_certs=False,
    )
