"""JWT-SVIDs: what a workload of a SPIFFE trust domain shows. Pure. SPIFFE JWT-SVID §2–4.

The issuer means nothing: the key, and the trust domain whose bundle has it, are what is believed. A key names one
trust domain, so a token whose `sub` is of another one is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from proxy.authn.errors import TokenInvalid
from proxy.authn.subject_names import is_spiffe_id
from proxy.authn.tokens import verify_signature
from proxy.authn.workload.bundle import Bundle
from proxy.authn.workload.compact import check_audience, check_times, read_token
from proxy.model.identity import Identity

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")  # §2.2
_TYPES = frozenset({"", "jwt", "jose"})  # §2.3
_LONGEST = 24 * 3600.0  # seconds; SVIDs live for minutes, and nothing can withdraw one


class Proved(NamedTuple):
    """Who a token proves, until when it does (seconds since the epoch, without skew), and its `jti` ("" for none)."""

    identity: Identity
    ends: float
    jti: str = ""


def verify_svid(token: bytes, bundle: Bundle, audiences: Collection[str], now: float) -> Proved:
    """Who a JWT-SVID of the bundle's trust domain proves. `audiences`: of these it must name one.

    Raises `TokenInvalid`.
    """
    text, header = read_token(token, ALGORITHMS, _TYPES)
    if not header.kid:
        raise TokenInvalid("the token does not name its key (kid)")
    claims = verify_signature(text, header, bundle.keys)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_spiffe_id(subject):
        raise TokenInvalid("sub is not a SPIFFE ID")
    if not subject.startswith(f"spiffe://{bundle.trust_domain}/"):
        raise TokenInvalid("sub is of another trust domain than the key")
    check_audience(claims, audiences)
    lifetime = check_times(claims, now, _LONGEST)
    return Proved(Identity(kind="service", subject=subject), lifetime.ends)
