"""From what an assertion says to our Identity and to facts about the device. Pure.

It was signed, yet it is still somebody else's data: a value of the wrong form is *unknown*, never guessed at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from proxy.authn.believed import believed_groups
from proxy.authn.claims import canonical_email, display_name, several_factors
from proxy.authn.errors import LoginRefused
from proxy.authn.saml.assertion import Said
from proxy.authn.saml.instants import seconds
from proxy.model.device import ATTRIBUTES, Assurance, Kind, Observation, Value
from proxy.model.identity import Identity
from proxy.settings.schema import SamlProvider

Attributes = Mapping[str, tuple[str, ...] | None]
AMR = ("amr", "http://schemas.microsoft.com/claims/authnmethodsreferences")
_MAX_TEXT = 1024  # characters; a distinguished name as a group is long
_MAX_GROUPS = 10_000
_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,7}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def identity_from(said: Said, settings: SamlProvider) -> Identity:
    """Map a checked assertion; `session` is "". Raises `LoginRefused` when the subject is missing or unusable."""
    told = said.attributes
    groups = _texts(told.get(settings.attributes.groups)) if settings.attributes.groups else None
    amr = next((texts for name in AMR if (texts := _texts(told.get(name)))), ())
    return Identity(
        kind="person",
        subject=_subject(said, settings),
        provider=settings.name,
        email=_email(told, settings),
        name=_display_name(told, settings.attributes.name),
        groups=believed_groups(groups or (), settings.believe_groups),
        unknown=frozenset() if groups is not None else frozenset({"groups"}),
        claims=_passed_through(told, settings),
        auth_time=said.auth_time,
        acr=said.acr,
        amr=amr,
        mfa=several_factors(settings.mfa, said.acr, amr),
    )


def device_claims(told: Attributes, settings: SamlProvider, now: float) -> dict[str, Observation]:
    """What the provider says about the device, by device attribute, as its `device` setting maps it."""
    found: dict[str, Observation] = {}
    for attribute, name in settings.device.items():
        texts = _texts(told.get(name))
        value = _typed(ATTRIBUTES.get(attribute), texts) if texts else None
        if value is not None:
            found[attribute] = Observation(
                value=value,
                source=f"claims:{settings.name}",
                observed=now,
                expires=now + settings.device_expiry,
                assurance=Assurance.MANAGED,
            )
    return found


def _subject(said: Said, settings: SamlProvider) -> str:
    mapped = settings.attributes.subject
    value = _single(said.attributes, mapped) if mapped else said.name_id.value
    if value is None or not 0 < len(value) <= 255 or not (value.isascii() and value.isprintable()):
        what = f"attribute {mapped}" if mapped else "the NameID"
        raise LoginRefused(f"{what} must be one text of 1 to 255 printable ASCII characters: it is the subject")
    return value


def _display_name(told: Attributes, name: str) -> str:
    """Shown only: what must not be shown is dropped from it, and the rest is used."""
    values = told.get(name) or ()
    return display_name(values[0]) if name and len(values) == 1 else ""


def _email(told: Attributes, settings: SamlProvider) -> str:
    """Anybody may run an identity provider and name any address in it: only its own domains are believed."""
    email = canonical_email(_single(told, settings.attributes.email))
    return email if email.rpartition("@")[2] in {domain.lower() for domain in settings.domains} else ""


def _passed_through(told: Attributes, settings: SamlProvider) -> dict[str, Any]:
    """All attributes, one value as a text and several as a list. An unbelieved mail address is left out."""
    kept: dict[str, Any] = {}
    for name, values in told.items():
        texts = _texts(values)
        if texts:
            kept[name] = texts[0] if len(texts) == 1 else list(texts)
    email = _email(told, settings)
    for name in {"email", "mail", settings.attributes.email} & kept.keys():
        del kept[name]
    if email and settings.attributes.email:
        kept[settings.attributes.email] = email
    return kept


def _texts(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The values when each is a usable text; None when any is not, or the attribute is not there."""
    if values is None or len(values) > _MAX_GROUPS:
        return None
    usable = all(0 < len(value) <= _MAX_TEXT and value.isprintable() for value in values)
    return values if usable else None


def _single(told: Attributes, name: str) -> str | None:
    texts = _texts(told.get(name)) if name else None
    return texts[0] if texts is not None and len(texts) == 1 else None


def _typed(kind: Kind | None, texts: tuple[str, ...]) -> Value | None:
    """The value as its kind says, None when it cannot be. `kind` is None for `custom.*`: a text, or a set of them."""
    if kind is Kind.SET:
        return texts
    if len(texts) != 1:
        return texts if kind is None else None
    text = texts[0]
    if kind is Kind.BOOLEAN:
        return _TRUTH.get(text.lower())
    if kind is Kind.NUMBER:
        return _number(text)
    if kind is Kind.TIME:
        return _time(text)
    if kind is Kind.VERSION:
        return text if _VERSION.fullmatch(text) else None
    return text


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _time(text: str) -> float | None:
    """xs:dateTime, or seconds since the epoch."""
    try:
        moment = seconds(text)
    except ValueError:
        number = _number(text)
        moment = math.nan if number is None else number
    return moment if 0 < moment < 253_402_300_800 else None
