"""Makers of TPMs, and TPMs made of Python: they do what TPM2_ActivateCredential does, step by step as the specification
has it (part 1, §24; part 3, §12.5). The real commands run in tests/agent/test_agent_tpm_attestation.py."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import Encoding
from device_people import LOGIN, NOON, Laptop, World, b64

from proxy.devices.endorsement import Authorities
from proxy.model.report import ACTIVATE_TYPE, ATTEST_TYPE, Credential

SIGNING = 0x00040472  # fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA sign
EK_PURPOSE = x509.ObjectIdentifier("2.23.133.8.1")
_DAY = timedelta(days=1)
RSA = rsa.generate_private_key(65537, 2048)  # making one takes a while: the TPMs of the tests share them
RSA_OTHER = rsa.generate_private_key(65537, 2048)


class Maker:
    """An authority. `certify` takes wishes for what is wrong with the certificate."""

    def __init__(self, name: str = "Maker", above: Maker | None = None, now: float = NOON, **wishes: Any) -> None:
        self.name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        self.now = datetime.fromtimestamp(now, UTC)
        self.private = ec.generate_private_key(ec.SECP256R1())
        usage = wishes.pop("usage", "key_cert_sign")
        authority = {"ca": True, "purpose": None, "usage": usage, "subject": self.name, **wishes}
        self.certificate = (above or self).certify(self.private.public_key(), **authority)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def certify(self, key: Any, **wishes: Any) -> x509.Certificate:
        usual = "key_encipherment" if isinstance(key, rsa.RSAPublicKey) else "key_agreement"
        ca = wishes.get("ca", False)
        builder = (
            x509.CertificateBuilder(extensions=[])
            .subject_name(wishes.get("subject", x509.Name([])))
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + wishes.get("begins", -_DAY))
            .not_valid_after(self.now + wishes.get("ends", 3650 * _DAY))
            .add_extension(x509.BasicConstraints(ca, wishes.get("below") if ca else None), critical=True)
            .add_extension(_usage(wishes.get("usage", usual)), critical=True)
        )
        if (purpose := wishes.get("purpose", EK_PURPOSE)) is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if wishes.get("strange"):
            builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b""), True)
        return builder.sign(self.private, SHA256())


def _usage(one: str) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    every = (*names, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name == one for name in every})


def public_area(laptop: Laptop, attributes: int = SIGNING, **changes: bytes) -> bytes:
    """The TPMT_PUBLIC of the laptop's key."""
    numbers = laptop.private.public_key().public_numbers()
    parts = {
        "type": b"\x00\x23",
        "name_alg": b"\x00\x0b",
        "attributes": attributes.to_bytes(4),
        "policy": b"\0\0",
        "symmetric": b"\x00\x10",
        "scheme": b"\x00\x18\x00\x0b",
        "curve": b"\x00\x03",
        "kdf": b"\x00\x10",
        "x": b"\0\x20" + numbers.x.to_bytes(32),
        "y": b"\0\x20" + numbers.y.to_bytes(32),
    }
    return b"".join((parts | changes).values())


class Tpm:
    """A TPM with its endorsement key. It holds the objects whose names are in `holds`, and answers for no others."""

    def __init__(self, endorsement: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = RSA) -> None:
        self.endorsement = endorsement
        self.holds: set[bytes] = set()

    def make(self, laptop: Laptop) -> bytes:
        """The laptop's key is in this TPM. Returns its public area."""
        public = public_area(laptop)
        self.holds.add(name_of(public))
        return public

    def activate(self, asked: Credential, name: bytes) -> bytes:
        """The secret. Raises PermissionError where a TPM would answer with an error."""
        if name not in self.holds:
            raise PermissionError("TPM_RC_AUTH_UNAVAILABLE")
        blob, shared = (_unsized(_unb64(each))[0] for each in (asked.credential, asked.secret))
        integrity, encrypted = _unsized(blob)
        seed = self._seed(shared)
        expected = hmac.digest(_kdf_a(seed, b"INTEGRITY", b"", 32), encrypted + name, "sha256")
        if not hmac.compare_digest(expected, integrity):
            raise PermissionError("TPM_RC_INTEGRITY")
        decryptor = Cipher(AES(_kdf_a(seed, b"STORAGE", name, 16)), CFB(bytes(16))).decryptor()
        secret, rest = _unsized(decryptor.update(encrypted) + decryptor.finalize())
        assert rest == b""
        return secret

    def _seed(self, shared: bytes) -> bytes:
        if isinstance(self.endorsement, rsa.RSAPrivateKey):
            try:
                return self.endorsement.decrypt(shared, padding.OAEP(padding.MGF1(SHA256()), SHA256(), b"IDENTITY\0"))
            except ValueError:
                raise PermissionError("TPM_RC_VALUE") from None
        x, rest = _unsized(shared)
        y, _ = _unsized(rest)
        theirs = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1()).public_key()
        mine = self.endorsement.public_key().public_numbers().x.to_bytes(32)
        agreed = self.endorsement.exchange(ec.ECDH(), theirs)
        return ConcatKDFHash(SHA256(), 32, b"IDENTITY\0" + x + mine).derive(agreed)


def name_of(public: bytes) -> bytes:
    return b"\x00\x0b" + hashlib.sha256(public).digest()


def _kdf_a(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    return hmac.digest(key, b"\0\0\0\1" + label + b"\0" + context + (size * 8).to_bytes(4), "sha256")[:size]


def _unsized(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:2])
    return data[2 : 2 + size], data[2 + size :]


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Attester:
    """A laptop with a TPM whose certificate `maker` gave, in a world that trusts `maker`."""

    def __init__(self, world: World, laptop: Laptop, maker: Maker, tpm: Tpm | None = None) -> None:
        self.world, self.laptop, self.maker = world, laptop, maker
        self.tpm = tpm or Tpm()
        self.public = self.tpm.make(laptop)
        self.certificate = maker.certify(self.tpm.endorsement.public_key()).public_bytes(Encoding.DER)
        world.devices.trust(Authorities([maker.certificate]))

    async def ask(self, **changes: Any) -> Credential:
        nonce = changes.pop("nonce", None) or await self.world.devices.nonce(self.laptop.id, self.world.now)
        return await self.world.devices.attest(self.said(nonce, **changes), self.world.now)

    def said(self, nonce: str, **changes: Any) -> str:
        claims = {
            "device": self.laptop.id,
            "aud": LOGIN,
            "nonce": nonce,
            "iat": int(self.world.now),
            "certificate": b64(self.certificate),
            "public": b64(self.public),
            **changes,
        }
        return self.laptop.sign({"alg": "ES256", "typ": ATTEST_TYPE, "kid": self.laptop.id}, claims)

    async def answer(self, asked: Credential, secret: bytes, **changes: Any) -> str:
        """Who vouches."""
        return (await self.world.devices.activate(self.answered(asked, secret, **changes), self.world.now)).issuer

    def answered(self, asked: Credential, secret: bytes, **changes: Any) -> str:
        claims = {"device": self.laptop.id, "aud": LOGIN, "iat": int(self.world.now), "state": asked.state}
        header = {"alg": "ES256", "typ": ACTIVATE_TYPE, "kid": self.laptop.id}
        return self.laptop.sign(header, {**claims, "secret": b64(secret), **changes})

    async def attest(self) -> str:
        asked = await self.ask()
        return await self.answer(asked, self.tpm.activate(asked, name_of(self.public)))
