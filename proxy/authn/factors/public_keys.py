"""The public key of a passkey: whether it is one that can ever verify a signature. Pure.

A browser says what key was made, and nobody vouches for it. One that is none would count as a second factor that its
owner then cannot use, and one that is too small as a factor that anybody can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

ALGORITHMS: Final = (-7, -8, -35, -36, -257)  # COSE: ES256, EdDSA, ES384, ES512, RS256
_CURVES: Final[Mapping[int, tuple[int, ec.EllipticCurve]]] = {
    -7: (1, ec.SECP256R1()),
    -35: (2, ec.SECP384R1()),
    -36: (3, ec.SECP521R1()),
}
_OKP, _EC2, _RSA = 1, 2, 3  # RFC 9053 §7, RFC 8230 §4
_ED25519: Final = 6
_MIN_BITS, _MAX_BITS = 2048, 8192  # NIST SP 800-131A; beyond, a verification is a denial of service
_MAX_EXPONENT: Final = 65537
_P: Final = 2**255 - 19  # RFC 8032 §5.1
_D: Final = -121665 * pow(121666, -1, _P) % _P


def check_public_key(key: Mapping[int, Any]) -> None:
    """`key` is a COSE key (RFC 9052 §7), as CBOR has it. Raises ValueError, or TypeError for a member of another type,
    unless it is of one of the `ALGORITHMS` and good for it."""
    algorithm: Any = key.get(3)
    kind = key.get(1)
    if algorithm in _CURVES:
        name, curve = _CURVES[algorithm]
        if (kind, key.get(-1)) != (_EC2, name):
            raise ValueError("a key of another curve than its algorithm's")
        ec.EllipticCurvePublicNumbers(_number(key.get(-2)), _number(key.get(-3)), curve).public_key()  # on the curve?
    elif algorithm == -8:
        if (kind, key.get(-1)) != (_OKP, _ED25519):
            raise ValueError("a key of another curve than its algorithm's")
        _check_ed25519(key.get(-2))
    elif algorithm == -257:
        if kind != _RSA:
            raise ValueError("a key of another kind than its algorithm's")
        _check_rsa(_number(key.get(-1)), _number(key.get(-2)))
    else:
        raise ValueError("a key of a kind that was not asked for")


def _number(value: object) -> int:
    if not isinstance(value, bytes):
        raise TypeError("a number of a key is not a string of bytes")
    return int.from_bytes(value)


def _check_rsa(modulus: int, exponent: int) -> None:
    if not _MIN_BITS <= modulus.bit_length() <= _MAX_BITS or modulus % 2 == 0 or exponent > _MAX_EXPONENT:
        raise ValueError("an RSA key that is too small, too large, or none")
    rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _check_ed25519(encoded: object) -> None:
    """The library takes any 32 bytes: whether they are a point (RFC 8032 §5.1.3) is seen here, and that it is none of
    the eight whose order is small, for which anybody can sign."""
    if not isinstance(encoded, bytes) or len(encoded) != 32:
        raise ValueError("an Ed25519 key has 32 bytes")
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P  # x²; never divided by 0, as -1/d is no square
    if y >= _P or pow(square, (_P - 1) // 2, _P) > 1:
        raise ValueError("not a point of the curve")
    # y is 1 or -1 for order 1 and 2, 0 for order 4; a point of order 8 doubles to one of order 4, so there x² is -y².
    if y * (y * y - 1) * (_D * y**4 + 2 * y * y - 1) % _P == 0:
        raise ValueError("a point of small order")
