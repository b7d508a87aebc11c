"""Honest tokens of a CI job and of a mesh, to be changed by lies; and Workloads that trust who made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lying_provider import EC, NOW, ROGUE, RSA, LyingProvider, changed, jwk, reshaped

from proxy.authn.workload.service import Workloads
from proxy.settings import schema

ORIGIN = "https://deploy.example:8443"
Make = Callable[..., Workloads]


def job_token(idp: LyingProvider, lie: dict[str, Any]) -> bytes:
    """The token of a CI job, changed as the lie says."""
    truth = {
        "iss": idp.issuer,
        "sub": "repo:acme/app:ref:refs/heads/main",
        "aud": "https://deploy.example",
        "exp": int(NOW) + 300,
        "iat": int(NOW),
        "nbf": int(NOW) - 5,
        "jti": "job-1",
        "repository": "acme/app",
        "repository_owner": "acme",
        "ref": "refs/heads/main",
        "ref_protected": True,
    }
    claims = changed(truth, lie.get("claims"))
    if isinstance(claims.get("iss"), str):
        claims["iss"] = claims["iss"].replace("{issuer}", idp.issuer).replace("{ISSUER}", idp.issuer.upper())
    if claims.get("repository") == "long":
        claims["repository"] = "a" * 256
    header = {"typ": "JWT", **(lie.get("header") or {})}
    return reshaped(idp.sign(claims, header, lie.get("signing", "RS256")), lie.get("token")).encode()


class Spiffe:
    """Two trust domains, each with keys of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keys = {
            "example.org": [
                jwk(RSA, "RS256", kid="rsa", use="jwt-svid"),
                jwk(EC, "ES256", kid="ec", use="jwt-svid"),
                {**jwk(EC, "ES256", kid="other"), "use": "something-new"},
            ],
            "partner.example": [jwk(ROGUE, "RS256", kid="partner", use="jwt-svid")],
        }
        for name, listed in keys.items():
            document = {"keys": listed, "spiffe_sequence": 7, "spiffe_refresh_hint": 300}
            (folder / f"{name}.json").write_text(json.dumps(document))

    def settings(self, audiences: tuple[str, ...] = ()) -> schema.Workloads:
        domains = [
            schema.TrustDomain(name=name, bundle=str(self.folder / f"{name}.json"), audiences=audiences)
            for name in ("example.org", "partner.example")
        ]
        return schema.Workloads(trust_domains=tuple(domains))
