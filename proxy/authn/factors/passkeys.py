"""Passkeys (WebAuthn Level 3): what the browser is asked, and whether what it answers is right. Pure.

The relying party is the login host; the origin must be the login URL's, exactly; the authenticator must have verified
its user (PIN, finger, face). Attestation is not asked for: which make a key is of is not what we decide on.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from proxy.authn.factors.errors import FactorRefused
from proxy.authn.factors.public_keys import ALGORITHMS, check_public_key

MOST_BYTES: Final = 8 * 1024  # of what a browser answers
_TIMEOUT: Final = 120_000  # milliseconds a browser waits for its person
_MAX_CREDENTIAL_ID: Final = 1023  # bytes, WebAuthn §7.1
_NOT_THIS: Final = "This passkey was not accepted. Try again, or use another way."
# What fido2 and what lies below it raise for what they cannot read.
_MALFORMED: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    OverflowError,
    NotImplementedError,
    RecursionError,
    struct.error,
    UnsupportedAlgorithm,
    msgspec.MsgspecError,
)

T = TypeVar("T")

logging.getLogger("fido2").setLevel(logging.WARNING)  # it reports every credential id it sees


class _Made(msgspec.Struct):
    """`response` of RegistrationResponseJSON (WebAuthn §5.1), as far as we read it."""

    clientDataJSON: str  # noqa: N815  the name on the wire
    attestationObject: str  # noqa: N815  the same


class _Signed(msgspec.Struct):
    """`response` of AuthenticationResponseJSON."""

    clientDataJSON: str  # noqa: N815  the name on the wire
    authenticatorData: str  # noqa: N815  the same
    signature: str
    userHandle: str | None = None  # noqa: N815  the same


class _Answer(msgspec.Struct, Generic[T]):
    """What a browser answers. Read strictly before fido2 sees it: that turns a number into as many bytes."""

    id: str
    rawId: str  # noqa: N815  the name on the wire
    type: Literal["public-key"]
    response: T


class NewPasskey(NamedTuple):
    """A passkey that has just been made."""

    credential_id: bytes
    credential: bytes  # attested credential data: id and public key
    counter: int
    synced: bool


class Signed(NamedTuple):
    """A passkey has signed: which, its signature counter, and whether it may be copied."""

    credential_id: bytes
    counter: int
    synced: bool


class RelyingParty:
    """Us, to authenticators. `origin` is the login URL's origin, `host` its host."""

    def __init__(self, origin: str, host: str) -> None:
        self._origin = origin
        self._server = Fido2Server(
            PublicKeyCredentialRpEntity(name="Ostiary", id=host), verify_origin=lambda said: said == origin
        )
        self._server.allowed_algorithms = [each for each in self._server.allowed_algorithms if each.alg in ALGORITHMS]

    def enrolment(self, challenge: bytes, person: str, label: str, known: Sequence[bytes]) -> dict[str, Any]:
        """The options for `navigator.credentials.create`, as JSON values. `known`: credentials enrolled already."""
        user = PublicKeyCredentialUserEntity(id=user_handle(person), name=label, display_name=label)
        options, _ = self._server.register_begin(
            user,
            [AttestedCredentialData(each) for each in known],
            # One that only answers when it is named takes no room on a security key.
            resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.REQUIRED,
            challenge=challenge,
        )
        return _plain(options)

    def enrolled(self, challenge: bytes, response: bytes) -> NewPasskey:
        """What the browser answered to `enrolment` (JSON of RegistrationResponseJSON). Raises FactorRefused."""
        try:
            answer = RegistrationResponse.from_dict(_object(response, _Made))
            _same_origin_only(answer.response.client_data.cross_origin)
            data = self._server.register_complete(_state(challenge), answer)
            return _new(data)
        except _MALFORMED as error:
            raise FactorRefused(_NOT_THIS) from error

    def request(self, challenge: bytes, known: Sequence[bytes]) -> dict[str, Any]:
        """The options for `navigator.credentials.get`, as JSON values."""
        options, _ = self._server.authenticate_begin(
            [AttestedCredentialData(each) for each in known], UserVerificationRequirement.REQUIRED, challenge
        )
        return _plain(options)

    def signed(self, challenge: bytes, person: str, known: Sequence[bytes], response: bytes) -> Signed:
        """What the browser answered to `request` (JSON of AuthenticationResponseJSON), by one of the `known`
        credentials of this person. The caller checks the counter. Raises FactorRefused."""
        try:
            answer = AuthenticationResponse.from_dict(_object(response, _Signed))
            _same_origin_only(answer.response.client_data.cross_origin)
            if answer.response.user_handle not in (None, b"", user_handle(person)):
                raise ValueError("the passkey belongs to somebody else")
            credentials = [AttestedCredentialData(each) for each in known]
            used = self._server.authenticate_complete(_state(challenge), credentials, answer)
            data = answer.response.authenticator_data
            return Signed(used.credential_id, data.counter, _synced(data))
        except _MALFORMED as error:
            raise FactorRefused(_NOT_THIS) from error


def user_handle(person: str) -> bytes:
    """Who a passkey is for, as 32 bytes that say nothing about the person (WebAuthn §14.6.1)."""
    return hashlib.sha256(f"ostiary passkey:{person}".encode()).digest()


def _state(challenge: bytes) -> Mapping[str, Any]:
    return {"challenge": websafe_encode(challenge), "user_verification": UserVerificationRequirement.REQUIRED}


def _object(response: bytes, kind: type[_Made | _Signed]) -> dict[str, Any]:
    if len(response) > MOST_BYTES:
        raise ValueError("too long")
    read: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(response, type=_Answer[kind]))  # type: ignore[valid-type]  # msgspec reads the parameter at run time
    return read


def _same_origin_only(cross_origin: object) -> None:
    if cross_origin is not False:
        raise ValueError("made inside another site's page")


def _new(data: AuthenticatorData) -> NewPasskey:
    credential = data.credential_data
    if credential is None or not 0 < len(credential.credential_id) <= _MAX_CREDENTIAL_ID:
        raise ValueError("no credential")
    check_public_key(credential.public_key)
    return NewPasskey(credential.credential_id, bytes(credential), data.counter, _synced(data))


def _synced(data: AuthenticatorData) -> bool:
    """Backup eligible. One that is backed up must be eligible (WebAuthn §6.1)."""
    flags = AuthenticatorData.FLAG
    if data.flags & flags.BS and not data.flags & flags.BE:
        raise ValueError("backed up, but not eligible")
    return bool(data.flags & flags.BE)


def _plain(options: Any) -> dict[str, Any]:
    return {**options["publicKey"], "timeout": _TIMEOUT}
