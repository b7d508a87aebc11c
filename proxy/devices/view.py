"""What is known of the device a request comes from, and whether a session may be used from there.

Asked on the way of every request: nothing here waits, and every answer is O(1).
"""

from __future__ import annotations

import hmac
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from proxy.devices.attestation import is_attested, statements
from proxy.devices.confirming import Confirmations, confirmed
from proxy.devices.endorsement import Authorities
from proxy.devices.inventory import Inventory
from proxy.devices.merge import merge
from proxy.devices.record import AGENT, CERTIFICATE, DeviceRecord, Statement, owner_of
from proxy.devices.store import Confirmation
from proxy.model.device import Assurance, Binding, Bound, Device, Observation
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason
from proxy.settings import schema

CLOCK_STEP: Final = 60.0  # small steps of the clock are no reason to doubt a proof made a moment ago
_MERGED: Final = 20_000  # answers kept; about 5 KB each
_Key = tuple[str, str, float, int]


class _Answer(NamedTuple):
    device: Device
    again_at: float
    bound: Bound | None  # kept alive: its address is in the key
    confirmed: Confirmations  # all, as they were when it was made or found to be true still
    depends: Mapping[str, Confirmation | None]  # those of them that it was made from


class View:
    """The inventory as the gateway sees it (`gateway.views.DeviceView`). `clock` gives seconds since the epoch."""

    def __init__(self, settings: schema.Devices, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inventory = Inventory()
        self._confirmed: Confirmations = {}  # replaced as a whole, never changed
        self._answers: dict[str, dict[_Key, _Answer]] = {}
        self._kept = 0
        self._authorities = Authorities()
        self._configure(settings)

    def trust(self, authorities: Authorities) -> None:
        """Whose TPMs may vouch for keys, from now on: what others vouched for counts no longer as attested."""
        if authorities != self._authorities:
            self._authorities = authorities
            self._configure(self._settings)

    def _configure(self, settings: schema.Devices) -> None:
        self._settings = settings
        certificates = settings.certificates
        self._pattern = None
        if certificates is not None and certificates.pattern:
            before, _, after = certificates.pattern.partition("{id}")
            self._pattern = re.compile(f"{re.escape(before)}([A-Za-z0-9._-]{{1,128}}){re.escape(after)}", re.IGNORECASE)
        self._answers.clear()
        self._kept = 0

    # --- which device

    def of_certificate(self, certificate: Certificate) -> str:
        """The id of the device that a verified client certificate names by the settings; "" when it names none that is
        known and not revoked."""
        how = self._settings.certificates
        if how is None:
            return ""
        if how.by == "fingerprint":
            device = self._inventory.by_certificate(certificate.sha256)
        elif how.by == "serial":
            device = self._inventory.by_serial(certificate.subject_serial)
        else:
            device = self._named(certificate, uri=how.by == "uri")
        return device if self._inventory.counts(device) else ""

    def of_claims(self, claims: Mapping[str, Observation]) -> str:
        """The id of the known device that a provider's claims (`id`, else `serial`) mean; "" when there is none."""
        for name, find in (("id", self._inventory.by_id), ("serial", self._inventory.by_serial)):
            told = claims.get(name)
            if told is not None and isinstance(told.value, str) and self._inventory.counts(device := find(told.value)):
                return device
        return ""

    def _named(self, certificate: Certificate, *, uri: bool) -> str:
        assert self._pattern is not None, "checked with the settings"
        found = (self._pattern.fullmatch(name) for name in certificate.names if (":" in name) is uri)
        ids = {self._inventory.by_id(match[1]) for match in found if match is not None}
        return ids.pop() if len(ids) == 1 else ""  # a certificate that names two devices, known or not, names none

    def counts(self, device: str) -> bool:
        """Whether a device is known and not revoked."""
        return self._inventory.counts(device)

    def is_attested(self, record: DeviceRecord) -> bool:
        """Whether a TPM that is trusted vouches for the device's key."""
        return is_attested(record, self._authorities)

    def belongs_to(self, device: str, person: Identity) -> bool:
        """Whether a known device is this person's: enrolled by them, or theirs by a management system's word. One of
        which nobody knows whose it is belongs to whoever has it."""
        record = self._inventory.get(device)
        if record is None or record.revoked:
            return False
        if record.owner:
            return record.owner == owner_of(person)
        return not record.email or record.email == person.email

    # --- what is known of it

    def facts(self, bound: Bound | None, certificate: Certificate | None) -> Device | None:
        """What is known of the device a request comes from; None when it is not known which one that is.

        The same object until something about it changes; that a management system it has values from was asked anew is
        such a change. Values that have expired stay in until another source's takes their place: whoever decides looks
        at the expiry.
        """
        device = "" if certificate is None else self.of_certificate(certificate)
        binding: Binding = "certificate"
        if device:
            if bound is not None and bound.device not in ("", device):
                bound = None  # its claims are about another device
        elif bound is None or bound.binding == "certificate" or not (bound.device or bound.claims):
            return None
        else:
            device, binding, certificate = bound.device, bound.binding, None
            if device and not self._inventory.counts(device):
                return None
        claimed = 0 if bound is None or not bound.claims else id(bound)
        key = (binding, "", 0.0, claimed)
        if certificate is not None:
            key = (binding, certificate.sha256, certificate.good_until, claimed)
        known = self._answers.get(device)
        answer = None if known is None else known.get(key)
        now = self._clock()
        if answer is None or now >= answer.again_at or answer.confirmed is not self._confirmed:
            still = answer is not None and now < answer.again_at and self._still_true(answer)
            if answer is not None and still:
                answer = answer._replace(confirmed=self._confirmed)
            else:
                answer = self._answer(device, binding, bound, certificate, now)
            self._keep(device, key, answer)
        return answer.device

    def _still_true(self, answer: _Answer) -> bool:
        return all(self._confirmed.get(source) == one for source, one in answer.depends.items())

    def _answer(
        self, device: str, binding: Binding, bound: Bound | None, certificate: Certificate | None, now: float
    ) -> _Answer:
        record = self._inventory.get(device) if device else None
        # Only the agent's proof ties a request to the key that is vouched for; a certificate's may have been copied.
        attested = record is not None and binding == "agent" and is_attested(record, self._authorities)
        told = list(_told(record, self._confirmed, now, attested=attested)) if record is not None else []
        if certificate is not None:
            told.extend(_by_certificate(certificate, now).observations())
        if bound is not None:
            told.extend(bound.claims.items())
        attributes, again_at = merge(told, self._settings.precedence, now)
        depends = (
            {}
            if record is None
            else {one.source: self._confirmed.get(one.source) for one in record.statements if one.polled}
        )
        found = Device(id=device, binding=binding, attributes=attributes)
        return _Answer(found, again_at, bound, self._confirmed, depends)

    def _keep(self, device: str, key: _Key, answer: _Answer) -> None:
        if self._kept >= _MERGED:
            for old in list(islice(self._answers, len(self._answers) // 8 + 1)):
                self._forget(old)
        known = self._answers.setdefault(device, {})
        self._kept += key not in known
        known[key] = answer

    def _forget(self, device: str) -> None:
        """What is kept of a device is no longer so."""
        self._kept -= len(self._answers.pop(device, ()))

    # --- whether a session may be used from here

    def standing(
        self, bound: Bound | None, certificate: Certificate | None, address: str | None, now: float
    ) -> Reason | None:
        """None while a session tied to `bound` may be used by whoever presents `certificate` from `address`, else
        DEVICE_PROOF_REQUIRED: another device asks, or one that has not proved itself lately."""
        if bound is None:
            return None
        if certificate is None:
            return self.standing_by(bound, "", "", address, now)
        return self.standing_by(bound, certificate.sha256, self.of_certificate(certificate), address, now)

    def standing_by(self, bound: Bound, sha256: str, device: str, address: str | None, now: float) -> Reason | None:
        """The same, when the certificate presented is known by its hex SHA-256 and the device it names; "" for none."""
        return None if self._stands(bound, sha256, device, address, now) else Reason.DEVICE_PROOF_REQUIRED

    def _stands(self, bound: Bound, sha256: str, device: str, address: str | None, now: float) -> bool:
        if bound.device and not self._inventory.counts(bound.device):
            return False
        if device and bound.device and device != bound.device:
            return False
        if bound.binding == "certificate":
            return bool(bound.certificate) and hmac.compare_digest(sha256, bound.certificate)
        if bound.binding == "agent":
            age = now - bound.proved_at
            fresh = -CLOCK_STEP <= age < self._settings.proof and bool(address) and address == bound.address
            return bool(bound.device) and (fresh or device == bound.device)
        return True


def _told(
    record: DeviceRecord, confirmations: Confirmations, now: float, *, attested: bool
) -> Iterator[tuple[str, Observation]]:
    """All that counts of what was said of a device; `attested`: its TPM vouches for the key it is known by."""
    for one in statements(record, attested=attested):
        confirmation = confirmations.get(one.source) if one.polled else None
        if confirmation is not None and confirmation.at <= now + CLOCK_STEP:  # else the clock was wrong
            one = confirmed(one, confirmation)
        if record.approved or one.source != AGENT:  # until it is approved, its own word counts for nothing
            yield from one.observations()


def _by_certificate(certificate: Certificate, now: float) -> Statement:
    return Statement(
        source=CERTIFICATE,
        observed=now,
        expires=certificate.good_until if math.isfinite(certificate.good_until) else now,
        assurance=Assurance.MANAGED,
        values={"cert_sha256": certificate.sha256},
    )
