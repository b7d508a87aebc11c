"""The closed list of reasons, and the one table that says what each means to whom.

Audit code, HTTP status, the sentence a person reads and the remedy offered all come from this table and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a request was let through, challenged or refused. The value is the audit and JSON code."""

    # let through
    RULE_ALLOWS = "rule-allows"
    PUBLIC = "public"
    REDIRECT = "redirect"
    OWN_PAGE = "own-page"
    CORS_PREFLIGHT = "cors-preflight"
    # challenge
    LOGIN_REQUIRED = "login-required"
    SESSION_EXPIRED = "session-expired"
    SESSION_REVOKED = "session-revoked"
    REAUTHENTICATION_REQUIRED = "reauthentication-required"
    STEP_UP_REQUIRED = "step-up-required"
    DEVICE_PROOF_REQUIRED = "device-proof-required"
    DEVICE_REQUIRED = "device-required"
    DEVICE_NOT_COMPLIANT = "device-not-compliant"
    # refused by policy
    NO_RULE_ALLOWS = "no-rule-allows"
    DENIED_BY_RULE = "denied-by-rule"
    NO_ROUTE = "no-route"
    ORIGIN_REFUSED = "origin-refused"
    # client certificates
    CERTIFICATE_REQUIRED = "certificate-required"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_PURPOSE = "certificate-purpose"
    CERTIFICATE_NAME = "certificate-name"
    CERTIFICATE_CRL_STALE = "certificate-crl-stale"
    # tokens and devices
    TOKEN_INVALID = "token-invalid"  # noqa: S105  # a reason, not a secret
    TOKEN_REPLAYED = "token-replayed"  # noqa: S105  # the same
    DEVICE_REFUSED = "device-refused"
    # the request itself
    BAD_REQUEST = "bad-request"
    HEAD_TOO_LARGE = "head-too-large"
    BODY_TOO_LARGE = "body-too-large"
    REQUEST_TIMEOUT = "request-timeout"
    EXPECTATION_FAILED = "expectation-failed"
    NOT_IMPLEMENTED = "not-implemented"
    MISDIRECTED = "misdirected"
    # logging in
    LOGIN_FAILED = "login-failed"
    LOGIN_REFUSED = "login-refused"
    SECOND_FACTOR_FAILED = "second-factor-failed"
    TOO_MANY_ATTEMPTS = "too-many-attempts"
    PROVIDER_UNAVAILABLE = "provider-unavailable"
    # the app behind
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_INVALID = "upstream-invalid"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    # ourselves
    OVERLOADED = "overloaded"
    STORE_UNAVAILABLE = "store-unavailable"
    AUDIT_UNAVAILABLE = "audit-unavailable"
    INTERNAL_ERROR = "internal-error"


class Meaning(NamedTuple):
    """What a reason means: `status` for HTTP, `title` and `remedy` as plain sentences for the person refused."""

    status: int
    title: str
    remedy: str


_ASK = "If you need this, send the reference below to whoever runs this service."
_CERT = "Ask whoever runs the certificate authority for a current client certificate."
_LATER = "Try again in a moment; if it goes on, send the reference below to whoever runs this service."

MEANING: dict[Reason, Meaning] = {
    Reason.RULE_ALLOWS: Meaning(200, "Allowed", ""),
    Reason.PUBLIC: Meaning(200, "Public", ""),
    Reason.REDIRECT: Meaning(308, "Redirected", ""),
    Reason.OWN_PAGE: Meaning(200, "Answered by the proxy itself", ""),
    Reason.CORS_PREFLIGHT: Meaning(200, "CORS preflight passed on", ""),
    Reason.LOGIN_REQUIRED: Meaning(401, "Please log in", "Log in and you will come back to this page."),
    Reason.SESSION_EXPIRED: Meaning(
        401, "Your session has expired", "Log in again and you will come back to this page."
    ),
    Reason.SESSION_REVOKED: Meaning(
        401, "Your session was ended", "Log in again; if it is ended again, ask whoever runs this service."
    ),
    Reason.REAUTHENTICATION_REQUIRED: Meaning(
        401,
        "Please confirm that it is you",
        "This page asks for a recent login. Log in again and you will come back to it.",
    ),
    Reason.STEP_UP_REQUIRED: Meaning(
        401,
        "Please confirm with a stronger login",
        "This page asks for a second factor or a stronger login. Confirm, and you will come back to it.",
    ),
    Reason.DEVICE_PROOF_REQUIRED: Meaning(
        401,
        "Please show which device this is",
        "Your session belongs to a device. Let the Ostiary agent on it answer, and you will come back to this page.",
    ),
    Reason.DEVICE_REQUIRED: Meaning(
        403,
        "This asks for a device that is known here",
        "Enrol this device from your apps page, then try again: no new login is needed.",
    ),
    Reason.DEVICE_NOT_COMPLIANT: Meaning(
        403,
        "This device does not meet what this asks for",
        "Mend what is listed below, let the device report it, and try again: no new login is needed.",
    ),
    Reason.NO_RULE_ALLOWS: Meaning(403, "You do not have access to this", _ASK),
    Reason.DENIED_BY_RULE: Meaning(403, "Access to this is blocked", _ASK),
    Reason.NO_ROUTE: Meaning(404, "There is nothing at this address", "Check the address for a typing mistake."),
    Reason.ORIGIN_REFUSED: Meaning(
        403,
        "Another site tried to open this connection",
        "Open the app itself and try from there. A site that needs this must be listed on the route.",
    ),
    Reason.CERTIFICATE_REQUIRED: Meaning(401, "A client certificate is required", _CERT),
    Reason.CERTIFICATE_EXPIRED: Meaning(403, "The client certificate has expired", _CERT),
    Reason.CERTIFICATE_NOT_YET_VALID: Meaning(
        403,
        "The client certificate is not valid yet",
        "Check the clock of this machine and the certificate’s start date.",
    ),
    Reason.CERTIFICATE_REVOKED: Meaning(403, "The client certificate was revoked", _CERT),
    Reason.CERTIFICATE_UNTRUSTED: Meaning(
        403, "The client certificate comes from an authority that is not trusted here", _CERT
    ),
    Reason.CERTIFICATE_PURPOSE: Meaning(
        403,
        "The certificate is not meant for clients",
        "Use a certificate whose extended key usage includes clientAuth.",
    ),
    Reason.CERTIFICATE_NAME: Meaning(
        403,
        "The client certificate names nobody we can admit",
        "Use a certificate with one spiffe:// URI or a DNS name as subject alternative name.",
    ),
    Reason.CERTIFICATE_CRL_STALE: Meaning(
        403,
        "The revocation list for this certificate is missing or out of date",
        "Whoever runs this service must publish a current revocation list.",
    ),
    Reason.TOKEN_INVALID: Meaning(
        401,
        "The bearer token is not accepted",
        "Get a fresh token from the issuer this service trusts, for its audience.",
    ),
    Reason.TOKEN_REPLAYED: Meaning(
        401, "The bearer token has been used before", "Get a fresh token: this one may not be used again."
    ),
    Reason.DEVICE_REFUSED: Meaning(
        403, "What this device sent is not accepted", "Enrol the device again, or ask whoever runs this service."
    ),
    Reason.BAD_REQUEST: Meaning(
        400, "The request could not be understood", "The program that sent it broke a rule of HTTP."
    ),
    Reason.HEAD_TOO_LARGE: Meaning(
        431, "The request headers are too large", "Delete this site’s cookies and try again."
    ),
    Reason.BODY_TOO_LARGE: Meaning(413, "The upload is larger than this app accepts", "Send a smaller file."),
    Reason.REQUEST_TIMEOUT: Meaning(408, "The request took too long to arrive", "Try again on a better connection."),
    Reason.EXPECTATION_FAILED: Meaning(
        417, "The request expects something unknown", "Only “100-continue” is understood."
    ),
    Reason.NOT_IMPLEMENTED: Meaning(
        501, "The request uses something this proxy does not do", "The program that sent it must do without."
    ),
    Reason.MISDIRECTED: Meaning(421, "This connection was opened for another host", "Reload the page."),
    Reason.LOGIN_FAILED: Meaning(
        400, "The login could not be completed", "Start again from the app you wanted to open."
    ),
    Reason.LOGIN_REFUSED: Meaning(403, "The identity provider did not let you in", _ASK),
    Reason.SECOND_FACTOR_FAILED: Meaning(
        403, "The second factor was not accepted", "Try again, or use another way to confirm."
    ),
    Reason.TOO_MANY_ATTEMPTS: Meaning(429, "Too many attempts", "Wait as long as the page says, then try again."),
    Reason.PROVIDER_UNAVAILABLE: Meaning(503, "The identity provider does not answer", _LATER),
    Reason.UPSTREAM_UNREACHABLE: Meaning(502, "The app does not answer", _LATER),
    Reason.UPSTREAM_INVALID: Meaning(502, "The app gave an answer that makes no sense", _LATER),
    Reason.UPSTREAM_TIMEOUT: Meaning(504, "The app took too long to answer", _LATER),
    Reason.UPSTREAM_UNAVAILABLE: Meaning(503, "The app is not available", _LATER),
    Reason.OVERLOADED: Meaning(503, "Too many people use this app at once", _LATER),
    Reason.STORE_UNAVAILABLE: Meaning(503, "Sessions cannot be checked right now", _LATER),
    Reason.AUDIT_UNAVAILABLE: Meaning(503, "Access cannot be recorded right now, so none is given", _LATER),
    Reason.INTERNAL_ERROR: Meaning(500, "Something went wrong on our side", _LATER),
}
