"""Whose names the names of a certificate are: the service's it names, and nobody's beside a token."""

from __future__ import annotations

import pytest

from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity
from proxy.policy import compile_policy, decide
from proxy.settings.schema import Rule

POLICY = compile_policy(allow=[Rule(name="billing", services=("billing.svc.example",))], deny=[])


def verdict(subject: str, names: tuple[str, ...], provider: str = "") -> str:
    identity = Identity(kind="service", subject=subject, provider=provider)
    certificate = Certificate(sha256="ab" * 32, serial="01", names=names, not_after=9e9, good_until=9e9)
    facts = Facts(route="r", host="h", method="GET", path="/", time=1.0, identity=identity, certificate=certificate)
    return decide(POLICY, facts).outcome


def test_a_service_goes_by_every_name_of_its_certificate() -> None:
    names = ("spiffe://example.org/billing", "billing.svc.example")
    assert verdict("spiffe://example.org/billing", names) == "allow"


@pytest.mark.parametrize(("subject", "provider"), [("ci:acme/app", "ci"), ("spiffe://example.org/other", "")])
def test_a_token_beside_a_device_certificate_does_not_take_its_names(subject: str, provider: str) -> None:
    assert verdict(subject, ("urn:device:d-1", "billing.svc.example"), provider) == "deny"
