"""From a provider's claims to our Identity. Pure.

Everything here comes from a verified token or from userinfo, yet it is still somebody else's data: a value of the wrong
type or form is *unknown*, never guessed at, and unknown never helps anybody in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from proxy.authn import tokens
from proxy.authn.believed import believed_groups
from proxy.authn.errors import LoginRefused, TokenInvalid
from proxy.model.claims import MISSING, look_up
from proxy.model.identity import Identity
from proxy.settings.schema import Mfa, Provider

# Protocol fields: they speak about the token, not about the person.
_PROTOCOL = frozenset(
    {"iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "sid", "auth_time"}
)
_MAX_TEXT = 256
_MAX_GROUPS = 10_000
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class Mapped(msgspec.Struct, frozen=True):
    """An Identity (its `session` is ""), and sentences for the log about what could not be used and why."""

    identity: Identity
    notes: tuple[str, ...] = ()


def identity_from(claims: Mapping[str, Any], provider: Provider) -> Mapped:
    """Map verified claims. Raises `LoginRefused` when the configured subject claim is missing or unusable."""
    subject_value = lookup(claims, provider.claims.subject)
    try:
        subject = tokens.subject({provider.claims.subject: subject_value}, provider.claims.subject)
    except TokenInvalid as error:
        raise LoginRefused(f"provider {provider.name}: {error}; see login.providers[].claims.subject") from None
    email = _email(claims, provider)
    groups, notes = _groups(claims, provider)
    acr = told if isinstance(told := claims.get("acr"), str) else ""
    amr = tuple(listed) if _is_texts(listed := claims.get("amr")) else ()
    return Mapped(
        Identity(
            kind="person",
            subject=subject,
            provider=provider.name,
            email=email,
            name=display_name(lookup(claims, provider.claims.name)),
            groups=groups or frozenset(),
            unknown=frozenset({"groups"}) if groups is None else frozenset(),
            claims=_passed_through(claims, provider),
            auth_time=tokens.moment(claims, "auth_time") if "auth_time" in claims else None,
            acr=acr,
            amr=amr,
            mfa=several_factors(provider.mfa, acr, amr),
        ),
        notes,
    )


def several_factors(mfa: Mfa, acr: str, amr: Sequence[str]) -> bool | None:
    """Whether a login took several factors, by the provider's setting `mfa`. None is unknown: the provider told
    nothing that the setting looks at."""
    if (acr and acr in mfa.acr) or not set(mfa.amr).isdisjoint(amr):
        return True
    return False if (acr and mfa.acr) or (amr and mfa.amr) else None


def lookup(claims: Mapping[str, Any], path: str) -> Any:
    """The claim at `path`: a claim of exactly that name, else dots reach into nested objects. None when absent."""
    value = look_up(claims, path)
    return None if value is MISSING else value


def missing(claims: Mapping[str, Any], provider: Provider) -> bool:
    """Whether a claim that the configuration maps is not in `claims`, so that userinfo is worth asking."""
    mapping = provider.claims
    return any(
        look_up(claims, path) is MISSING for path in (mapping.subject, mapping.email, mapping.name, mapping.groups)
    )


def with_userinfo(claims: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """ID-token claims completed by userinfo, which never overrides them and says nothing about the token itself.

    A mail address and the statement that it is verified stay together.
    Raises `LoginRefused` unless `sub` is equal in both (OpenID Connect Core §5.3.2).
    """
    return _merged(_about_the_same_person(claims, userinfo), claims)


def renewed_by_userinfo(claims: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """Claims known so far brought up to date by userinfo, for providers that renew without a new ID token.

    Raises `LoginRefused` unless `sub` is equal in both.
    """
    return _merged(claims, _about_the_same_person(claims, userinfo))


def canonical_email(value: object) -> str:
    """The one lower-case form of a plain mail address, or "" when there is any doubt about what it names.

    Exactly one `@`; ASCII only, so that no look-alike letter passes for another; an unquoted local part; a domain of
    letters, digits and hyphens without a trailing dot. RFC 5321 §4.1.2, narrowed.
    """
    if not isinstance(value, str) or not value.isascii() or len(value) > 254:
        return ""
    local, at, domain = value.lower().partition("@")
    if not at or len(local) > 64 or len(domain) > 253:
        return ""
    return f"{local}@{domain}" if _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain) else ""


def display_name(value: object) -> str:
    """Text to show; control and direction-changing characters are dropped."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value if character.isprintable())[:_MAX_TEXT]


def _about_the_same_person(claims: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    if userinfo.get("sub") != claims.get("sub"):
        raise LoginRefused("userinfo speaks about somebody else: sub differs from the ID token")
    return {name: value for name, value in userinfo.items() if name not in _PROTOCOL}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    same = over.get("email", base.get("email")) == base.get("email")
    sources = (over, base) if "email" in over and same else (over,) if "email" in over else (base,)
    merged.pop("email_verified", None)
    for source in reversed(sources):
        if "email_verified" in source:
            merged["email_verified"] = source["email_verified"]
    return merged


def _email(claims: Mapping[str, Any], provider: Provider) -> str:
    path = provider.claims.email
    if not (provider.trust_unverified_email or _is_verified(claims, path)):
        return ""
    return canonical_email(lookup(claims, path))


def _is_verified(claims: Mapping[str, Any], path: str) -> bool:
    """`email_verified` speaks about the claim `email` beside it, and about no other claim."""
    around, _dot, name = path.rpartition(".")
    return name == "email" and lookup(claims, f"{around}.email_verified" if around else "email_verified") is True


def _groups(claims: Mapping[str, Any], provider: Provider) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    path = provider.claims.groups
    value = look_up(claims, path)
    if value is MISSING:
        return None, _why_absent(claims, path)
    listed = [value] if isinstance(value, str) else value
    if not _is_texts(listed) or len(listed) > _MAX_GROUPS:
        return None, (f"claim {path} is neither a string nor a list of strings: groups are unknown",)
    return believed_groups(listed, provider.believe_groups), ()


def _why_absent(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Entra ID leaves groups out when somebody is in too many and names a Graph address in `_claim_names` instead."""
    names = claims.get("_claim_names")
    if (isinstance(names, Mapping) and path in names) or claims.get("hasgroups") is True:
        return (
            f"the provider left {path} out because this person is in too many groups (group overage): groups are "
            "unknown and rules that ask for them will not allow; let the provider send only the groups assigned to "
            "this application, or use app roles and set claims.groups to roles",
        )
    return (f"the provider sent no claim {path}: groups are unknown",)


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(
        isinstance(item, str) and 0 < len(item) <= _MAX_TEXT and item.isprintable() for item in value
    )


def _passed_through(claims: Mapping[str, Any], provider: Provider) -> dict[str, Any]:
    """All claims about the person. An unverified mail address is left out, lest a rule on `claims` trusts it."""
    kept = {name: value for name, value in claims.items() if name not in _PROTOCOL}
    if "email" in kept:
        trusted = provider.trust_unverified_email or claims.get("email_verified") is True
        email = canonical_email(kept.pop("email"))
        if email and trusted:
            kept["email"] = email
    return kept
