"""Devices: how they become known, and who tells about them."""

from __future__ import annotations

from typing import Literal

from proxy.settings.schema.base import Duration, PlainName, SecretRef, Strict


class _AnyManagement(Strict, frozen=True, kw_only=True):
    """What every management system has."""

    name: PlainName
    expiry: Duration = Duration(24 * 3600)  # how long a value it told counts
    ca: str | None = None  # PEM file; default: the system's authorities


class Webhook(_AnyManagement, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """A system that tells us, signed with a shared secret (HMAC-SHA256): POST `/.ostiary/devices/NAME/webhook`."""

    secret: SecretRef
    previous_secret: SecretRef | None = None  # also accepted, while it is changed


class _Polled(_AnyManagement, frozen=True, kw_only=True):
    """A system that is asked."""

    interval: Duration = Duration(300)
    url: str | None = None  # of its API; default: the vendor's own, where there is one


class Intune(_Polled, frozen=True, kw_only=True, tag_field="type", tag="intune"):
    """Microsoft Intune, through Microsoft Graph (managedDevices)."""

    tenant: str
    client_id: str
    client_secret: SecretRef


class CrowdStrike(_Polled, frozen=True, kw_only=True, tag_field="type", tag="crowdstrike"):
    """CrowdStrike Falcon: hosts and Zero Trust Assessment scores."""

    client_id: str
    client_secret: SecretRef


class Fleet(_Polled, frozen=True, kw_only=True, tag_field="type", tag="fleet"):
    """Fleet (osquery): hosts and their policies."""

    token: SecretRef
    policies: dict[str, str] = {}  # device attribute → the Fleet policy whose passing makes it true


Management = Webhook | Intune | CrowdStrike | Fleet
Source = Literal["management", "agent", "certificate", "claims"]


class DeviceCertificates(Strict, frozen=True, kw_only=True):
    """How a client certificate names a device: `fingerprint` (SHA-256, as enrolled), `serial` (of the certificate's
    subject), or a subject alternative name: `uri` or `dns`, of which `{id}` in `pattern` is the device's id."""

    by: Literal["fingerprint", "serial", "uri", "dns"] = "fingerprint"
    pattern: str | None = None  # such as urn:device:{id} or {id}.devices.example.org


class Devices(Strict, frozen=True, kw_only=True):
    """The inventory, and what may add to it. `precedence`: of two sources that tell the same attribute, the first wins,
    unless its value has expired."""

    enrolment: Literal["off", "approval", "open"] = "approval"  # people enrol their own; `approval`: an admin confirms
    per_person: int = 10  # devices one person may enrol
    report_expiry: Duration = Duration(3600)  # how long a value an agent reported counts
    proof: Duration = Duration(600)  # how long an agent's proof of its key lets a browser in, from one address
    bind_sessions: Literal["when-known", "required", "off"] = "when-known"  # tie a session to the device it began on
    certificates: DeviceCertificates | None = None
    tpm_authorities: str | None = None  # PEM file: TPM makers' authorities; their TPMs may vouch for devices' keys
    precedence: tuple[Source, ...] = ("management", "agent", "certificate", "claims")
    management: tuple[Management, ...] = ()
