"""What an enrolled device and the proxy say to each other. Each is a compact JWS (RFC 7515), ES256, of these claims.

`typ` tells them apart, so that none passes for another: `ostiary-enrol+jwt`, `ostiary-report+jwt`, and so on below.
The header holds `alg`, `typ` and, but for an enrolment, `kid`: the device's id. Nothing else is read from it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from proxy.model.device import Value

ENROL_TYPE: Final = "ostiary-enrol+jwt"
REPORT_TYPE: Final = "ostiary-report+jwt"
PROOF_TYPE: Final = "ostiary-proof+jwt"
ATTEST_TYPE: Final = "ostiary-attest+jwt"
ACTIVATE_TYPE: Final = "ostiary-activate+jwt"
SEQ_AHEAD: Final = 365 * 86400  # by how much the number of a report may exceed the time in seconds since the epoch
AGENT_PORT: Final = 47813  # where the agent answers browsers, on 127.0.0.1 only

ENROL_PATH: Final = "/.ostiary/device/enrol"  # POST {"jws"} → Enrolled
NONCE_PATH: Final = "/.ostiary/device/nonce"  # POST {"device"} → Nonce
REPORT_PATH: Final = "/.ostiary/device/report"  # POST {"jws"} → Accepted
ATTEST_PATH: Final = "/.ostiary/device/attest"  # POST {"jws"} → Credential
ACTIVATE_PATH: Final = "/.ostiary/device/activate"  # POST {"jws"} → Attested
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

    `storage` says where the private key is; whatever it says, a key counts as a file until a TPM has vouched for it
    (`Attestation`).
    """

    code: str  # the one-time code the portal showed
    aud: str  # the login URL
    iat: int
    key: Key
    name: str  # for people: usually the host name
    os: str
    serial: str = ""
    storage: Literal["file", "tpm"] = "file"


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the device's id, whether it is approved already, how often to report (seconds), and whether a TPM
    may vouch for its key here."""

    device: str
    approved: bool
    interval: float
    attest: bool = False


class Nonce(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh nonce, good for one report within a few minutes."""

    nonce: str


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the agent found. `seq` grows with every report of a device, restarts included, and stays below the time
    in seconds plus `SEQ_AHEAD`: one that nothing can follow would be the device's last.

    `attributes` are names of `model.device.ATTRIBUTES` and `custom.*`; what could not be found out is left out.
    """

    device: str
    aud: str  # the login URL
    nonce: str
    seq: int
    iat: int
    attributes: dict[str, Value]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a report: the nonce for the next one, when to send it (seconds), what still needs mending:
    sentences for the person, "" when all is well; and whether a TPM is still to vouch for the device's key."""

    nonce: str
    interval: float
    note: str = ""
    attest: bool = False


class Attestation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A device says that its key is in a TPM 2.0, and which. All of it base64url.

    `certificate`: that of the TPM's endorsement key, DER; `between`: those between it and its maker's authority.
    `public`: TPMT_PUBLIC of the device's key (TPM 2.0, part 2, §12.2.4).
    """

    device: str
    aud: str  # the login URL
    nonce: str
    iat: int
    certificate: str
    public: str
    between: tuple[str, ...] = ()


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: a secret that only that TPM can read, and only when it holds that key. Base64url.

    `credential` is TPM2B_ID_OBJECT, `secret` TPM2B_ENCRYPTED_SECRET, as TPM2_ActivateCredential takes them; `state` is
    ours, to be given back with what the TPM read.
    """

    credential: str
    secret: str
    state: str


class Activation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the TPM read, base64url: proof that it holds the device's key."""

    device: str
    aud: str  # the login URL
    iat: int
    state: str
    secret: str


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: who vouches for the TPM, the issuer of its certificate (RFC 4514)."""

    issuer: str


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's word to a browser on its machine that it is there. `challenge` is ours, sealed to the session."""

    device: str
    aud: str  # the login URL; the agent signs for no other
    challenge: str
    iat: int
