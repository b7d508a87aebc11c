"""An authenticator in software: makes passkeys and signs with them, truthfully or as it is told to lie."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

FLAG = AuthenticatorData.FLAG
HONEST = FLAG.UP | FLAG.UV


class SoftPasskey:
    """One passkey. `synced`: it may be copied to its owner's other devices. `counting`: it has a signature counter."""

    def __init__(self, *, synced: bool = False, counting: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.flags = HONEST | (FLAG.BE | FLAG.BS if synced else FLAG(0))
        self.counting = counting
        self.counter = 0
        self.user_handle = b""

    def create(self, options: dict[str, Any], origin: str, /, **lies: Any) -> str:
        """The browser's answer to `navigator.credentials.create`."""
        said = _said("webauthn.create", options, origin, lies)
        public = lies.get("public_key", ES256.from_cryptography_key(self.key.public_key()))
        credential = AttestedCredentialData.create(Aaguid.NONE, self.credential_id, public)
        data = self._data(lies.get("rp_id", options["rp"]["id"]), lies.get("flags", self.flags) | FLAG.AT, credential)
        response = {"attestationObject": websafe_encode(AttestationObject.create("none", data, {}))}
        return self._answer(said, response)

    def get(self, options: dict[str, Any], origin: str, /, **lies: Any) -> str:
        """The browser's answer to `navigator.credentials.get`."""
        said = _said("webauthn.get", options, origin, lies)
        if self.counting:
            self.counter += 1
        data = self._data(lies.get("rp_id", options["rpId"]), lies.get("flags", self.flags), b"")
        signed = lies.get("signed", data + hashlib.sha256(said).digest())
        response = {
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
        }
        if "user_handle" in lies:
            response["userHandle"] = websafe_encode(lies["user_handle"])
        return self._answer(said, response)

    def _data(self, rp_id: str, flags: Any, credential: bytes) -> AuthenticatorData:
        return AuthenticatorData.create(hashlib.sha256(rp_id.encode()).digest(), flags, self.counter, credential)

    def _answer(self, said: bytes, response: dict[str, str]) -> str:
        name = websafe_encode(self.credential_id)
        answer = {"id": name, "rawId": name, "type": "public-key", "clientExtensionResults": {}}
        return json.dumps(answer | {"response": {"clientDataJSON": websafe_encode(said), **response}})


def _said(kind: str, options: dict[str, Any], origin: str, lies: dict[str, Any]) -> bytes:
    said = {
        "type": lies.get("type", kind),
        "challenge": lies.get("challenge", options["challenge"]),
        "origin": lies.get("origin", origin),
        "crossOrigin": lies.get("cross_origin", False),
    }
    return json.dumps(said).encode()
