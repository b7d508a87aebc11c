"""Checks of how devices become known."""

from __future__ import annotations

import difflib

from proxy.model.device import ATTRIBUTES, CUSTOM
from proxy.settings import forms
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.checks.secret_ref import secret_ref
from proxy.settings.document import Path
from proxy.settings.schema import Devices, Fleet, Management, Webhook


def check_devices(devices: Devices) -> Findings:
    """Everything that can be said about `devices`."""
    at: Path = ("devices",)
    for name in ("report_expiry", "proof"):
        if getattr(devices, name) <= 0:
            yield Finding((*at, name), f'"{name}" must be longer than nothing')
    if devices.per_person < 1:
        yield Finding((*at, "per_person"), '"per_person" must be at least 1', "write enrolment: off to enrol none")
    repeated = {one for one in devices.precedence if devices.precedence.count(one) > 1}
    if repeated or len(devices.precedence) < 4:
        yield Finding(
            (*at, "precedence"), '"precedence" must name every source once', "management, agent, certificate, claims"
        )
    yield from _certificates(devices)
    names: set[str] = set()
    for index, one in enumerate(devices.management):
        here = (*at, "management", index)
        if one.name in names:
            yield Finding((*here, "name"), f'"{one.name}" is there already', "each needs a name of its own")
        names.add(one.name)
        yield from _management(here, one)


def _certificates(devices: Devices) -> Findings:
    certificates = devices.certificates
    if certificates is None:
        return
    at: Path = ("devices", "certificates", "pattern")
    if certificates.by in ("uri", "dns"):
        if certificates.pattern is None or certificates.pattern.count("{id}") != 1:
            yield Finding(
                at[:-1], f'"by: {certificates.by}" needs a "pattern" with {{id}} in it once', "urn:device:{id}"
            )
    elif certificates.pattern is not None:
        yield Finding(at, f'"pattern" has no effect with "by: {certificates.by}"', "remove it", key=True)


def _management(at: Path, one: Management) -> Findings:
    if one.expiry <= 0:
        yield Finding((*at, "expiry"), '"expiry" must be longer than nothing')
    for name in ("secret", "previous_secret", "client_secret", "token"):
        ref = getattr(one, name, None)
        if ref is not None:
            yield from secret_ref((*at, name), ref)
    if isinstance(one, Webhook):
        return
    if one.interval < 10:
        yield Finding((*at, "interval"), "asking more often than every 10s is more than their limits allow")
    if one.url is not None:
        yield from form((*at, "url"), forms.protected_url, one.url)
    if isinstance(one, Fleet):
        if one.url is None:
            yield Finding(at, "Fleet has no address of its own", "add: url: https://fleet.example.org")
        for attribute in one.policies:
            yield from device_attribute((*at, "policies", attribute), attribute)


def device_attribute(at: Path, name: str) -> Findings:
    """Whether this names something that can be known of a device."""
    if name in ATTRIBUTES or (name.startswith(CUSTOM) and len(name) > len(CUSTOM)):
        return
    near = difflib.get_close_matches(name, ATTRIBUTES, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(ATTRIBUTES)}, custom.*"
    yield Finding(at, f'"{name}" is no attribute of devices', hint, key=True)
