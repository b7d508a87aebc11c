"""Checks of one identity provider."""

from __future__ import annotations

import msgspec

from proxy.settings import forms
from proxy.settings.checks.devices import device_attribute
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.checks.secret_ref import secret_ref
from proxy.settings.document import Path
from proxy.settings.resolve import is_url
from proxy.settings.schema import AnyProvider, Provider, SamlProvider

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"})
OURS_IN_AUTHORIZATION = frozenset(
    {
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)


def check_provider(at: Path, provider: AnyProvider) -> Findings:
    """Everything that can be said about one provider alone."""
    for index, domain in enumerate(provider.domains):
        yield from form((*at, "domains", index), forms.mail_domain, domain)
    for index, group in enumerate(provider.believe_groups or ()):
        if not group or "*" in group[:-1]:
            yield Finding(
                (*at, "believe_groups", index), f'"{group}": a * may only be the last character', "such as partner-*"
            )
    for attribute, claim in provider.device.items():
        yield from device_attribute((*at, "device", attribute), attribute)
        yield from _claim((*at, "device", attribute), claim)
    if provider.device_expiry <= 0:
        yield Finding((*at, "device_expiry"), '"device_expiry" must be longer than nothing')
    yield from _oidc(at, provider) if isinstance(provider, Provider) else _saml(at, provider)


def _claim(at: Path, name: str) -> Findings:
    if not name or not all(name.split(".")):
        yield Finding(at, f'"{name}" is not the name of a claim', "such as realm_access.roles")


def _oidc(at: Path, provider: Provider) -> Findings:
    yield from form((*at, "issuer"), forms.protected_url, provider.issuer)
    if not provider.client_id.strip():
        yield Finding((*at, "client_id"), '"client_id" is empty', "the provider gave you one when you registered")
    if "openid" not in provider.scopes:
        yield Finding((*at, "scopes"), 'scopes must include "openid"', "without it there is no ID token", key=True)
    for index, algorithm in enumerate(provider.algorithms):
        if algorithm not in ALGORITHMS:
            yield Finding(
                (*at, "algorithms", index),
                f'"{algorithm}" is not an accepted signature algorithm',
                "accepted: " + ", ".join(sorted(ALGORITHMS)),
            )
    if not provider.algorithms:
        yield Finding((*at, "algorithms"), '"algorithms" is an empty list', "remove the key for the default", key=True)
    for claim, name in msgspec.structs.asdict(provider.claims).items():
        yield from _claim((*at, "claims", claim), name)
    for parameter in sorted(OURS_IN_AUTHORIZATION & provider.authorization_params.keys()):
        here = (*at, "authorization_params", parameter)
        yield Finding(here, f'"{parameter}" is set by the proxy itself', "remove it", key=True)
    if provider.client_secret is not None:
        yield from secret_ref((*at, "client_secret"), provider.client_secret)


def _saml(at: Path, provider: SamlProvider) -> Findings:
    if is_url(provider.metadata):
        yield from form((*at, "metadata"), lambda text: forms.protected_url(text, query=True), provider.metadata)
        if provider.metadata_refresh < 60:
            yield Finding((*at, "metadata_refresh"), "metadata is fetched at most once a minute", "write 60s or more")
    if (provider.key is None) != (provider.certificate is None):
        given, missing = ("key", "certificate") if provider.key is not None else ("certificate", "key")
        yield Finding((*at, given), f'"{given}" needs "{missing}" beside it', f"add: {missing}: …", key=True)
    if provider.previous_key is not None and provider.key is None:
        yield Finding((*at, "previous_key"), '"previous_key" has no effect without "key"', "add: key: …", key=True)
    if not provider.domains and provider.attributes.email:
        yield Finding(
            (*at, "name"),
            f'provider "{provider.name}" lists no "domains": nobody from there will have a mail address here',
            'add: domains: [example.org], or attributes: {email: ""}',
            "warning",
        )
