"""Names shared by the control application, the gateway and the tests: paths, cookies and the headers between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from proxy.model.report import PROVE_PATH

PREFIX: Final = "/.ostiary/"  # everything below it, on every host, is ours; `/.ostiary/` itself leads to the portal
LOGIN: Final = "/.ostiary/login"
SESSION: Final = "/.ostiary/session"  # an app host takes a ticket here and gives the browser its session cookie
LOGOUT: Final = "/.ostiary/logout"
PROVIDER_LOGOUT: Final = "/.ostiary/logout/provider"  # login host; takes a reference that `LOGOUT` made
LOGGED_OUT: Final = "/.ostiary/logged-out"  # login host; where the provider sends people back after logout
WHOAMI: Final = "/.ostiary/whoami"
SECOND_FACTOR: Final = "/.ostiary/second-factor"  # login host; asks for our own second factor
FACTORS: Final = "/.ostiary/factors"  # login host; where people enrol and remove theirs
INTERRUPTED: Final = "/.ostiary/interrupted"  # any host; the gateway relays a form here that must wait for a login
RESUME: Final = "/.ostiary/resume"  # any host; sends it off once the login is done
DEVICE_CODE: Final = "/.ostiary/device/code"  # login host; makes the code a device is enrolled with
DEVICE_WEBHOOK: Final = "/.ostiary/devices/{name}/webhook"  # login host; a management system tells of devices, signed
DEVICE_REMOVE: Final = "/.ostiary/device/remove"  # login host; takes a device away from its owner's inventory
ICON: Final = "/.ostiary/icon.svg"
CALLBACK: Final = "/.ostiary/oidc/{provider}/callback"
BACKCHANNEL: Final = "/.ostiary/oidc/{provider}/backchannel-logout"
SAML_METADATA: Final = "/.ostiary/saml/{provider}/metadata"
SAML_ACS: Final = "/.ostiary/saml/{provider}/acs"  # a provider's responses arrive here, without our cookies
SAML_FINISH: Final = "/.ostiary/saml/{provider}/finish"  # and go on here, with them
SAML_SLO: Final = "/.ostiary/saml/{provider}/slo"
PORTAL: Final = "/"  # login host only
JWKS: Final = "/.well-known/ostiary/jwks.json"

SESSION_COOKIE: Final = "__Host-ostiary"  # the handle; the gateway reads it and never passes it on
BIND_COOKIE: Final = "__Host-ostiary-bind"  # ties a ticket to the browser that asked for it
PROOF_COOKIE: Final = "__Host-ostiary-proof"  # login host; says at logout that the session was this browser's, sealed
DEVICE_COOKIE: Final = "__Host-ostiary-device"  # login host; which device this browser proved last, sealed
PROVING_COOKIE: Final = "__Host-ostiary-proving"  # login host; how often in a row a device was asked for, for loops
ATTEMPT_COOKIE: Final = "__Host-ostiary-login-"  # + attempt id; nonce and PKCE verifier, sealed

# Set by the gateway on what it relays to us; managed names, so a client's own never arrive.
SESSION_HEADER: Final = "X-Ostiary-Session"
CLIENT_HEADER: Final = "X-Ostiary-Client"
REFERENCE_HEADER: Final = "X-Ostiary-Reference"
CERTIFICATE_HEADER: Final = "X-Ostiary-Certificate"  # SHA-256 of the connection's client certificate, when verified
DEVICE_HEADER: Final = "X-Ostiary-Device"  # the id of the device which that certificate names, percent-encoded
TARGET_HEADER: Final = "X-Ostiary-Target"  # with INTERRUPTED: the path and query the form was posted to
CHALLENGE_HEADER: Final = "X-Ostiary-Challenge"  # with INTERRUPTED: the Location of the challenge


def callback(provider: str) -> str:
    """The path a provider sends people back to."""
    return CALLBACK.format(provider=provider)


def backchannel(provider: str) -> str:
    """The path a provider posts logout tokens to."""
    return BACKCHANNEL.format(provider=provider)


def saml_entity(provider: str, login_origin: str) -> str:
    """How we are known to a SAML provider unless it is configured otherwise: the address of our metadata."""
    return login_origin + SAML_METADATA.format(provider=provider)


def saml_finish(provider: str) -> str:
    """The path at which a SAML login ends, in the browser that began it."""
    return SAML_FINISH.format(provider=provider)


def login_path(
    return_target: str,
    max_age: float | None = None,
    provider: str | None = None,
    *,
    mfa: bool = False,
    acr: Sequence[str] = (),
) -> str:
    """Path and query that log in on the host they are asked on and lead back to `return_target` (path and query)."""
    location = f"{LOGIN}?return={quote(return_target, safe='/', errors='replace')}"
    if max_age is not None:
        location += f"&max_age={max(0, int(max_age))}"
    if provider is not None:
        location += f"&provider={quote(provider, safe='', errors='replace')}"
    if mfa:
        location += "&mfa=1"
    if acr:
        location += f"&acr={quote(' '.join(acr), safe='', errors='replace')}"
    return location


def challenge_location(
    host: str,
    return_target: str,
    max_age: float | None = None,
    provider: str | None = None,
    *,
    mfa: bool = False,
    acr: Sequence[str] = (),
) -> str:
    """Where the gateway's 303 sends a browser that must log in (again).

    `host` is the canonical request host (the challenge stays on it, so the answer is a path without an authority that
    could be forged), `return_target` the canonical raw path and query asked for, `max_age` the greatest age of
    the login in seconds that the rule accepts, `provider` the one the route names, `mfa` whether the rule asks for
    several factors, `acr` the authentication contexts of which it accepts any.
    """
    del host  # a relative Location keeps scheme and port as the browser knows them
    return login_path(return_target, max_age, provider, mfa=mfa, acr=acr)


def prove_url(login_origin: str, return_url: str) -> str:
    """Where a browser shows which device it is on: on the login host, leading back to `return_url`, an absolute one."""
    return f"{login_origin}{PROVE_PATH}?return={quote(return_url, safe='/:', errors='replace')}"
