"""Statements of the device: compact JWS (RFC 7515 §3.1) of the shapes in `model/report.py`, typed so that none passes
for another."""

from __future__ import annotations

from typing import Final

import msgspec

from proxy.agent.keys import DeviceKey, base64url
from proxy.model.report import (
    ACTIVATE_TYPE,
    ATTEST_TYPE,
    ENROL_TYPE,
    PROOF_TYPE,
    REPORT_TYPE,
    Activation,
    Attestation,
    Enrolment,
    Proof,
    Report,
)

_TYPES: Final[dict[type, str]] = {
    Enrolment: ENROL_TYPE,
    Report: REPORT_TYPE,
    Proof: PROOF_TYPE,
    Attestation: ATTEST_TYPE,
    Activation: ACTIVATE_TYPE,
}


def signed(claims: Enrolment | Report | Proof | Attestation | Activation, key: DeviceKey) -> str:
    """The statement, signed. Blocks while a TPM signs; raises AgentError."""
    header = {"alg": "ES256", "typ": _TYPES[type(claims)]}
    if not isinstance(claims, Enrolment):
        header["kid"] = claims.device
    text = ".".join(base64url(msgspec.json.encode(part)) for part in (header, claims))
    return f"{text}.{base64url(key.sign(text.encode('ascii')))}"
