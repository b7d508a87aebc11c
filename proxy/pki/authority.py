"""A certificate authority in memory: what it signs and how.

Nothing here reads a clock or a file: `now` is seconds since the epoch. Keys are P-256, signatures ECDSA with SHA-256.
Extensions after RFC 5280 section 4.2; SPIFFE certificates after the X.509-SVID standard (one URI name, no other).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.pki.errors import PkiError
from proxy.pki.names import Address, dns_name, server_name, spiffe_id

DAY = 86400.0
AUTHORITY_LIFETIME = 5 * 365 * DAY
LEAF_LIFETIME = 90 * DAY
CRL_LIFETIME = 30 * DAY
_SKEW = 300.0  # a certificate must already be good on a machine whose clock is this far behind

Purpose = Literal["server", "client"]
_PURPOSE = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM. For a file that only its owner can read."""
        return private_pem(self.key)

    @property
    def serial(self) -> str:
        """The serial number in hex, lower case."""
        return f"{self.certificate.serial_number:x}"

    def __repr__(self) -> str:
        return f"<Issued {self.serial} {self.certificate.subject.rfc4514_string()}>"


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revoked certificate: `serial` number and `time` in seconds since the epoch."""

    serial: int
    time: float


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return `key` as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """A self-signed certificate authority that signs leaf certificates and revocation lists directly."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Take an existing authority. Raises PkiError when the key is not the certificate's or it is no authority."""
        if certificate.public_key() != key.public_key():
            raise PkiError("the authority's certificate and key do not belong together")
        if not _is_authority(certificate):
            raise PkiError("this certificate may not sign others: it is not an authority")
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(
        cls, name: str, *, now: float, lifetime: float = AUTHORITY_LIFETIME, domains: Sequence[str] = ()
    ) -> Authority:
        """Make a new authority called `name`, good for `lifetime` seconds.

        With `domains` it is technically unable to vouch for any other DNS name, nor for any address but loopback
        (RFC 5280 section 4.2.1.10): what makes a development authority safe to trust in a browser.
        """
        key = new_key()
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ostiary"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        builder = (
            _builder(subject, subject, key.public_key(), now - _SKEW, now + lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if domains:
            builder = builder.add_extension(_only(domains), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return private_pem(self._key)

    @property
    def cert_pem(self) -> bytes:
        """The certificate as PEM: what others are asked to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, names: Sequence[str], *, now: float, lifetime: float = LEAF_LIFETIME) -> Issued:
        """Issue a certificate for a TLS server: DNS names (wildcards allowed) and IP addresses.

        Raises PkiError for a name that is malformed, or that this authority cannot vouch for.
        """
        checked = [server_name(name) for name in names]
        for name in checked:
            self._refuse_outside(name)
        return self.issue([_general(name) for name in checked], ["server"], now=now, not_after=now + lifetime)

    def client(self, name: str, *, now: float, lifetime: float = LEAF_LIFETIME) -> Issued:
        """Issue a client certificate that carries `name` as DNS subject alternative name."""
        return self.issue([x509.DNSName(dns_name(name))], ["client"], now=now, not_after=now + lifetime)

    def spiffe(self, name: str, *, now: float, lifetime: float = LEAF_LIFETIME) -> Issued:
        """Issue an X.509-SVID: exactly one URI name, good as client and as server (X.509-SVID section 4.3)."""
        uri = x509.UniformResourceIdentifier(spiffe_id(name))
        return self.issue([uri], ["client", "server"], now=now, not_after=now + lifetime)

    def issue(
        self,
        names: Sequence[x509.GeneralName],
        purposes: Sequence[Purpose],
        *,
        now: float,
        not_after: float,
        not_before: float | None = None,
        ca: bool = False,
    ) -> Issued:
        """Issue a leaf exactly as asked: also the odd ones that a verifier must refuse (`ca`, past or future times).

        The end is cut to the authority's own. Raises PkiError when there is no name.
        """
        if not names:
            raise PkiError("a certificate needs at least one name")
        key = new_key()
        start = now - _SKEW if not_before is None else not_before
        end = min(not_after, self.certificate.not_valid_after_utc.timestamp())
        if end <= start:
            raise PkiError(
                "the certificate would end before it begins: the authority itself has expired, make a new one"
            )
        builder = (
            _builder(_subject(names), self.certificate.subject, key.public_key(), start, end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True, key_cert_sign=ca), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        if purposes:
            usage = x509.ExtendedKeyUsage([_PURPOSE[purpose] for purpose in purposes])
            builder = builder.add_extension(usage, critical=False)
        return Issued(builder.sign(self._key, hashes.SHA256()), key)

    def crl(
        self, revoked: Iterable[Revocation], *, number: int, now: float, lifetime: float = CRL_LIFETIME
    ) -> x509.CertificateRevocationList:
        """Sign the list of `revoked` certificates; `number` must be higher than that of any earlier list."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(_time(now - _SKEW))
            .next_update(_time(now + lifetime))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        for entry in revoked:
            one = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(_time(entry.time))
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign(self._key, hashes.SHA256())

    def _refuse_outside(self, name: str | Address) -> None:
        try:
            constraints = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return
        permitted = constraints.permitted_subtrees or []
        if not any(_within(name, subtree) for subtree in permitted):
            allowed = ", ".join(str(subtree.value) for subtree in permitted)
            raise PkiError(
                f"this authority was made for {allowed} only: a certificate for {name} would be refused by everybody"
            )

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(start))
        .not_valid_after(_time(end))
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _only(domains: Sequence[str]) -> x509.NameConstraints:
    loopback = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    permitted: list[x509.GeneralName] = [x509.DNSName(dns_name(domain)) for domain in domains]
    permitted += [x509.IPAddress(network) for network in loopback]
    return x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)


def _general(name: str | Address) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def _within(name: str | Address, subtree: x509.GeneralName) -> bool:
    if isinstance(name, str):
        return isinstance(subtree, x509.DNSName) and f".{name}".endswith(f".{subtree.value}")
    network = subtree.value
    return isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network) and name in network


def _subject(names: Sequence[x509.GeneralName]) -> x509.Name:
    # For people who list certificates; nobody decides on it. RFC 5280 allows 64 characters.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(names[0].value)[:64])])


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
