"""Encrypting for a service provider, well or badly."""

from __future__ import annotations

import base64
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree
from saml_signer import DS, SAML, Element, rsa_key

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"


def ciphered(plain: bytes, algorithm: str, key: bytes, padding_byte: int | None = None) -> bytes:
    """By the algorithm's URI. `padding_byte`: a lie about the padding of CBC."""
    if algorithm.endswith("gcm"):
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, plain, None)
    iv, fill = os.urandom(16), 16 - len(plain) % 16
    last = fill if padding_byte is None else padding_byte
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(plain + bytes(fill - 1) + bytes([last])) + encryptor.finalize()


def wrapped(key: bytes, recipient: rsa.RSAPublicKey, transport: str, digest: str, mask: str) -> bytes:
    if transport.endswith("rsa-1_5"):
        return recipient.encrypt(key, padding.PKCS1v15())
    chosen = hashes.SHA256() if digest == "sha256" else hashes.SHA1()
    masked = hashes.SHA256() if mask == "mgf1sha256" else hashes.SHA1()
    return recipient.encrypt(key, padding.OAEP(padding.MGF1(masked), chosen, None))


def encrypted(
    element: Element | bytes,
    *,
    recipient: str = "sp",
    algorithm: str = XENC11 + "aes256-gcm",
    transport: str = XENC + "rsa-oaep-mgf1p",
    digest: str = "sha1",
    mask: str = "",
    label: str = "",
    beside: bool = False,
    tamper: bool = False,
    padding_byte: int | None = None,
    cut: int = 0,
    keep: int | None = None,
    keys: int = 1,
    wrapper: str = "EncryptedAssertion",
    kind: str = XENC + "Element",
) -> Element:
    """An EncryptedAssertion. `beside`: the key stands beside the data, not in it; `tamper`: one bit is changed;
    `cut`: so many bytes are missing; `keep`: only so many are left."""
    plain = element if isinstance(element, bytes) else etree.tostring(element, with_tail=False)
    key = os.urandom(int(algorithm.rpartition("aes")[2][:3]) // 8)
    data = bytearray(ciphered(plain, algorithm, key, padding_byte))
    data = data[: len(data) - cut if keep is None else keep]
    data[len(data) // 2] ^= tamper
    name = f"{XENC if digest == 'sha256' else DS}{digest}"
    secret = base64.b64encode(wrapped(key, rsa_key(recipient).public_key(), transport, digest, mask)).decode()
    more = f'<x:MGF xmlns:x="{XENC11}" Algorithm="{XENC11}{mask}"/>' if mask else ""
    more += f"<xenc:OAEPparams>{label}</xenc:OAEPparams>" if label else ""
    encrypted_key = (
        f'<xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{transport}"><ds:DigestMethod Algorithm="{name}"/>'
        f"{more}</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{secret}</xenc:CipherValue></xenc:CipherData>"
        "</xenc:EncryptedKey>"
    ) * keys
    inside = "" if beside else f"<ds:KeyInfo>{encrypted_key}</ds:KeyInfo>"
    return etree.fromstring(
        f'<saml:{wrapper} xmlns:saml="{SAML}" xmlns:xenc="{XENC}" xmlns:ds="{DS}"><xenc:EncryptedData Type="{kind}">'
        f'<xenc:EncryptionMethod Algorithm="{algorithm}"/>{inside}<xenc:CipherData><xenc:CipherValue>'
        f"{base64.b64encode(bytes(data)).decode()}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>"
        f"{encrypted_key if beside else ''}</saml:{wrapper}>"
    )
