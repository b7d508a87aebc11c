"""What the TPM can show for itself: its endorsement key with the maker's certificate, and a secret that only it reads.

TCG EK Credential Profile for TPM 2.0, §2.2.1: where the certificates are in the TPM, and how the keys are made anew
from its seed. They are read from the TPM alone; no maker is asked for one over the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from proxy.agent.tpm import TpmKey, TpmUnusable, run

_KINDS: Final = {"rsa": "0x01c00002", "ecc": "0x01c0000a"}  # the templates L-1 and L-2, with their certificates
_BETWEEN: Final = 0x01C00100  # where certificates between those and the maker's authority begin
_MOST_BETWEEN: Final = 5
_MAGIC: Final = bytes.fromhex("badcc0de00000001")  # of the files that tpm2_activatecredential reads


class Endorsement(NamedTuple):
    """The kind of the endorsement key, its certificate (DER), and those between it and the maker's authority."""

    kind: str
    certificate: bytes
    between: tuple[bytes, ...]


def endorsement(key: TpmKey) -> Endorsement:
    """What the TPM of this key has of its maker. Raises TpmUnusable when there is nothing."""
    with key.at_work() as folder:
        for kind, index in _KINDS.items():
            stored = _stored(folder, key.tcti, index)
            if stored:
                _check(folder, key.tcti, kind, stored[0])
                return Endorsement(kind, stored[0], (*stored[1:], *_between(folder, key.tcti))[:_MOST_BETWEEN])
    raise TpmUnusable("this TPM holds no certificate by its maker, so it can vouch for nothing")


def read_secret(key: TpmKey, kind: str, credential: bytes, secret: bytes) -> bytes:
    """What was encrypted for this TPM and this key (TPM2_ActivateCredential). Raises TpmUnusable."""
    with key.at_work() as folder:
        _endorsement_key(folder, key.tcti, kind)
        (folder / "credential").write_bytes(_MAGIC + credential + secret)
        run(folder, key.tcti, "tpm2_startauthsession", "-Q", "--policy-session", "-S", "session.ctx")
        try:
            run(folder, key.tcti, "tpm2_policysecret", "-Q", "-S", "session.ctx", "-c", "e")
            run(
                folder,
                key.tcti,
                *("tpm2_activatecredential", "-Q", "-c", "key.ctx", "-C", "ek.ctx", "-P", "session:session.ctx"),
                *("-i", "credential", "-o", "secret"),
            )
        finally:
            run(folder, key.tcti, "tpm2_flushcontext", "session.ctx")
        return (folder / "secret").read_bytes()


def _endorsement_key(folder: Path, tcti: str, kind: str) -> None:
    run(folder, tcti, "tpm2_createek", "-Q", "-c", "ek.ctx", "-G", kind, "-u", "ek.pem", "-f", "pem")


def _check(folder: Path, tcti: str, kind: str, certificate: bytes) -> None:
    """Some TPMs come with a certificate for a key that is made in another way; we cannot use it."""
    _endorsement_key(folder, tcti, kind)
    made = load_pem_public_key((folder / "ek.pem").read_bytes())
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        certified = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError) as error:
        raise TpmUnusable(f"the certificate in this TPM cannot be read: {error}") from error
    if made.public_bytes(*form) != certified.public_bytes(*form):
        raise TpmUnusable("the certificate in this TPM is not of the endorsement key that it makes")


def _between(folder: Path, tcti: str) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for index in range(_BETWEEN, _BETWEEN + _MOST_BETWEEN):
        stored = _stored(folder, tcti, f"{index:#010x}")
        if not stored:
            break
        found.extend(stored)
    return tuple(found)


def _stored(folder: Path, tcti: str, index: str) -> list[bytes]:
    """The certificates at an index, [] where there is none. What is stored may be longer than they are."""
    try:
        run(folder, tcti, "tpm2_nvread", "-Q", index, "-o", "stored")
    except TpmUnusable:
        return []
    return split((folder / "stored").read_bytes())


def split(data: bytes) -> list[bytes]:
    """DER sequences one after another, and whatever fills the rest."""
    found: list[bytes] = []
    while data[:2] == b"\x30\x82" and len(data) >= (size := 4 + int.from_bytes(data[2:4])):  # 256 bytes to 64 KiB
        found.append(data[:size])
        data = data[size:]
    return found
