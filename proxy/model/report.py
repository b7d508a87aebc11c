"""What an enrolled device and the proxy say to each other. Each is a compact JWS (RFC 7515), ES256, of these claims.

`typ` tells them apart, so that none passes for another: `ostiary-enrol+jwt`, `ostiary-report+jwt`, `ostiary-proof+jwt`.
The header holds `alg`, `typ` and, but for an enrolment, `kid`: the device's id. Nothing else is read from it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from proxy.model.device import Value

ENROL_TYPE: Final = "ostiary-enrol+jwt"
REPORT_TYPE: Final = "ostiary-report+jwt"
PROOF_TYPE: Final = "ostiary-proof+jwt"
AGENT_PORT: Final = 47813  # where the agent answers browsers, on 127.0.0.1 only

ENROL_PATH: Final = "/.ostiary/device/enrol"  # POST {"jws"} → Enrolled
NONCE_PATH: Final = "/.ostiary/device/nonce"  # POST {"device"} → Nonce
REPORT_PATH: Final = "/.ostiary/device/report"  # POST {"jws"} → Accepted
PROVE_PATH: Final = "/.ostiary/device/prove"  # GET, a page: asks the agent for a proof
PROOF_PATH: Final = "/.ostiary/device/proof"  # POST {"jws"} with the session: ties it to the device


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A public key as JWK (RFC 7517): EC, P-256."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str


class Enrolment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A device asks to be known. Signed with the key it brings: proof that it holds it.

    `storage` says where the private key is. `quote` is what a TPM 2.0 says about the key, base64url, {} without one:
    see `devices/attestation.py`; without a quote that verifies, a key counts as a file whatever `storage` says.
    """

    code: str  # the one-time code the portal showed
    aud: str  # the login URL
    iat: int
    key: Key
    name: str  # for people: usually the host name
    os: str
    serial: str = ""
    storage: Literal["file", "tpm"] = "file"
    quote: dict[str, str] = {}


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the device's id, whether it is approved already, and how often to report (seconds)."""

    device: str
    approved: bool
    interval: float


class Nonce(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh nonce, good for one report within a few minutes."""

    nonce: str


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the agent found. `seq` grows with every report of a device, restarts included.

    `attributes` are names of `model.device.ATTRIBUTES` and `custom.*`; what could not be found out is left out.
    """

    device: str
    aud: str  # the login URL
    nonce: str
    seq: int
    iat: int
    attributes: dict[str, Value]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a report: the nonce for the next one, when to send it (seconds), and what still needs mending:
    sentences for the person, "" when all is well."""

    nonce: str
    interval: float
    note: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's word to a browser on its machine that it is there. `challenge` is ours, sealed to the session."""

    device: str
    aud: str  # the login URL; the agent signs for no other
    challenge: str
    iat: int
