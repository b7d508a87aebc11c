"""Checks of what rules and baselines want to know of devices: somebody must tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from proxy.settings.checks.finding import Finding, report
from proxy.settings.checks.placed import Placed
from proxy.settings.document import Document, Path
from proxy.settings.schema import Conditions, Configuration


class _Sources(NamedTuple):
    """What is configured."""

    management: frozenset[str]
    claims: frozenset[str]  # providers that tell something
    any: bool
    attested: bool  # whether a TPM may vouch for anything


def check_device_sources(document: Document, placed: Sequence[Placed], configuration: Configuration) -> None:
    """Record conditions on devices that nobody can meet; `document` is the file of the configuration."""
    devices = configuration.devices
    management = frozenset(one.name for one in devices.management)
    claims = frozenset(one.name for one in configuration.login.providers if one.device)
    told = bool(management or claims or devices.certificates is not None or devices.enrolment != "off")
    sources = _Sources(management, claims, told, devices.tpm_authorities is not None)
    for index, baseline in enumerate(configuration.baselines):
        report(document, ("baselines", index), _conditions((), baseline, sources))
    for one in placed:
        for list_name, rules in (("allow", one.route.allow), ("deny", one.route.deny)):
            for index, rule in enumerate(rules):
                report(one.document, (*one.path, list_name, index), _conditions((), rule, sources))


def _conditions(at: Path, conditions: Conditions, sources: _Sources) -> Iterator[Finding]:
    if conditions.device is not None:
        yield from _device((*at, "device"), conditions.device, sources)
    if conditions.not_ is not None:
        yield from _conditions((*at, "not"), conditions.not_, sources)


def _device(at: Path, written: dict[str, Any], sources: _Sources) -> Iterator[Finding]:
    if not sources.any:
        hint = "let people enrol theirs (devices.enrolment), or see devices.management and login.providers[].device"
        yield Finding(at, "nothing tells anything about devices, so nobody can meet this", hint, "warning", key=True)
        return
    if written.get("assurance") == "attested" and not sources.attested:
        hint = "name the authorities of TPM makers in devices.tpm_authorities, or ask for managed"
        message = "no TPM may vouch for a device here, so nobody can meet this"
        yield Finding((*at, "assurance"), message, hint, "warning")
    asked = written.get("source", ())
    listed = [
        one
        for one in ([asked] if isinstance(asked, str) else asked if isinstance(asked, list) else ())
        if isinstance(one, str)
    ]
    for source in listed:
        kind, colon, name = source.partition(":")
        known = {"management": sources.management, "claims": sources.claims}.get(kind)
        if known is not None and ((colon and name not in known) or (not known and len(listed) == 1)):
            hint = f"configured: {', '.join(sorted(known)) or 'none'}"
            where = "devices.management" if kind == "management" else "login.providers with device"
            yield Finding((*at, "source"), f'there is no "{source}" under {where}', hint)
