"""Opening what a provider encrypted for us. XML Encryption 1.1, narrowed. No I/O.

Key transport is RSA-OAEP only (PKCS#1 v1.5 tells an attacker about the key with every error), data AES-GCM; AES-CBC,
which anybody on the way can change, only inside something that was verified already. All failures look the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.authn.errors import LoginRefused
from proxy.authn.saml.strict_xml import (
    DS,
    XENC,
    XENC11,
    Element,
    children,
    decode_base64,
    only_child,
    parse,
    tag,
    text_of,
)

_GCM: Final = {f"{XENC11}aes{bits}-gcm": bits // 8 for bits in (128, 192, 256)}
_CBC: Final = {f"{XENC}aes{bits}-cbc": bits // 8 for bits in (128, 192, 256)}
_OAEP: Final = {f"{XENC}rsa-oaep-mgf1p", f"{XENC11}rsa-oaep"}
# In OAEP a hash need not resist collisions: SHA-1, the default of XML Encryption, does no harm here.
_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "": hashes.SHA1(),  # noqa: S303  # see above
    f"{DS}sha1": hashes.SHA1(),  # noqa: S303
    f"{XENC}sha256": hashes.SHA256(),
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384(),
    f"{XENC}sha512": hashes.SHA512(),
}
_MASKS: Final[dict[str, hashes.HashAlgorithm]] = {
    "": hashes.SHA1(),  # noqa: S303
    f"{XENC11}mgf1sha1": hashes.SHA1(),  # noqa: S303
    f"{XENC11}mgf1sha256": hashes.SHA256(),
    f"{XENC11}mgf1sha384": hashes.SHA384(),
    f"{XENC11}mgf1sha512": hashes.SHA512(),
}
_MAX_KEYS = 4  # encrypted keys in one message; each costs an RSA operation for each of ours
_ELEMENT: Final = f"{XENC}Element"


class DecryptionFailed(LoginRefused):
    """It is not encrypted for us, by algorithms we take, or it was changed."""


class _Wrong(Exception):
    """This key does not open it."""


def opened(wrapper: Element, keys: Sequence[rsa.RSAPrivateKey], *, cbc: bool) -> Element:
    """The root of what is inside an EncryptedAssertion or EncryptedID, parsed as strictly as what arrives.

    `cbc`: `wrapper` comes from something whose signature was verified. Raises `DecryptionFailed` or `XmlRefused`.
    """
    data = only_child(wrapper, XENC, "EncryptedData")
    if data.get("Type", _ELEMENT) != _ELEMENT:
        raise DecryptionFailed("what is encrypted is not an element")
    algorithm = _algorithm(data)
    size = {**_GCM, **(_CBC if cbc else {})}.get(algorithm)
    if size is None:
        why = " outside a signed response" if algorithm in _CBC else ""
        raise DecryptionFailed(f"the encryption algorithm {algorithm[:100]!r} is not accepted{why}: use AES-GCM")
    ciphered = _cipher_value(data)
    for encrypted in _encrypted_keys(wrapper, data):
        for key in keys:
            try:
                content_key = _unwrapped(encrypted, key)
                if len(content_key) == size:
                    return parse((_gcm if algorithm in _GCM else _cbc)(content_key, ciphered))
            except _Wrong:
                continue
    raise DecryptionFailed("it cannot be decrypted with our key: is the provider's copy of our certificate current?")


def _encrypted_keys(wrapper: Element, data: Element) -> list[Element]:
    """Inside EncryptedData, or beside it (SAML core E43): both are about."""
    inside = [key for info in children(data, DS, "KeyInfo") for key in children(info, XENC, "EncryptedKey")]
    found = [*inside, *children(wrapper, XENC, "EncryptedKey")]
    if not 0 < len(found) <= _MAX_KEYS:
        raise DecryptionFailed(f"it must come with one to {_MAX_KEYS} encrypted keys")
    return found


def _algorithm(element: Element) -> str:
    return str(only_child(element, XENC, "EncryptionMethod").get("Algorithm", ""))


def _cipher_value(element: Element) -> bytes:
    """The octets in place; a reference to somewhere else is not followed."""
    return decode_base64(text_of(only_child(only_child(element, XENC, "CipherData"), XENC, "CipherValue")))


def _unwrapped(encrypted: Element, key: rsa.RSAPrivateKey) -> bytes:
    method = only_child(encrypted, XENC, "EncryptionMethod")
    algorithm = str(method.get("Algorithm", ""))
    if algorithm not in _OAEP:
        raise DecryptionFailed(f"the key transport {algorithm[:100]!r} is not accepted: use RSA-OAEP")
    if any(text_of(label) for label in children(method, XENC, "OAEPparams")):
        raise DecryptionFailed("RSA-OAEP with a label is not accepted")
    digest = _DIGESTS.get(_parameter(method, tag(DS, "DigestMethod")))
    mask = _MASKS.get(_parameter(method, tag(XENC11, "MGF")))
    if digest is None or mask is None:
        raise DecryptionFailed("RSA-OAEP with this digest or mask function is not accepted")
    try:
        return key.decrypt(_cipher_value(encrypted), padding.OAEP(padding.MGF1(mask), digest, None))
    except ValueError:
        raise _Wrong from None


def _parameter(method: Element, name: str) -> str:
    found = method.find(name)
    return "" if found is None else str(found.get("Algorithm", ""))


def _gcm(key: bytes, ciphered: bytes) -> bytes:
    """Nonce of 12 bytes, data, tag of 16. XML Encryption 1.1, section 5.2.4."""
    try:
        return AESGCM(key).decrypt(ciphered[:12], ciphered[12:], None)
    except (InvalidTag, ValueError):
        raise _Wrong from None


def _cbc(key: bytes, ciphered: bytes) -> bytes:
    """IV of 16 bytes, data; the last byte says how many are padding. XML Encryption 1.1, section 5.2."""
    if len(ciphered) < 32 or len(ciphered) % 16:
        raise _Wrong
    decryptor = Cipher(algorithms.AES(key), modes.CBC(ciphered[:16])).decryptor()
    plain = decryptor.update(ciphered[16:]) + decryptor.finalize()
    if not 1 <= plain[-1] <= 16:
        raise _Wrong
    return plain[: -plain[-1]]
